"""Checks the programs of a layer or an image. rules/private/checks.bzl writes the command line.

It reads the metadata of layers, and no blob.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rules_setcap import capabilities
from rules_setcap.diagnostics import files
from rules_setcap.oci.merged_contents import MergedContents
from rules_setcap.validation import checks
from rules_setcap.validation.checked_image import CheckedImage

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from typing import Any

    from rules_setcap.actions.arguments import Arguments
    from rules_setcap.diagnostics.problems import Problems


def run_command(arguments: Arguments, problems: Problems) -> list[str]:
    """Checks the programs, and writes the remarks to a file.

    Args:
      arguments: the flags.
      problems: the collector of problems.

    Returns:
      The remarks, which are printed.

    Raises:
      InputError: there are problems.
      OSError: a file cannot be read or written.
    """
    output, disabled = arguments.take_value("output"), json.loads(arguments.take_value("disabled-checks"))
    merged = MergedContents()
    is_partial = False  # Whether layers of the base have not been read, because they decide about no file that is copied.
    for path in arguments.take_values("base-contents"):
        contents = files.read_json(path)
        is_partial |= contents.get("unread", 0) > 0
        merged.apply_layer(contents)
    layers = []
    for path, text in zip(arguments.take_values("layer"), arguments.take_values("layer-settings"), strict=True):
        metadata = files.read_json(path)
        if not metadata.get("empty"):
            merged.apply_layer(metadata)
            layers.append((metadata, json.loads(text)))
    config, binary = arguments.take_value("config", ""), json.loads(arguments.take_value("binary", '""'))
    program_attribute = arguments.take_value("program-attribute", "")
    arguments.check_all_taken()
    if merged.problems:
        problems.extend(merged.problems)
        problems.raise_if_any()
    checks.check_names(disabled, problems)
    if is_partial:
        # The loader may be in a layer that has not been read. The base has the program too, so the loader is the base's affair.
        disabled = [*disabled, checks.LOADER]

    image = CheckedImage(files.read_json(config), merged) if config else None
    if image:
        binary = merged.resolve_parents(binary)
    programs: dict[str, checks.Program] = {}
    for metadata, settings in layers:
        for path in programs.keys() & set(metadata["contents"]["files"]):
            del programs[path]  # This layer replaces it.
        for program in _list_programs(metadata, settings, disabled, merged, binary):
            programs[program.path] = program
    if image:
        problems.extend(merged.describe_uncertain_files())
    for program in programs.values():
        checks.check_program(program, image, problems)
    remarks = []
    if image:
        # By default, the entrypoint is the binary, which has been checked.
        if program_attribute and image.argv and image.find_program(image.argv[0]) not in programs:
            checks.check_entrypoint(image, program_attribute, disabled, problems)
        listed = list(programs.values())
        remarks = checks.list_user_remarks(listed, image, disabled) + checks.list_wrapper_remarks(listed, image, disabled)
    problems.raise_if_any()
    files.write_whole(output, "".join(remark + "\n" for remark in remarks).encode())
    return remarks


def _list_programs(
    metadata: Mapping[str, Any], settings: Mapping[str, Any], disabled: Collection[str], merged: MergedContents, binary: str
) -> Iterator[checks.Program]:
    """Yields the programs of a layer that have capabilities in the image, and the image's binary.

    Args:
      metadata: the metadata of the layer.
      settings: a dict: attribute, for messages; disabled_checks, the checks that are turned off for the layer;
        is_checked, whether the target of the layer has made the checks of a layer.
      disabled: the checks that are turned off for the target.
      merged: the merged root filesystem.
      binary: the path of the binary; "" if there is none.
    """
    names = {*disabled, *settings["disabled_checks"], *(checks.LAYER_CHECKS if settings["is_checked"] else ())}
    paths = dict.fromkeys(metadata["capabilities"])
    if binary in metadata["contents"]["files"]:
        paths[binary] = None
    for path in paths:
        text = metadata["capabilities"].get(path, "=")
        if path != binary and merged.capabilities.get(path) != text:
            continue  # A layer above replaces the file.
        value = capabilities.from_text(text)
        # An empty set grants nothing, so the loader does not enter secure-execution mode.
        has_capabilities = bool(value.permitted | value.inheritable)
        if has_capabilities or path == binary:
            yield checks.Program(settings["attribute"], path, metadata["programs"].get(path), has_capabilities, names)

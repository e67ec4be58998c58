"""Checks the programs of a layer or of an image, from metadata alone."""

from __future__ import annotations

import json

from rules_setcap import capabilities
from rules_setcap.diagnostics import files
from rules_setcap.diagnostics.errors import InputError
from rules_setcap.oci.merged import Merged
from rules_setcap.validation import checks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping

    from rules_setcap.actions.arguments import Arguments


def run_command(arguments: Arguments, problems: list[str]) -> list[str]:
    output, off = arguments.take_value("output"), json.loads(arguments.take_value("disabled-checks"))
    merged = Merged()
    for path in arguments.take_values("base-contents"):
        merged.apply(files.read_json(path))
    layers = []
    for path, text in zip(arguments.take_values("layer"), arguments.take_values("layer-of")):
        metadata = files.read_json(path)
        if not metadata.get("empty"):
            merged.apply(metadata)
            layers.append((metadata, json.loads(text)))
    config, binary = arguments.take_value("config", ""), arguments.take_value("binary", "")
    started = arguments.take_value("started", "")
    arguments.check_all_taken()
    if merged.problems:
        raise InputError(problems + merged.problems)

    image = checks.Image(files.read_json(config), merged) if config else None
    binary = image.merged.locate(binary) if image and binary else binary
    programs: dict[str, checks.Program] = {}
    for metadata, layer in layers:
        for path in programs.keys() & set(metadata["contents"]["files"]):
            del programs[path]  # This layer replaces it.
        programs.update({program.path: program for program in _programs(metadata, layer, off, merged, binary)})
    problems += checks.unknown(off) + (merged.uncertain() if config else [])
    for program in programs.values():
        problems += checks.check(program, image)
    remarks = []
    if image:
        # The entrypoint is the binary by default, which has been checked.
        if started and image.argv and image.find(image.argv[0]) not in programs:
            problems += checks.check_start(image, started, off)
        remarks = checks.remarks(list(programs.values()), image, off)
    if problems:
        raise InputError(problems)
    files.write_whole(output, "".join(text + "\n" for text in remarks).encode())
    return remarks


def _programs(metadata: Mapping[str, Any], layer: Mapping[str, Any], off: list[str], merged: Merged, binary: str) -> list[checks.Program]:
    """Returns the programs of a layer that have capabilities in the image, and the image's binary.

    Args:
      metadata: of the layer.
      layer: `attribute`, for messages; `disabled_checks`, names of checks that are off for the layer; `is_checked`,
        whether the layer's own target has made LAYER_CHECKS.
      off: names of checks that are off for the target.
      merged: the merged root filesystem.
      binary: path of the binary; "" if there is none.
    """
    programs = []
    paths = {**dict.fromkeys(metadata["capabilities"]), **({binary: None} if binary in metadata["contents"]["files"] else {})}
    for path in paths:
        text = metadata["capabilities"].get(path, "=")
        if path != binary and merged.capabilities.get(path) != text:
            continue  # Another layer replaces it by something else.
        value = capabilities.from_text(text)
        # An empty set raises nothing, so that the loader does not enter secure-execution mode.
        capable = bool(value.permitted | value.inheritable)
        if capable or path == binary:
            names = [*off, *layer["disabled_checks"], *(checks.LAYER_CHECKS if layer.get("is_checked") else ())]
            programs.append(checks.Program(layer["attribute"], path, metadata["programs"].get(path), capable, names))
    return programs

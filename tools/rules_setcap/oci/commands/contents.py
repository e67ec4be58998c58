"""Lists the merged root filesystem of a base image, so that the actions of images on top of it do not read its layers.

The action does not fail if the base is not valid: it writes the problems, and the images on top of the base report them
together with their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_setcap import capabilities
from rules_setcap.archive.budget import BudgetError, ReadBudget
from rules_setcap.archive.entry import FILE
from rules_setcap.archive.paths import is_utf8
from rules_setcap.archive.records import CAPABILITY
from rules_setcap.diagnostics import files
from rules_setcap.diagnostics.errors import InputError, escape, format_problem, quote
from rules_setcap.diagnostics.problems import Problems
from rules_setcap.oci.blobs import map_fetched_blobs
from rules_setcap.oci.layer_blobs import list_layout_layers
from rules_setcap.oci.layer_contents import LayerContents, find_interpreter
from rules_setcap.oci.layer_merge import apply_layers, unpack_if_engines_differ
from rules_setcap.oci.root_filesystem import RootFilesystem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from rules_setcap.actions.arguments import Arguments
    from rules_setcap.archive.reader import Member, TarReader


def run_command(arguments: Arguments, problems: Problems) -> None:
    """Runs the subcommand."""
    output, layout, platform = arguments.take_value("output"), arguments.take_value("layout"), arguments.take_value("platform")
    fetched_blobs = map_fetched_blobs(arguments.take_values("layer-blob"))
    arguments.check_all_taken()
    problems.raise_if_any()
    try:
        metadata = _list_base(layout, platform, fetched_blobs)
    except InputError as error:
        metadata = {"capabilities": {}, "contents": LayerContents().encode(), "problems": arguments.labels.apply(error.problems)}
    files.write_json(output, metadata)


def _list_base(layout: str, platform: str, fetched_blobs: Mapping[str, str]) -> dict[str, Any]:
    """Returns the metadata of a base, as if all its layers were one.

    Args:
      layout: the path of its OCI image layout directory.
      platform: os/architecture/variant of the image.
      fetched_blobs: by digest, the paths of layers that the layout lacks.

    Raises:
      InputError: the base is not valid.
    """
    budget = ReadBudget(blobs=True)
    interpreters: dict[tuple[int, int], tuple[str, str]] = {}  # By layer and entry.

    def inspect(archive: TarReader, layer: int) -> Iterator[Member]:
        """Yields the entries of a layer, and records the interpreters of programs."""
        for number, member in enumerate(archive):
            if member.type == FILE and member.size and member.mode & 0o111 and not member.sparse:
                start = next(archive.read_content(), b"")[: member.size]
                if interpreter := find_interpreter(start):
                    interpreters[layer, number] = interpreter
            yield member

    blobs = list_layout_layers(layout, platform, fetched_blobs)
    root, differing_paths = unpack_if_engines_differ(apply_layers(blobs, budget, inspect), blobs)
    assigned = _decode_capabilities(root, layout)
    contents = LayerContents(budget)
    try:
        contents.add_root_filesystem(root, interpreters)
    except BudgetError as error:
        raise InputError([format_problem("base", layout, str(error))]) from None
    differing = [path if is_utf8(path) else escape(path) for path in differing_paths]
    return {"capabilities": assigned, "contents": contents.encode(), "differing": differing}


def _decode_capabilities(root: RootFilesystem, layout: str) -> dict[str, str]:
    """Returns the capabilities of files by path, as cap_to_text(3) writes them.

    Raises:
      InputError: the attribute of a file is not valid, or its path is not UTF-8; there is a problem for each such file.
    """
    assigned: dict[str, str] = {}
    problems = Problems()
    for path, node in root.walk():
        value = node.xattrs.get(CAPABILITY)
        if value is None or node.type != FILE:
            continue
        try:
            assigned[path] = capabilities.from_xattr(value).to_text()
        except capabilities.CapabilityError as error:
            what = f"{quote(path)} has an invalid security.capability attribute, so that engines do not unpack the image: {error}"
            problems.add("base", layout, what)
        if not is_utf8(path):
            problems.add("base", layout, f"{quote(path)} has capabilities, and a path that is not UTF-8")
    problems.raise_if_any()
    return assigned

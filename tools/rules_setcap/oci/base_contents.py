"""Lists the files of a merged root filesystem, in the format of the metadata of a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_setcap import capabilities
from rules_setcap.archive.budget import BudgetError
from rules_setcap.archive.entry import FILE
from rules_setcap.archive.paths import is_utf8
from rules_setcap.archive.records import CAPABILITY
from rules_setcap.diagnostics.errors import InputError, escape, format_problem, quote
from rules_setcap.diagnostics.problems import Problems
from rules_setcap.oci.layer_contents import LayerContents, find_interpreter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from rules_setcap.archive.budget import ReadBudget
    from rules_setcap.archive.reader import Member, TarReader
    from rules_setcap.oci.root_filesystem import RootFilesystem

EMPTY: dict[str, Any] = {"capabilities": {}, "contents": LayerContents().encode()}
"""What describe_files() returns for a root filesystem without files."""


class InterpreterCollector:
    """Records the interpreters of programs while the layers of an image are read.

    Attributes:
      interpreters: the results of find_interpreter(), by the layer and the entry of the file.
    """

    def __init__(self) -> None:
        """Starts without interpreters."""
        self.interpreters: dict[tuple[int, int], tuple[str, str]] = {}

    def inspect(self, archive: TarReader, layer: int) -> Iterator[Member]:
        """Yields the entries of a layer, and records the interpreters of programs."""
        for number, member in enumerate(archive):
            if member.type == FILE and member.size and member.mode & 0o111 and not member.sparse:
                start = next(archive.read_content(), b"")[: member.size]
                if interpreter := find_interpreter(start):
                    self.interpreters[layer, number] = interpreter
            yield member


def describe_files(
    root: RootFilesystem, collector: InterpreterCollector, differing: Iterable[str], budget: ReadBudget, place: str
) -> dict[str, Any]:
    """Returns the metadata of a base, as if all its layers were one.

    Args:
      root: the merged root filesystem.
      collector: has inspected the layers.
      differing: the paths of files that have different capabilities in different container engines.
      budget: counts the memory of the list.
      place: the path of the layout, for messages.

    Raises:
      InputError: the base is not valid.
    """
    assigned = _decode_capabilities(root, place)
    contents = LayerContents(budget)
    try:
        contents.add_root_filesystem(root, collector.interpreters)
    except BudgetError as error:
        raise InputError([format_problem("base", place, str(error))]) from None
    escaped = [path if is_utf8(path) else escape(path) for path in differing]
    return {"capabilities": assigned, "contents": contents.encode(), "differing": escaped}


def _decode_capabilities(root: RootFilesystem, place: str) -> dict[str, str]:
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
            problems.add("base", place, what)
        if not is_utf8(path):
            problems.add("base", place, f"{quote(path)} has capabilities, and a path that is not UTF-8")
    problems.raise_if_any()
    return assigned

"""Lists the merged root filesystem of a base image, so that the images on top of it do not read its layers.

It does not fail if the base is invalid: it writes the problems, and the images on top of it report them together with
their own.
"""

from __future__ import annotations

from rules_setcap import capabilities
from rules_setcap.archive.entry import FILE
from rules_setcap.archive.paths import is_utf8
from rules_setcap.archive.records import CAPABILITY
from rules_setcap.archive.budget import BudgetError, ReadBudget
from rules_setcap.diagnostics import files
from rules_setcap.diagnostics.errors import InputError, escape, problem, quote
from rules_setcap.oci import contents, lower_layers
from rules_setcap.oci.rootfs import Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

    from rules_setcap.actions.arguments import Arguments
    from rules_setcap.archive.reader import Archive, Member


def run_command(arguments: Arguments, problems: list[str]) -> None:
    output, layout, platform = arguments.take_value("output"), arguments.take_value("layout"), arguments.take_value("platform")
    arguments.check_all_taken()
    if problems:
        raise InputError(problems)
    tree, work = Tree(), ReadBudget(blobs=True)
    interpreters: dict[tuple[int, int], tuple[str, str]] = {}
    try:
        blobs = lower_layers.of_layout(layout, platform)
        for number, blob in enumerate(blobs):
            with lower_layers.entries(blob, work) as archive:
                members = lower_layers.reduced(_members(archive, number, interpreters), work)
                tree.apply(members, number, blob.descriptor["size"])
        tree, differing = lower_layers.as_unpacked(tree, blobs)
        assigned = _capabilities(tree, layout)
        listed = contents.Contents(work)
        try:
            listed.add_tree(tree, interpreters)
        except BudgetError as error:
            raise InputError([problem("base", layout, str(error))]) from None
    except InputError as error:
        empty = contents.Contents().encode()
        found = arguments.labels.apply(error.problems)
        files.write_json(output, {"capabilities": {}, "contents": empty, "problems": found})
        return
    differing = [path if is_utf8(path) else escape(path) for path in differing]
    files.write_json(output, {"capabilities": assigned, "contents": listed.encode(), "differing": differing})


def _members(archive: Archive, layer_number: int, interpreters: dict[tuple[int, int], tuple[str, str]]) -> Iterator[Member]:
    """Yields the entries of a layer, and records the interpreters of programs."""
    for number, member in enumerate(archive):
        if member.type == FILE and member.size and member.mode & 0o111 and not member.sparse:
            start = next(archive.content(), b"")[: member.size]
            if found := contents.interpreter(start):
                interpreters[layer_number, number] = found
        yield member


def _capabilities(tree: Tree, layout: str) -> dict[str, str]:
    """Returns the capabilities of files by path, as cap_to_text(3) writes them.

    Raises:
      InputError: with each file whose attribute is invalid, or whose path is not UTF-8.
    """
    found: dict[str, str] = {}
    problems: list[str] = []
    for path, node in tree.walk():
        value = node.xattrs.get(CAPABILITY)
        if value is None or node.type != FILE:
            continue
        try:
            found[path] = capabilities.from_xattr(value).to_text()
        except capabilities.CapabilityError as error:
            what = f"{quote(path)} has an invalid security.capability attribute, so that engines do not unpack the image: {error}"
            problems.append(problem("base", layout, what))
        if not is_utf8(path):
            problems.append(problem("base", layout, f"{quote(path)} has capabilities, and a path that is not UTF-8"))
    if problems:
        raise InputError(problems)
    return found

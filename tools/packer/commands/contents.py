"""Lists the merged root filesystem of a base image, so that the images on top of it do not read its layers.

It does not fail if the base is invalid: it writes the problems, and the images on top of it report them together with
their own.
"""

from __future__ import annotations

import capabilities

from .. import below, contents, files, layer
from ..entries import FILE
from ..errors import InputError, escape, problem, quote
from ..nodes import CAPABILITY
from ..rootfs import Tree
from ..work import Work, WorkError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

    from ..archive import Archive, Member
    from ..arguments import Arguments


def run(arguments: Arguments, problems: list[str]) -> None:
    output, layout, platform = arguments.one("output"), arguments.one("layout"), arguments.one("platform")
    arguments.end()
    if problems:
        raise InputError(problems)
    tree, work = Tree(), Work(blobs=True)
    interpreters: dict[tuple[int, int], tuple[str, str]] = {}
    try:
        blobs = below.of_layout(layout, platform)
        for number, blob in enumerate(blobs):
            with below.entries(blob, work) as archive:
                members = below.reduced(_members(archive, number, interpreters), work)
                tree.apply(members, number, blob.descriptor["size"])
        tree, differing = below.as_unpacked(tree, blobs)
        assigned = _capabilities(tree, layout)
        listed = contents.Contents(work)
        try:
            listed.add_tree(tree, interpreters)
        except WorkError as error:
            raise InputError([problem("base", layout, str(error))]) from None
    except InputError as error:
        empty = contents.Contents().encode()
        found = arguments.labels.apply(error.problems)
        files.write_whole(output, layer.encode({"capabilities": {}, "contents": empty, "problems": found}))
        return
    differing = [path if contents.is_text(path) else escape(path) for path in differing]
    files.write_whole(output, layer.encode({"capabilities": assigned, "contents": listed.encode(), "differing": differing}))


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
            found[path] = capabilities.decode(value).to_text()
        except capabilities.CapabilityError as error:
            what = f"{quote(path)} has an invalid security.capability attribute, so that engines do not unpack the image: {error}"
            problems.append(problem("base", layout, what))
        if not contents.is_text(path):
            problems.append(problem("base", layout, f"{quote(path)} has capabilities, and a path that is not UTF-8"))
    if problems:
        raise InputError(problems)
    return found

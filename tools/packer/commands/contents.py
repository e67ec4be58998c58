"""Lists the merged root filesystem of a base image, so that the images on top of it do not read its layers.

It does not fail if the base is invalid: it writes the problems, and the images on top of it report them together with
their own.
"""

from __future__ import annotations

import capabilities

from .. import below, contents, files, layer
from ..entries import FILE
from ..errors import InputError, problem
from ..rootfs import Tree
from ..work import Work, WorkError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator

    from ..archive import Archive, Member
    from ..arguments import Arguments

_XATTR = b"security.capability"


def run(arguments: Arguments, problems: list[str]) -> None:
    output, layout, platform = arguments.one("output"), arguments.one("layout"), arguments.one("platform")
    arguments.end()
    if problems:
        raise InputError(problems)
    tree, work = Tree(), Work(blobs=True)
    interpreters: dict[tuple[int, int], tuple[str, str]] = {}
    try:
        for number, blob in enumerate(below.of_layout(layout, platform)):
            with below.entries(blob, work) as archive:
                tree.apply(below.reduced(_members(archive, number, interpreters), work), number)
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
    files.write_whole(output, layer.encode({"capabilities": _capabilities(tree), "contents": listed.encode()}))


def _members(archive: Archive, layer_number: int, interpreters: dict[tuple[int, int], tuple[str, str]]) -> Iterator[Member]:
    """Yields the entries of a layer, and records the interpreters of programs."""
    for number, member in enumerate(archive):
        if member.type == FILE and member.size and member.mode & 0o111 and not member.sparse:
            start = next(archive.content(), b"")[: member.size]
            if found := contents.interpreter(start):
                interpreters[layer_number, number] = found
        yield member


def _capabilities(tree: Tree) -> dict[str, str]:
    """Returns the capabilities of files by path, as cap_to_text(3) writes them; invalid attributes are left out."""
    found: dict[str, Any] = {}
    for path, node in tree.walk():
        if node.type == FILE and (value := node.xattrs.get(_XATTR)) and contents.is_text(path):
            try:
                found[path] = capabilities.decode(value).to_text()
            except capabilities.CapabilityError:
                continue
    return found

"""How the entries of a layer are called, and in which order they are."""

from __future__ import annotations

from collections import namedtuple

from rules_setcap.archive.entry import DIRECTORY, HARDLINK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable

    from rules_setcap.archive.entry import Entry

Style = namedtuple("Style", ("name", "order", "directory_mode"))
"""A style. name: function from an entry to its name, in bytes; order: to what it is sorted by;
directory_mode: int, permissions of directories that nobody gave any."""


def arrange(entries: Iterable[Entry], style: Style) -> list[Entry]:
    """The entries in the order that they have in a layer: hard links last, after what they link to."""
    order = sorted(entries, key=style.order)
    order.sort(key=lambda entry: entry.type == HARDLINK)
    return order


def _plain(entry: Entry) -> bytes:
    """Without the leading slash, as Docker and BuildKit write it; directories end with one, and so are before what is in them."""
    name: bytes = entry.path[1:].encode()
    return name + b"/" if entry.type == DIRECTORY else name


def _ko_name(entry: Entry) -> bytes:
    """With the leading slash, but for the directory of the binary; directories end without one."""
    return (entry.path if entry.path != "/ko-app" else "ko-app").encode()


def _ko_order(entry: Entry) -> list[bytes]:
    """As a walk through sorted directories comes by them."""
    return entry.path.encode().split(b"/")


STYLES = {
    "ko": Style(_ko_name, _ko_order, 0o555),
    "plain": Style(_plain, _plain, 0o755),
}
"""By name. In `ko`, files have the diff_id that ko gives them (tarBinary and tarKoData of its pkg/build)."""

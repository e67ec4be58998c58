"""How the entries of a layer are called, and in which order they are."""

from __future__ import annotations

from collections import namedtuple

from .entries import DIRECTORY, HARDLINK, Entry

Style = namedtuple("Style", ("name", "order", "directory_mode"))
"""A style. name: function from an entry to its name, in bytes; order: to the key by which entries are sorted;
directory_mode: int, permissions of directories that nobody gave any."""


def _plain_name(entry: Entry) -> bytes:
    """Without the leading slash, as Docker and BuildKit write it; directories end with one."""
    name: bytes = entry.path[1:].encode()
    return name + b"/" if entry.type == DIRECTORY else name


def _plain_order(entry: Entry) -> tuple[bool, bytes]:
    """By name, so that a directory is before what is in it; hard links last, after what they link to."""
    return entry.type == HARDLINK, _plain_name(entry)


def _ko_name(entry: Entry) -> bytes:
    """With the leading slash, but for the directory of the binary; directories end without one."""
    return (entry.path if entry.path != "/ko-app" else "ko-app").encode()


def _ko_order(entry: Entry) -> tuple[bool, list[bytes]]:
    """As a walk through sorted directories comes by them."""
    return entry.type == HARDLINK, entry.path.encode().split(b"/")


STYLES = {
    "ko": Style(_ko_name, _ko_order, 0o555),
    "plain": Style(_plain_name, _plain_order, 0o755),
}
"""By name. In `ko`, files have the diff_id that ko gives them (tarBinary and tarKoData of its pkg/build)."""

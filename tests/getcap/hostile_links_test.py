"""getcap reads layers of hostile links, whiteouts and paths within limits of time and memory, or rejects them.

The limits for an input of 1 MiB are 30 s of CPU time and 256 MiB. A message names the limit that the input exceeds.
"""

from __future__ import annotations

import gzip
import os
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Callable, Iterator

CAPABILITY = {"SCHILY.xattr.security.capability": "\x01\0\0\x02\0\x04" + "\0" * 14}
SECONDS, MEMORY = 30, 256 << 20


def _make_entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", records: dict[str, str] | None = None) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.pax_headers = kind, link, records or {}
    return info.tobuf(tarfile.PAX_FORMAT)


def _make_difference() -> Iterator[bytes]:
    """Yields a hard link about which engines differ, so that the layer is unpacked by the rules of every engine."""
    yield _make_entry("capable", records=CAPABILITY)
    yield _make_entry("hard", tarfile.LNKTYPE, "capable")


def _make_chain() -> Iterator[bytes]:
    """Yields forty symbolic links, each with a target of two thousand parts."""
    yield _make_entry("l0", tarfile.SYMTYPE, "d")
    for number in range(1, 39):
        yield _make_entry(f"l{number}", tarfile.SYMTYPE, "./" * 2000 + f"l{number - 1}")
    yield _make_entry("d", tarfile.DIRTYPE)


def symlink_chain() -> Iterator[bytes]:
    yield from _make_chain()
    for number in range(20000):
        yield _make_entry(f"l38/f{number}")


def uncached_chain() -> Iterator[bytes]:
    """Replaces a link before each file, so that no resolved path can be cached."""
    yield from _make_difference()
    yield from _make_chain()
    for number in range(20000):
        yield _make_entry(f"l38/f{number}")
        yield _make_entry("other", tarfile.SYMTYPE, f"{number}")


def many_opaque() -> Iterator[bytes]:
    for number in range(50000):
        yield _make_entry(f"d/{number % 100}/f{number}")
    for _ in range(2000):
        yield _make_entry(".wh..wh..opq")


def deep_opaque() -> Iterator[bytes]:
    yield from _make_difference()
    yield _make_entry("a/" * 2000 + "x")
    for number in range(3000):
        yield _make_entry("a/" * (2000 - number % 2000) + ".wh..wh..opq")


def deep_names() -> Iterator[bytes]:
    for number in range(3000):
        yield _make_entry(f"{number}/" + "a/" * 2040 + "x")


def implied_directories() -> Iterator[bytes]:
    yield from _make_difference()
    for number in range(6000):
        yield _make_entry(f"{number}/" + "a/" * 40 + "x")


def many_directories() -> Iterator[bytes]:
    yield from _make_difference()
    for number in range(130000):
        yield _make_entry(f"{number}", tarfile.DIRTYPE)


def one_path() -> Iterator[bytes]:
    yield from _make_difference()
    for _ in range(250000):
        yield _make_entry("same")


def many_links() -> Iterator[bytes]:
    yield from _make_difference()
    for number in range(60000):
        yield _make_entry(f"h{number}", tarfile.LNKTYPE, "capable")


def many_whiteouts() -> Iterator[bytes]:
    yield from _make_difference()
    for number in range(100000):
        yield _make_entry(f"d/.wh.{number}")


@pytest.mark.parametrize(
    "make_entries",
    [
        symlink_chain,
        uncached_chain,
        many_opaque,
        deep_opaque,
        deep_names,
        implied_directories,
        many_directories,
        one_path,
        many_links,
        many_whiteouts,
    ],
)
def test_time_and_memory_are_limited(tmp_path: pathlib.Path, make_entries: Callable[[], Iterator[bytes]]):
    path = tmp_path / "layer.tar.gz"
    with gzip.open(path, "wb", 6) as stream:
        for entry in make_entries():
            stream.write(entry)
        stream.write(bytes(1024))
    with open(tmp_path / "errors", "w+") as errors:
        process = subprocess.Popen(["tools/getcap/getcap", path], stdout=subprocess.DEVNULL, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        text = errors.read()
    print(f"{make_entries.__name__}: {path.stat().st_size} bytes, {usage.ru_utime:.1f} s, {usage.ru_maxrss >> 10} MiB")
    assert "Traceback" not in text
    assert process.returncode in (0, 1) or (process.returncode == 2 and "limit" in text), text[:400]
    assert usage.ru_utime < SECONDS and usage.ru_maxrss << 10 < MEMORY

"""Links, whiteouts and deep paths: any input of 1 MiB ends within 30 s of CPU time and 256 MiB, or is refused by a limit's name."""

from __future__ import annotations

import gzip
import os
import pathlib
import subprocess
import tarfile
from collections.abc import Callable, Iterator

import pytest

CAPABILITY = {"SCHILY.xattr.security.capability": "\x01\0\0\x02\0\x04" + "\0" * 14}
SECONDS, MEMORY = 30, 256 << 20


def _entry(name: str, type: bytes = tarfile.REGTYPE, link: str = "", records: dict[str, str] | None = None) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.pax_headers = type, link, records or {}
    return info.tobuf(tarfile.PAX_FORMAT)


def _differing() -> Iterator[bytes]:
    """A hard link that engines differ about, so that the layer is unpacked by the rules of each."""
    yield _entry("capable", records=CAPABILITY)
    yield _entry("hard", tarfile.LNKTYPE, "capable")


def _chain() -> Iterator[bytes]:
    """Forty links, each of two thousand parts."""
    yield _entry("l0", tarfile.SYMTYPE, "d")
    for number in range(1, 39):
        yield _entry(f"l{number}", tarfile.SYMTYPE, "./" * 2000 + f"l{number - 1}")
    yield _entry("d", tarfile.DIRTYPE)


def symlink_chain() -> Iterator[bytes]:
    yield from _chain()
    for number in range(20000):
        yield _entry(f"l38/f{number}")


def forgotten_chain() -> Iterator[bytes]:
    """What was resolved cannot be kept, because a link is replaced before each file."""
    yield from _differing()
    yield from _chain()
    for number in range(20000):
        yield _entry(f"l38/f{number}")
        yield _entry("other", tarfile.SYMTYPE, f"{number}")


def many_opaque() -> Iterator[bytes]:
    for number in range(50000):
        yield _entry(f"d/{number % 100}/f{number}")
    for _ in range(2000):
        yield _entry(".wh..wh..opq")


def deep_opaque() -> Iterator[bytes]:
    yield from _differing()
    yield _entry("a/" * 2000 + "x")
    for number in range(3000):
        yield _entry("a/" * (2000 - number % 2000) + ".wh..wh..opq")


def deep_names() -> Iterator[bytes]:
    for number in range(3000):
        yield _entry(f"{number}/" + "a/" * 2040 + "x")


def implied_directories() -> Iterator[bytes]:
    yield from _differing()
    for number in range(6000):
        yield _entry(f"{number}/" + "a/" * 40 + "x")


def many_directories() -> Iterator[bytes]:
    yield from _differing()
    for number in range(130000):
        yield _entry(f"{number}", tarfile.DIRTYPE)


def one_path() -> Iterator[bytes]:
    yield from _differing()
    for _ in range(250000):
        yield _entry("same")


def many_links() -> Iterator[bytes]:
    yield from _differing()
    for number in range(60000):
        yield _entry(f"h{number}", tarfile.LNKTYPE, "capable")


def many_whiteouts() -> Iterator[bytes]:
    yield from _differing()
    for number in range(100000):
        yield _entry(f"d/.wh.{number}")


@pytest.mark.parametrize(
    "make",
    [
        symlink_chain,
        forgotten_chain,
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
def test_time_and_memory(tmp_path: pathlib.Path, make: Callable[[], Iterator[bytes]]):
    path = tmp_path / "layer.tar.gz"
    with gzip.open(path, "wb", 6) as stream:
        for part in make():
            stream.write(part)
        stream.write(bytes(1024))
    with open(tmp_path / "errors", "w+") as errors:
        process = subprocess.Popen(["tools/getcap/getcap", path], stdout=subprocess.DEVNULL, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        text = errors.read()
    print(f"{make.__name__}: {path.stat().st_size} bytes, {usage.ru_utime:.1f} s, {usage.ru_maxrss >> 10} MiB")
    assert "Traceback" not in text
    assert process.returncode in (0, 1) or process.returncode == 2 and "limit" in text, text[:400]
    assert usage.ru_utime < SECONDS and usage.ru_maxrss << 10 < MEMORY

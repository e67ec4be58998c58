"""A file that changes while it is packed is an error, and holes of files are packed everywhere."""

from __future__ import annotations

import errno
import json
import os
import pathlib

import pytest

from rules_setcap.archive.entry import Entry
from rules_setcap.diagnostics.errors import InputError
from rules_setcap.diagnostics.problems import Problems
from rules_setcap.packer import entries, layer_writer, tar_styles

SIZES = {"one byte": 1, "small": 1000, "a byte less than a block": (1 << 20) - 1, "a block": 1 << 20, "large": (3 << 20) + 5}


def _write(directory: pathlib.Path, by_path: dict[str, Entry]) -> bytes:
    """Writes a layer; returns the blob."""
    layer_writer.write_layer(
        str(directory / "blob"),
        by_path.values(),
        {},
        compression="none",
        level=0,
        library="",
        threads=1,
        mtime=0,
        created_by="test",
        style=tar_styles.TAR_STYLES["plain"],
    )
    return (directory / "blob").read_bytes()


def _pack(directory: pathlib.Path, size: int, then: int) -> None:
    """Packs a file whose size changes after the entries have been parsed.

    Args:
      directory: the working directory.
      size: the size before.
      then: the size after.

    Raises:
      InputError: the size is not what it was.
    """
    source = directory / "source"
    source.write_bytes(os.urandom(size))
    problems = Problems()
    by_path = entries.parse_entries([json.dumps({"path": "/file", "source": str(source)})], problems)
    assert not problems
    with open(source, "r+b") as file:
        file.truncate(then)
    _write(directory, by_path)


@pytest.mark.parametrize("name", SIZES)
def test_a_change_of_the_size_is_an_error(name, tmp_path):
    size = SIZES[name]
    _pack(tmp_path, size, size)
    os.unlink(tmp_path / "blob")
    for then in {0, size // 2, size - 1, size + 1, size + 4096, size + (2 << 20)} - {size}:
        with pytest.raises(InputError, match="its size changed while it was read"):
            _pack(tmp_path, size, then)
        assert os.listdir(tmp_path) == ["source"]


@pytest.mark.parametrize("error", [errno.EINVAL, errno.ENOTTY])
def test_a_file_system_without_holes_gives_the_same_bytes(error, tmp_path, monkeypatch):
    with open(tmp_path / "source", "wb") as file:
        file.write(b"x")
        file.seek(5 << 20)
        file.write(b"x")
        file.truncate(7 << 20)
    by_path = entries.parse_entries([json.dumps({"path": "/file", "source": str(tmp_path / "source")})], Problems())
    expected = _write(tmp_path, by_path)
    assert os.stat(tmp_path / "blob").st_blocks * 512 < 3 << 20  # The blob has the holes too.
    seek = os.lseek

    def lseek(file: int, position: int, whence: int) -> int:
        if whence in (os.SEEK_DATA, os.SEEK_HOLE):
            raise OSError(error, os.strerror(error))
        return seek(file, position, whence)

    monkeypatch.setattr(os, "lseek", lseek)
    assert _write(tmp_path, by_path) == expected

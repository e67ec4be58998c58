"""Files that change while they are packed, and files with holes."""

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


def _write(directory: pathlib.Path, found: dict[str, Entry]) -> bytes:
    layer_writer.write_layer(
        str(directory / "blob"),
        found.values(),
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
    """Packs a file that gets another size after the packer has asked for it.

    Raises:
      InputError: the packer refuses it.
    """
    source = directory / "source"
    source.write_bytes(os.urandom(size))
    problems = Problems()
    found = entries.parse_entries([json.dumps({"path": "/file", "source": str(source)})], problems)
    assert not problems
    with open(source, "r+b") as file:
        file.truncate(then)
    _write(directory, found)


@pytest.mark.parametrize("name", SIZES)
def test_size_changes(name, tmp_path):
    size = SIZES[name]
    _pack(tmp_path, size, size)
    os.unlink(tmp_path / "blob")
    for then in {0, size // 2, size - 1, size + 1, size + 4096, size + (2 << 20)} - {size}:
        with pytest.raises(InputError, match="its size changed while it was read"):
            _pack(tmp_path, size, then)
        assert os.listdir(tmp_path) == ["source"]


@pytest.mark.parametrize("error", [errno.EINVAL, errno.ENOTTY])
def test_file_systems_that_know_no_holes(error, tmp_path, monkeypatch):
    with open(tmp_path / "source", "wb") as file:
        file.write(b"x")
        file.seek(5 << 20)
        file.write(b"x")
        file.truncate(7 << 20)
    found = entries.parse_entries([json.dumps({"path": "/file", "source": str(tmp_path / "source")})], [])
    expected = _write(tmp_path, found)
    assert os.stat(tmp_path / "blob").st_blocks * 512 < 3 << 20  # Where they are known, they are holes again.
    seek = os.lseek

    def lseek(file: int, position: int, whence: int) -> int:
        if whence in (os.SEEK_DATA, os.SEEK_HOLE):
            raise OSError(error, os.strerror(error))
        return seek(file, position, whence)

    monkeypatch.setattr(os, "lseek", lseek)
    assert _write(tmp_path, found) == expected

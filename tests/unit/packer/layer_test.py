"""Files that change while they are packed are refused, and nothing is written."""

from __future__ import annotations

import json
import os
import pathlib

import pytest

from packer import entries, layer, styles
from packer.errors import InputError

SIZES = {"one byte": 1, "small": 1000, "a byte less than a block": (1 << 20) - 1, "a block": 1 << 20, "large": (3 << 20) + 5}


def _pack(directory: pathlib.Path, size: int, then: int) -> None:
    """Packs a file that gets another size after the packer has asked for it.

    Raises:
      InputError: the packer refuses it.
    """
    source = directory / "source"
    source.write_bytes(os.urandom(size))
    problems: list[str] = []
    found = entries.read([json.dumps({"path": "/file", "source": str(source)})], problems)
    assert problems == []
    with open(source, "r+b") as file:
        file.truncate(then)
    layer.write(
        str(directory / "blob"),
        found.values(),
        {},
        compression="none",
        level=0,
        library="",
        threads=1,
        mtime=0,
        created_by="test",
        style=styles.STYLES["plain"],
    )


@pytest.mark.parametrize("name", SIZES)
def test_size_changes(name, tmp_path):
    size = SIZES[name]
    _pack(tmp_path, size, size)
    os.unlink(tmp_path / "blob")
    for then in {0, size // 2, size - 1, size + 1, size + 4096, size + (2 << 20)} - {size}:
        with pytest.raises(InputError, match="its size changed while it was read"):
            _pack(tmp_path, size, then)
        assert os.listdir(tmp_path) == ["source"]

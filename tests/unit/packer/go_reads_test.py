"""Go's archive/tar reads the requested entries in a layer, and would write the same bytes."""

from __future__ import annotations

import base64
import json
import pathlib
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import drawn
import pytest
from hypothesis import given, settings
from samples import KINDS, XATTR, ReadEntry, decompress

from support import go as golang


@pytest.fixture(scope="module")
def go(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[pathlib.Path], dict[str, Any]]]:
    """Returns a function that reads a tar, or one in gzip, by goread/main.go."""
    program = golang.build(pathlib.Path(__file__).with_name("goread") / "main.go", tmp_path_factory.mktemp("go"))
    with subprocess.Popen([str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:

        def read(path: pathlib.Path) -> dict[str, Any]:
            process.stdin.write(json.dumps(str(path)).encode() + b"\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield read


@given(sample=drawn.ANY)
@settings(drawn.SETTINGS, max_examples=250)
def test_go_reads_the_requested_entries(go, sample):
    with sample.pack_temporarily() as (blob, metadata):
        if sample.compression == "zstd":  # Go's library cannot read it.
            blob.write_bytes(decompress(blob, "zstd"))
        read = go(blob)
    assert read["Error"] == ""
    entries = []
    for entry in read["Entries"]:
        name, kind = base64.b64decode(entry["Name"]).decode(), KINDS[entry["Type"]]
        records = {key: base64.b64decode(value) for key, value in sorted(entry["Records"].items())}
        xattrs = {key.removeprefix(XATTR): value for key, value in records.items() if key.startswith(XATTR)}
        assert name.endswith("/") == (kind == "directory")
        # These are records of values that do not fit into the header.
        assert {key for key in records if not key.startswith(XATTR)} <= {"path", "linkpath", "uid", "gid", "mtime"}
        entries.append(
            ReadEntry(
                name.removesuffix("/"),
                kind,
                *(entry[key] for key in ("Mode", "Uid", "Gid", "Mtime", "Size", "Content")),
                base64.b64decode(entry["Link"]).decode(),
                xattrs,
            )
        )
    assert entries == sample.expected_entries()
    assert "sha256:" + read["Tar"] == metadata["diff_id"]
    assert read["Rewritten"] == read["Tar"]

"""Go's archive/tar finds in a layer what went in."""

from __future__ import annotations

import base64
import json
import pathlib
import subprocess
from typing import Any, Callable, Iterator

import drawn
import pytest
from hypothesis import given, settings
from samples import KINDS, XATTR, Found, unpacked

from support import go as golang


@pytest.fixture(scope="module")
def go(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[pathlib.Path], dict[str, Any]]]:
    """A function from a tar, or one in gzip, to what Go reads in it: goread/main.go."""
    program = golang.build(pathlib.Path(__file__).with_name("goread") / "main.go", tmp_path_factory.mktemp("go"))
    with subprocess.Popen([str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:

        def read(path: pathlib.Path) -> dict[str, Any]:
            process.stdin.write(json.dumps(str(path)).encode() + b"\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield read


@given(sample=drawn.ANY)
@settings(drawn.SETTINGS, max_examples=250)
def test_go_reads_what_went_in(go, sample):
    """And would have written it, byte for byte."""
    with sample.packed() as (blob, metadata):
        if sample.compression == "zstd":  # Which Go's library cannot read.
            blob.write_bytes(unpacked(blob, "zstd"))
        read = go(blob)
    assert read["Error"] == ""
    found = []
    for entry in read["Entries"]:
        name, kind = base64.b64decode(entry["Name"]).decode(), KINDS[entry["Type"]]
        records = {key: base64.b64decode(value) for key, value in sorted(entry["Records"].items())}
        xattrs = {key.removeprefix(XATTR): value for key, value in records.items() if key.startswith(XATTR)}
        assert name.endswith("/") == (kind == "directory")
        # What does not fit the header, and nothing else.
        assert {key for key in records if not key.startswith(XATTR)} <= {"path", "linkpath", "uid", "gid", "mtime"}
        found.append(
            Found(
                name.removesuffix("/"),
                kind,
                *(entry[key] for key in ("Mode", "Uid", "Gid", "Mtime", "Size", "Content")),
                base64.b64decode(entry["Link"]).decode(),
                xattrs,
            )
        )
    assert found == sample.found()
    assert "sha256:" + read["Tar"] == metadata["diff_id"]
    assert read["Rewritten"] == read["Tar"]

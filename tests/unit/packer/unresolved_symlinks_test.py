"""Unresolved symlinks stay links, and the links that Bazel makes are followed."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import pathlib
from typing import Any

import pytest

from rules_setcap.archive.entry import Entry
from rules_setcap.diagnostics.problems import Problems
from rules_setcap.packer import entries

BIN = "bazel-out/k8-fastbuild/bin"


@pytest.fixture
def execroot(tmp_path, monkeypatch) -> pathlib.Path:
    """Returns a directory like Bazel's execution root; it is the working directory."""
    directory = tmp_path / "output_base/execroot/_main"
    (directory / BIN / "pkg").mkdir(parents=True)
    (directory / BIN / "file").write_bytes(b"content")
    monkeypatch.chdir(directory)
    return directory


def _parse(fields: dict[str, Any], digests: dict[str, bytes] | None = None) -> Entry:
    """Returns the entry with some fields.

    Args:
      fields: of the line of the request.
      digests: by path, as Bazel sends them to a worker.
    """
    encoded = {path: base64.b64encode(digest.hex().encode()).decode() for path, digest in (digests or {}).items()}
    problems = Problems()
    by_path = entries.parse_entries([json.dumps({"path": "/x", "mode": "0644", "uid": 7, **fields})], problems, lambda: encoded)
    assert not problems
    return by_path["/x"]


def _hash_link(text: str) -> bytes:
    """Returns the digest that Bazel 7.7.1 sends to a worker for an unresolved symlink."""
    digest = hashlib.sha256(text.encode()).digest()
    return bytes([digest[0] ^ 0xFF]) + digest[1:]


TEXTS = ["../file", "../../elsewhere/python3", "file", ".pnpm/foo@1/node_modules/foo", "..", "ü", "/usr/bin/env", "/opt/none"]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("worker", [True, False])
def test_an_unresolved_symlink_is_kept(execroot, text, worker):
    output = f"{BIN}/pkg/link"
    os.symlink(text, output)
    entry = _parse({"output": output}, {output: _hash_link(text)} if worker else {})
    assert (entry.type, entry.target, entry.source, entry.mode, entry.uid, entry.size) == ("symlink", text, "", 0o777, 7, 0)


def test_a_symlink_of_bazel_8_is_kept_wherever_it_leads(execroot):
    for number, text in enumerate([*TEXTS, f"{execroot}/{BIN}/file"]):
        os.symlink(text, f"{BIN}/pkg/link{number}")
        entry = _parse({"type": "symlink", "source": f"{BIN}/pkg/link{number}"})
        assert (entry.type, entry.target, entry.source, entry.mode) == ("symlink", text, "", 0o777)


def _check_followed(output: str, digests: dict[str, bytes] | None = None, **fields: Any) -> None:
    """Checks that the entry is the file that a link leads to."""
    entry = _parse(fields or {"output": output}, digests)
    assert (entry.type, entry.source, entry.size, entry.mode) == ("file", output, 7, 0o644)


def test_links_that_bazel_makes_are_check_followed(execroot):
    output = f"{BIN}/pkg/link"
    source = execroot.parents[2] / "workspace/app/source"
    source.parent.mkdir(parents=True)
    source.write_bytes(b"content")
    os.symlink(source.parent, "app")
    external = execroot.parents[1] / "external/repo/source"
    external.parent.mkdir(parents=True)
    external.write_bytes(b"content")
    os.symlink(external.parents[1], "external")
    # A sandbox has such links, and symlink(target_file = ...) makes them.
    for text in (execroot / BIN / "file", source, external):
        os.symlink(text, output)
        _check_followed(output)
        os.unlink(output)


def test_a_file_that_an_action_made_as_a_relative_link_is_check_followed(execroot):
    """A worker knows it by the digest. In a sandbox and on a remote executor, it is not a relative link."""
    output = f"{BIN}/pkg/link"
    os.symlink("../file", output)
    _check_followed(output, {output: hashlib.sha256(b"content").digest()})
    # With another digest function, it is not known. Most relative links are unresolved symlinks.
    assert _parse({"output": output}, {output: hashlib.blake2s(b"content").digest()}).type == "symlink"


def test_sources_are_check_followed(execroot):
    os.symlink(f"{BIN}/file", "source")
    _check_followed("source", source="source")


def test_an_ordinary_output_is_a_file(execroot):
    _check_followed(f"{BIN}/file")


def test_a_target_that_a_tar_cannot_hold_is_a_problem(execroot):
    os.symlink(b"\xff", f"{BIN}/link")
    problems = Problems()
    assert entries.parse_entries([json.dumps({"path": "/x", "output": f"{BIN}/link"})], problems) == {}
    assert list(problems) == ['srcs: "/x": is not UTF-8']

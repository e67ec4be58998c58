"""Unresolved symlinks among a layer's inputs stay links; the other links that Bazel uses are followed."""

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
    """A directory like Bazel's execution root, which is the working directory."""
    directory = tmp_path / "output_base/execroot/_main"
    (directory / BIN / "pkg").mkdir(parents=True)
    (directory / BIN / "file").write_bytes(b"content")
    monkeypatch.chdir(directory)
    return directory


def _read(fields: dict[str, Any], digests: dict[str, bytes] = {}) -> Entry:
    encoded = {path: base64.b64encode(digest.hex().encode()).decode() for path, digest in digests.items()}
    problems = Problems()
    found = entries.parse_entries([json.dumps({"path": "/x", "mode": "0644", "uid": 7, **fields})], problems, lambda: encoded)
    assert not problems
    return found["/x"]


def _link_digest(text: str) -> bytes:
    """What Bazel 7.7.1 sends to a worker for an unresolved symlink."""
    digest = hashlib.sha256(text.encode()).digest()
    return bytes([digest[0] ^ 0xFF]) + digest[1:]


TEXTS = ["../file", "../../elsewhere/python3", "file", ".pnpm/foo@1/node_modules/foo", "..", "ü", "/usr/bin/env", "/opt/none"]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("worker", [True, False])
def test_an_unresolved_symlink_is_kept(execroot, text, worker):
    output = f"{BIN}/pkg/link"
    os.symlink(text, output)
    entry = _read({"output": output}, {output: _link_digest(text)} if worker else {})
    assert (entry.type, entry.target, entry.source, entry.mode, entry.uid, entry.size) == ("symlink", text, "", 0o777, 7, 0)


def test_what_bazel_8_calls_a_symlink_is_kept_wherever_it_leads(execroot):
    for number, text in enumerate([*TEXTS, f"{execroot}/{BIN}/file"]):
        os.symlink(text, f"{BIN}/pkg/link{number}")
        entry = _read({"type": "symlink", "source": f"{BIN}/pkg/link{number}"})
        assert (entry.type, entry.target, entry.source, entry.mode) == ("symlink", text, "", 0o777)


def _followed(output: str, digests: dict[str, bytes] = {}, **fields: Any) -> None:
    entry = _read(fields or {"output": output}, digests)
    assert (entry.type, entry.source, entry.size, entry.mode) == ("file", output, 7, 0o644)


def test_links_that_bazel_makes_are_followed(execroot):
    output = f"{BIN}/pkg/link"
    source = execroot.parents[2] / "workspace/app/source"
    source.parent.mkdir(parents=True)
    source.write_bytes(b"content")
    os.symlink(source.parent, "app")
    external = execroot.parents[1] / "external/repo/source"
    external.parent.mkdir(parents=True)
    external.write_bytes(b"content")
    os.symlink(external.parents[1], "external")
    # A sandbox's (there, another directory is the working directory); symlink(target_file = ...) to files of all kinds.
    for text in (execroot / BIN / "file", source, external):
        os.symlink(text, output)
        _followed(output)
        os.unlink(output)


def test_a_file_that_an_action_made_as_a_relative_link_is_followed(execroot):
    """A worker can tell by the digest; in sandboxes and on remote executors it is no relative link."""
    output = f"{BIN}/pkg/link"
    os.symlink("../file", output)
    _followed(output, {output: hashlib.sha256(b"content").digest()})
    # With another digest function nothing is known, and most relative links are unresolved symlinks.
    assert _read({"output": output}, {output: hashlib.blake2s(b"content").digest()}).type == "symlink"


def test_sources_are_followed(execroot):
    os.symlink(f"{BIN}/file", "source")
    _followed("source", source="source")


def test_an_ordinary_output(execroot):
    _followed(f"{BIN}/file")


def test_a_text_that_no_tar_holds(execroot):
    os.symlink(b"\xff", f"{BIN}/link")
    problems = Problems()
    assert entries.parse_entries([json.dumps({"path": "/x", "output": f"{BIN}/link"})], problems) == {}
    assert list(problems) == ['srcs: "/x": is not UTF-8']

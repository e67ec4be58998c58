"""What went in comes out, whoever reads it; or there is a clear error."""

from __future__ import annotations

import io
import json
import os
import pathlib
import subprocess
import tarfile
import tempfile
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from packer import cli
from support import require

# Any text that a path may be made of, long parts and other scripts among it.
PARTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=12),
    st.sampled_from(["a", "b", "usr", "x" * 99, "y" * 101, "z" * 200, "日本語" * 20, "with space", "new\nline", "-", "=", "é"]),
).filter(lambda part: part not in (".", "..") and len(part.encode()) < 256)
PATHS = st.lists(PARTS, min_size=1, max_size=5).map(lambda parts: "/" + "/".join(parts))
ENTRIES = st.lists(
    st.tuples(
        PATHS,
        st.sampled_from(["file", "directory", "symlink"]),
        st.binary(max_size=1100),
        st.sampled_from(["0755", "0644", "4711", "0000"]),
        st.sampled_from([0, 1000, 65532, 1 << 21, (1 << 32) - 2]),
        PARTS,
    ),
    max_size=8,
)


def _pack(directory: pathlib.Path, chosen: list[Any]) -> tuple[dict[str, Any], bytes | None]:
    """Packs the entries; returns them by name with what they are to be, and the tar, or None after a clear error."""
    wanted: dict[str, Any] = {}
    lines = []
    for number, (path, kind, content, mode, uid, target) in enumerate(chosen):
        entry: dict[str, Any] = {"path": path, "type": kind, "uid": uid, "gid": uid}
        if kind == "file":
            entry.update(source=str(directory / f"source{number}"), mode=mode)
            (directory / f"source{number}").write_bytes(content)
        if kind == "symlink":
            entry["target"] = target
        lines.append(json.dumps(entry))
        wanted[path[1:]] = (kind, uid, int(mode, 8) if kind == "file" else None, content if kind == "file" else target if kind == "symlink" else None)
    output = directory / "blob"
    arguments = ["layer", "--target=//:fuzz", f"--output={output}", f"--metadata={directory}/metadata"]
    status, said = cli.run([*arguments, "--compression=none", "--created-by=fuzz", *lines])
    if status:
        assert status == 1 and all(line.startswith("//:fuzz: srcs: ") for line in said.split("\n")), said
        assert not output.exists()
        return wanted, None
    return wanted, output.read_bytes()


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(ENTRIES)
def test_python_reads_what_went_in(chosen):
    with tempfile.TemporaryDirectory() as directory:
        wanted, tar = _pack(pathlib.Path(directory), chosen)
    if tar is None:
        return
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        found = {entry.name: entry for entry in archive}
        for name, (kind, uid, mode, content) in wanted.items():
            entry = found.pop(name)
            assert (entry.isreg(), entry.isdir(), entry.issym()) == (kind == "file", kind == "directory", kind == "symlink")
            assert (entry.uid, entry.gid, entry.mtime) == (uid, uid, 0)
            if kind == "file":
                reader = archive.extractfile(entry)
                assert reader is not None and (entry.mode, reader.read()) == (mode, content)
            if kind == "symlink":
                assert entry.linkname == content
        # What is left are the parents.
        assert all(entry.isdir() for entry in found.values())


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(ENTRIES)
def test_gnu_tar_and_bsdtar_unpack_what_went_in(chosen):
    chosen = [(path, kind, content, "0644", uid, target) for path, kind, content, _, uid, target in chosen]
    for reader in ("tar", "bsdtar"):
        with tempfile.TemporaryDirectory() as directory:
            here = pathlib.Path(directory)
            wanted, tar = _pack(here, chosen)
            if tar is None:
                return
            (here / "out").mkdir()
            environment = {**os.environ, "LC_ALL": "C.UTF-8"}
            subprocess.run(
                [require.tool(reader), "-xf", here / "blob", "-C", here / "out", "--no-same-owner"], check=True, env=environment
            )
            for name, (kind, _, _, content) in wanted.items():
                path = here / "out" / name
                if kind == "file":
                    assert path.read_bytes() == content
                elif kind == "symlink":
                    assert os.readlink(path) == content
                else:
                    assert path.is_dir() and not path.is_symlink()


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.one_of(st.text(max_size=40), st.dictionaries(st.sampled_from(["path", "type", "source", "mode", "uid", "x"]), st.one_of(st.text(max_size=8), st.integers(), st.none())).map(json.dumps)), max_size=6))
def test_any_lines_are_packed_or_refused(lines):
    with tempfile.TemporaryDirectory() as directory:
        arguments = ["layer", "--target=//:fuzz", f"--output={directory}/blob", f"--metadata={directory}/metadata"]
        status, _ = cli.run([*arguments, "--compression=none", "--created-by=fuzz", *lines])
        assert status in (0, 1, 2)
        assert sorted(os.listdir(directory)) == (["blob", "metadata"] if status == 0 else [])

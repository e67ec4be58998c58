"""Random layers are read by other programs as they were requested, and invalid requests are refused."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import pathlib
import subprocess
import tarfile
import tempfile

import drawn
import samples
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import KINDS, XATTR, ReadEntry, Sample, decompress

from support import libcap, require

_MEDIA_TYPES = {"none": "tar", "gzip": "tar+gzip", "zlib": "tar+gzip", "zstd": "tar+zstd"}


@given(drawn.ANY)
@settings(drawn.SETTINGS, max_examples=200)
def test_python_reads_the_requested_entries(sample):
    with sample.pack_temporarily() as (blob, _):
        tar = decompress(blob, sample.compression)
    entries = []
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        for entry in archive:
            content = archive.extractfile(entry).read() if entry.isreg() else b""
            xattrs = {
                key.removeprefix(XATTR): value.encode("utf-8", "surrogateescape")
                for key, value in sorted(entry.pax_headers.items())
                if key.startswith(XATTR)
            }
            assert (entry.uname, entry.gname) == ("", "")
            entries.append(
                ReadEntry(
                    entry.name,
                    KINDS[entry.type.decode()],
                    *(entry.mode, entry.uid, entry.gid, entry.mtime, entry.size),
                    *(hashlib.sha256(content).hexdigest(), entry.linkname, xattrs),
                )
            )
    assert entries == sample.expected_entries()
    # The tar has whole blocks, the last two of zeros.
    assert len(tar) % 512 == 0 and tar.endswith(bytes(1024))


@given(drawn.ANY)
@settings(drawn.SETTINGS, max_examples=100)
def test_the_metadata_agrees_with_the_bytes(sample):
    with sample.pack_temporarily() as (blob, metadata):
        data, tar = blob.read_bytes(), decompress(blob, sample.compression)
    assert metadata["descriptor"] == {
        "mediaType": "application/vnd.oci.image.layer.v1." + _MEDIA_TYPES[sample.compression],
        "digest": "sha256:" + hashlib.sha256(data).hexdigest(),
        "size": len(data),
    }
    assert metadata["diff_id"] == "sha256:" + hashlib.sha256(tar).hexdigest()
    assert metadata["created_by"] == "fuzz"
    entries = sample.expected_entries()
    contents = metadata["contents"]
    assert contents["directories"] == {
        "/" + entry.path: [entry.mode, entry.uid, entry.gid] for entry in entries if entry.kind == "directory"
    }
    assert contents["links"] == {"/" + entry.path: entry.link for entry in entries if entry.kind == "symlink"}
    assert contents["files"] == sorted("/" + entry.path for entry in entries if entry.kind in ("file", "hardlink"))
    reference = libcap.Libcap()
    assert {path: reference.from_text(text) for path, text in metadata["capabilities"].items()} == sample.expected_sets()


@given(drawn.samples(modes=st.sampled_from([0o755, 0o644]), xattrs_of=()))
@settings(drawn.SETTINGS, max_examples=60)
def test_gnu_tar_and_bsdtar_unpack_the_requested_entries(sample):
    """Any user may run this test; restore_test checks what only root can restore."""
    for reader in (
        "tar",
        "bsdtar -P",
    ):  # Without -P, bsdtar changes names such as "\\a" and "c:/a", which are absolute elsewhere.
        with sample.pack_temporarily() as (blob, _):
            root = blob.with_name("root")
            root.mkdir()
            program, *flags = reader.split()
            command = [require.tool(program), *flags, "-xf", blob, "-C", root, "--no-same-owner"]
            subprocess.run(command, check=True, env={**os.environ, "LC_ALL": "C.UTF-8"})
            with contextlib.chdir(root):  # A name may be as long as the longest path, so a directory before it would be too much.
                for entry in sample.expected_entries():
                    if entry.kind == "file":
                        assert hashlib.sha256(pathlib.Path(entry.path).read_bytes()).hexdigest() == entry.content
                    elif entry.kind == "symlink":
                        assert os.readlink(entry.path) == entry.link
                    elif entry.kind == "hardlink":
                        assert os.path.samestat(os.lstat(entry.path), os.lstat(entry.link))
                    else:
                        assert os.path.isdir(entry.path) and not os.path.islink(entry.path)


@st.composite
def _invalid_requests(draw: st.DrawFn) -> tuple[Sample, str]:
    """Draws a layer, and the line of a further entry that is not valid besides the others."""
    sample = draw(drawn.ANY.filter(lambda sample: sample.requested))
    path = draw(st.sampled_from(list(sample.requested)))
    entry = sample.requested[path]
    invalid = [
        {"path": path, "type": "symlink", "target": "another" + entry.target},
        {"path": path, "uid": 4242},
        {"path": "/link", "type": "hardlink", "target": path + "-nowhere"},
        {"path": path + "/../x"},
        {"path": path + "//x"},
        {"path": path[1:]},
        {"path": path + "\0"},
        {"path": path + "\ud800"},
        {"path": path + "/x", "uid": -1},
    ]
    if entry.kind != "directory":
        invalid += [{"path": path + "/x"}, {"path": path + "/x/y", "type": "directory"}]
        invalid += [{"path": path, "type": "directory"}]
    return sample, json.dumps(draw(st.sampled_from(invalid)))


@given(_invalid_requests())
@settings(drawn.SETTINGS, max_examples=150)
def test_an_invalid_request_is_refused(request):
    sample, line = request
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        status, messages = samples.run_packer(directory, [*sample.write_request(directory), line])
        assert status == 1 and messages.endswith("\n"), messages
        assert all(line.startswith(f"{samples.TARGET}: srcs: ") for line in messages[:-1].split("\n")), messages
        assert all(name.startswith("source") for name in os.listdir(directory))


_FIELDS = st.dictionaries(
    st.sampled_from(["path", "type", "source", "mode", "uid", "x"]),
    st.one_of(st.text(max_size=8), st.integers(), st.none()),
)


@given(st.lists(st.one_of(st.text(max_size=40), _FIELDS.map(json.dumps)), max_size=6))
@settings(drawn.SETTINGS, max_examples=300)
def test_any_lines_are_packed_or_refused(lines):
    with tempfile.TemporaryDirectory() as directory:
        status, _ = samples.run_packer(pathlib.Path(directory), ["--compression=none", *lines])
        assert status in (0, 1, 2)
        assert sorted(os.listdir(directory)) == (["blob", "metadata"] if status == 0 else [])

"""What went in comes out, whoever reads it; or there is a clear error."""

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
from samples import KINDS, XATTR, Found, Sample, unpacked

from support import libcap, require

_MEDIA_TYPES = {"none": "tar", "gzip": "tar+gzip", "libdeflate": "tar+gzip", "zstd": "tar+zstd"}


@given(drawn.ANY)
@settings(drawn.SETTINGS, max_examples=200)
def test_python_reads_what_went_in(sample):
    with sample.packed() as (blob, _):
        tar = unpacked(blob, sample.compression)
    found = []
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        for entry in archive:
            content = archive.extractfile(entry).read() if entry.isreg() else b""
            xattrs = {
                key.removeprefix(XATTR): value.encode("utf-8", "surrogateescape")
                for key, value in sorted(entry.pax_headers.items())
                if key.startswith(XATTR)
            }
            assert (entry.uname, entry.gname) == ("", "")
            found.append(
                Found(
                    entry.name,
                    KINDS[entry.type.decode()],
                    *(entry.mode, entry.uid, entry.gid, entry.mtime, entry.size),
                    *(hashlib.sha256(content).hexdigest(), entry.linkname, xattrs),
                )
            )
    assert found == sample.found()
    # Whole blocks, and two of zeros after the last.
    assert len(tar) % 512 == 0 and tar.endswith(bytes(1024))


@given(drawn.ANY)
@settings(drawn.SETTINGS, max_examples=100)
def test_metadata_says_what_the_bytes_say(sample):
    with sample.packed() as (blob, metadata):
        data, tar = blob.read_bytes(), unpacked(blob, sample.compression)
    assert metadata["descriptor"] == {
        "mediaType": "application/vnd.oci.image.layer.v1." + _MEDIA_TYPES[sample.compression],
        "digest": "sha256:" + hashlib.sha256(data).hexdigest(),
        "size": len(data),
    }
    assert metadata["diff_id"] == "sha256:" + hashlib.sha256(tar).hexdigest()
    assert metadata["created_by"] == "fuzz"
    found = sample.found()
    contents = metadata["contents"]
    assert contents["directories"] == {"/" + each.path: [each.mode, each.uid, each.gid] for each in found if each.kind == "directory"}
    assert contents["links"] == {"/" + each.path: each.link for each in found if each.kind == "symlink"}
    assert contents["files"] == sorted("/" + each.path for each in found if each.kind in ("file", "hardlink"))
    reference = libcap.Libcap()
    assert {path: reference.from_text(text) for path, text in metadata["capabilities"].items()} == sample.sets()


@given(drawn.samples(modes=st.sampled_from([0o755, 0o644]), xattrs_of=()))
@settings(drawn.SETTINGS, max_examples=60)
def test_gnu_tar_and_bsdtar_unpack_what_went_in(sample):
    """By anybody; restore_test has what only root can restore."""
    for reader in ("tar", "bsdtar -P"):  # Without -P bsdtar takes names as "\\a" and "c:/a" for absolute ones.
        with sample.packed() as (blob, _):
            root = blob.with_name("root")
            root.mkdir()
            program, *flags = reader.split()
            command = [require.tool(program), *flags, "-xf", blob, "-C", root, "--no-same-owner"]
            subprocess.run(command, check=True, env={**os.environ, "LC_ALL": "C.UTF-8"})
            with contextlib.chdir(root):  # Names alone may be as long as the system takes them.
                for entry in sample.found():
                    if entry.kind == "file":
                        assert hashlib.sha256(pathlib.Path(entry.path).read_bytes()).hexdigest() == entry.content
                    elif entry.kind == "symlink":
                        assert os.readlink(entry.path) == entry.link
                    elif entry.kind == "hardlink":
                        assert os.path.samestat(os.lstat(entry.path), os.lstat(entry.link))
                    else:
                        assert os.path.isdir(entry.path) and not os.path.islink(entry.path)


@st.composite
def _refused(draw: st.DrawFn) -> tuple[Sample, str]:
    """A layer with one more entry that cannot be beside the others; and its line."""
    sample = draw(drawn.ANY.filter(lambda sample: sample.wishes))
    path = draw(st.sampled_from(list(sample.wishes)))
    wish = sample.wishes[path]
    wrong = [
        {"path": path, "type": "symlink", "target": "another" + wish.target},
        {"path": path, "uid": 4242},
        {"path": "/link", "type": "hardlink", "target": path + "-nowhere"},
        {"path": path + "/../x"},
        {"path": path + "//x"},
        {"path": path[1:]},
        {"path": path + "\0"},
        {"path": path + "\ud800"},
        {"path": path + "/x", "uid": -1},
    ]
    if wish.kind != "directory":
        wrong += [{"path": path + "/x"}, {"path": path + "/x/y", "type": "directory"}]
        wrong += [{"path": path, "type": "directory"}]
    return sample, json.dumps(draw(st.sampled_from(wrong)))


@given(_refused())
@settings(drawn.SETTINGS, max_examples=150)
def test_what_cannot_be_is_refused(chosen):
    sample, line = chosen
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        status, said = samples.run(directory, [*sample.lines(directory), line])
        assert status == 1 and said.endswith("\n"), said
        assert all(line.startswith(f"{samples.TARGET}: srcs: ") for line in said[:-1].split("\n")), said
        assert all(name.startswith("source") for name in os.listdir(directory))


_FIELDS = st.dictionaries(
    st.sampled_from(["path", "type", "source", "mode", "uid", "x"]),
    st.one_of(st.text(max_size=8), st.integers(), st.none()),
)


@given(st.lists(st.one_of(st.text(max_size=40), _FIELDS.map(json.dumps)), max_size=6))
@settings(drawn.SETTINGS, max_examples=300)
def test_any_lines_are_packed_or_refused(lines):
    with tempfile.TemporaryDirectory() as directory:
        status, _ = samples.run(pathlib.Path(directory), ["--compression=none", *lines])
        assert status in (0, 1, 2)
        assert sorted(os.listdir(directory)) == (["blob", "metadata"] if status == 0 else [])

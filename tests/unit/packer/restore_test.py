"""GNU tar and bsdtar, run by root, restore everything that was requested, with capabilities and other attributes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import stat
import subprocess
import tempfile

import drawn
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import ReadEntry

from support import require

READERS = {
    # Hard links come last. Without this option, GNU tar has set the times of their directories by then.
    "tar": ["tar", "--xattrs", "--xattrs-include=*", "--delay-directory-restore", "-xpf"],
    # Without -P, bsdtar changes names such as "\\a" and "c:/a", which are absolute on other systems.
    "bsdtar": ["bsdtar", "-xpPf"],
}
_KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink"}
# GNU tar replaces %25 and %3D in a name by "%" and "=", which its own archives encode so.
_LAST_NAMES = st.text("abcXYZ019_-+,:; ~\"'\\", min_size=1, max_size=20)
SAMPLES = drawn.samples(
    mtimes=st.sampled_from([0, 1, 1700000000]),
    xattr_names=st.tuples(drawn.XATTR_NAMESPACES, _LAST_NAMES).map(".".join),
    xattrs_of=("file", "directory"),  # The kernel supports user.* on these only.
)


def _read_entry(path: str) -> ReadEntry:
    """Returns the entry on disk. A hard link is a file."""
    status = os.lstat(path)
    kind = _KINDS[stat.S_IFMT(status.st_mode)]
    content = pathlib.Path(path).read_bytes() if kind == "file" else b""
    names = sorted(set(os.listxattr(path, follow_symlinks=False)) - {"security.selinux"})
    return ReadEntry(
        path,
        kind,
        *(stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, int(status.st_mtime), len(content)),
        hashlib.sha256(content).hexdigest(),
        os.readlink(path) if kind == "symlink" else "",
        {name: os.getxattr(path, name, follow_symlinks=False) for name in names},
    )


@pytest.mark.parametrize("reader", READERS)
@given(sample=SAMPLES)
@settings(drawn.SETTINGS, max_examples=150)
def test_everything_is_restored(reader, sample):
    require.root()
    command = [require.tool(reader), *READERS[reader][1:]]
    # Not in /tmp, which may not support extended attributes.
    with tempfile.TemporaryDirectory(dir=os.environ["TEST_TMPDIR"]) as directory:
        blob, _ = sample.pack(pathlib.Path(directory))
        root = blob.with_name("root")
        root.mkdir()
        subprocess.run([*command, blob, "-C", root], check=True, env={**os.environ, "LC_ALL": "C.UTF-8"})
        with contextlib.chdir(root):  # A name may be as long as the longest path, so a directory before it would be too much.
            entries = sample.expected_entries()
            files = {entry.path: entry for entry in entries}
            for expected in entries:
                entry = expected
                if entry.kind == "hardlink":
                    assert os.path.samestat(os.lstat(entry.path), os.lstat(entry.link))
                    # Both names have the attributes of the one file.
                    file = files[entry.link]
                    assert entry.xattrs == file.xattrs
                    entry = file._replace(path=entry.path)
                assert _read_entry(entry.path) == entry

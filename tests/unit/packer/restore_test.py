"""GNU tar and bsdtar, as root, put on the disk all that went into a layer: capabilities and other attributes, too."""

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
from samples import Found

from support import require

READERS = {
    # Hard links come last, when GNU tar has already set the time of the directory that they go to: unless it waits.
    "tar": ["tar", "--xattrs", "--xattrs-include=*", "--delay-directory-restore", "-xpf"],
    # Without -P bsdtar takes names as "\\a" and "c:/a" for absolute ones, of another system.
    "bsdtar": ["bsdtar", "-xpPf"],
}
_KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink"}
# GNU tar takes %25 and %3D in a name for "%" and "=", as its own archives have them.
_LAST_NAMES = st.text("abcXYZ019_-+,:; ~\"'\\", min_size=1, max_size=20)
SAMPLES = drawn.samples(
    mtimes=st.sampled_from([0, 1, 1700000000]),
    xattr_names=st.tuples(drawn.XATTR_NAMESPACES, _LAST_NAMES).map(".".join),
    xattrs_of=("file", "directory"),  # The kernel keeps user.* of no other.
)


def _on_disk(path: str) -> Found:
    """What lies at a path; a hard link counts as a file."""
    status = os.lstat(path)
    kind = _KINDS[stat.S_IFMT(status.st_mode)]
    content = pathlib.Path(path).read_bytes() if kind == "file" else b""
    names = sorted(set(os.listxattr(path, follow_symlinks=False)) - {"security.selinux"})
    return Found(
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
def test_all_is_restored(reader, sample):
    require.root()
    command = [require.tool(reader), *READERS[reader][1:]]
    # On the file system of the tests, not on /tmp, which may keep no attributes.
    with tempfile.TemporaryDirectory(dir=os.environ["TEST_TMPDIR"]) as directory:
        blob, _ = sample.pack(pathlib.Path(directory))
        root = blob.with_name("root")
        root.mkdir()
        subprocess.run([*command, blob, "-C", root], check=True, env={**os.environ, "LC_ALL": "C.UTF-8"})
        with contextlib.chdir(root):  # Names alone may be as long as the system takes them.
            entries = sample.found()
            files = {entry.path: entry for entry in entries}
            for entry in entries:
                if entry.kind == "hardlink":
                    assert os.path.samestat(os.lstat(entry.path), os.lstat(entry.link))
                    # One file, whichever name is asked.
                    file = files[entry.link]
                    assert entry.xattrs == file.xattrs
                    entry = file._replace(path=entry.path)
                assert _on_disk(entry.path) == entry

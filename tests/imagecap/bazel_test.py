"""`imagecap set` writes the digests of images that Bazel has built with the rules."""

from __future__ import annotations

import json
import pathlib
import subprocess

import pytest
from layouts import read_index

GRANTS = {"bpf": "cap_bpf=p", "empty": "=", "net": "cap_net_bind_service,cap_setuid=ep", "removed": ""}
IMAGES = [
    "none_net_gzip",
    "none_bpf_zstd",
    "none_empty_none",
    "permitted_removed_gzip",
    "permitted_net_none",
    "effective_bpf_gzip",
]


@pytest.mark.parametrize("name", IMAGES)
def test_digest_is_that_of_bazel(tmp_path, name):
    base, grant, compression = name.split("_")
    source = pathlib.Path(f"tests/runtime/probe_{base}")
    flags = [] if compression == "gzip" else [f"--compression={compression}"]  # The default is that of the rules.
    command = ["tools/imagecap/imagecap", "set", "--json", *flags, str(source.absolute()), str(tmp_path / "new")]
    done = subprocess.run([*command, f"/app/probe={GRANTS[grant]}"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    (expected,) = read_index(pathlib.Path(f"tests/imagecap/{name}"))
    (written,) = read_index(tmp_path / "new")
    assert written["digest"] == expected["digest"]
    assert json.loads(done.stdout)["images"][0]["after"]["manifest"] == expected["digest"]
    # Every blob is the same too.
    built = {path.name: path.read_bytes() for path in pathlib.Path(f"tests/imagecap/{name}/blobs/sha256").iterdir()}
    new = {path.name: path.read_bytes() for path in (tmp_path / "new/blobs/sha256").iterdir()}
    assert new == built

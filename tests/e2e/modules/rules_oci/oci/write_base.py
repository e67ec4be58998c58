"""Writes an OCI layout with an image that has programs of this machine, at the paths that the bases of e2e have them.

Usage: write_base.py DIRECTORY
"""

import gzip
import hashlib
import io
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tarfile

PYTHON = os.path.realpath(sys.executable)
# The path in the image, and the program. The images are not run, so an interpreter may stand for another.
PROGRAMS = {
    "usr/bin/bash": shutil.which("bash"),
    "usr/bin/env": shutil.which("env"),
    "usr/bin/java": PYTHON,
    "usr/bin/sh": shutil.which("sh"),
    "usr/bin/python3.14": PYTHON,
    "usr/local/bin/python3.14": PYTHON,
}
LINKS = {"bin": "usr/bin", "usr/local/bin/python3": "python3.14"}
ARCHITECTURES = {"aarch64": "arm64", "x86_64": "amd64"}

layout = pathlib.Path(sys.argv[1])
(layout / "blobs/sha256").mkdir(parents=True)
(layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')


def write_blob(data, kind):
    digest = hashlib.sha256(data).hexdigest()
    (layout / "blobs/sha256" / digest).write_bytes(data)
    return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(data)}


files = dict(PROGRAMS)
for program in PROGRAMS.values():
    listed = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    files.update((library.lstrip("/"), library) for library in re.findall(r"(/\S+) \(0x", listed))
buffer = io.BytesIO()
with tarfile.open(fileobj=buffer, mode="w") as tar:
    for name, target in LINKS.items():
        link = tarfile.TarInfo(name)
        link.type, link.linkname = tarfile.SYMTYPE, target
        tar.addfile(link)
    for name, source in files.items():
        data = pathlib.Path(source).read_bytes()
        entry = tarfile.TarInfo(name)
        entry.mode, entry.size = 0o755, len(data)
        tar.addfile(entry, io.BytesIO(data))

layer = buffer.getvalue()
config = {
    "architecture": ARCHITECTURES[platform.machine()],
    "os": "linux",
    "config": {"Env": ["PATH=/usr/local/bin:/usr/bin"]},
    "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
}
manifest = {
    "schemaVersion": 2,
    "mediaType": "application/vnd.oci.image.manifest.v1+json",
    "config": write_blob(json.dumps(config).encode(), "config.v1+json"),
    "layers": [write_blob(gzip.compress(layer, 1, mtime=0), "layer.v1.tar+gzip")],
}
index = {"schemaVersion": 2, "manifests": [write_blob(json.dumps(manifest).encode(), "manifest.v1+json")]}
(layout / "index.json").write_text(json.dumps(index))

"""image_diff compares two images of 2 GiB each within 128 MiB of memory."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import sys
import tarfile
from typing import IO

import measure

from rules_setcap.diagnostics import limits
from support.image import layout, tar

MEMORY = 128 << 20
_FILE = 128 << 20
_FILES = 16
_MANY = 60_000


def _write_large_layer(path: pathlib.Path, changed: int) -> None:
    """Writes a layer of 2 GiB, as a sparse file; one byte in the middle of a file has the value `changed`."""
    with open(path, "wb") as file:
        for number in range(_FILES):
            entry = tarfile.TarInfo(f"data/{number}")
            entry.size = _FILE
            file.write(entry.tobuf(tarfile.PAX_FORMAT))
            if number == _FILES // 2:
                file.seek(_FILE // 2, os.SEEK_CUR)
                file.write(bytes([changed]))
                file.seek(_FILE // 2 - 1, os.SEEK_CUR)
            else:
                file.seek(_FILE, os.SEEK_CUR)
        file.truncate(file.tell() + 1024)


def _write_many_files(file: IO[bytes], mtime: int) -> None:
    """Writes a layer of many small files."""
    for number in range(_MANY):
        entry = tarfile.TarInfo(f"usr/lib/package{number % 500}/module{number}.py")
        entry.mtime = mtime
        file.write(entry.tobuf(tarfile.PAX_FORMAT))
    file.write(bytes(1024))


def _replace_layer(image: pathlib.Path, layer: pathlib.Path) -> None:
    """Replaces the only layer of a layout."""
    blobs = image / "blobs/sha256"
    with open(layer, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    index = json.loads((image / "index.json").read_text())
    manifest = json.loads((blobs / index["manifests"][0]["digest"][7:]).read_text())
    config = json.loads((blobs / manifest["config"]["digest"][7:]).read_text())

    def put(data: bytes) -> dict[str, object]:
        name = hashlib.sha256(data).hexdigest()
        (blobs / name).write_bytes(data)
        return {"digest": f"sha256:{name}", "size": len(data)}

    config["rootfs"]["diff_ids"] = [f"sha256:{digest}"]
    manifest["layers"][0].update(digest=f"sha256:{digest}", size=layer.stat().st_size)
    manifest["config"].update(put(json.dumps(config).encode()))
    index["manifests"][0].update(put(json.dumps(manifest).encode()))
    (image / "index.json").write_text(json.dumps(index))
    layer.rename(blobs / digest)


def _compare(directory: pathlib.Path, images: list[pathlib.Path]) -> str:
    """Compares two images, checks the memory, and returns the report."""
    command = [sys.executable, "-B", "-m", "rules_setcap.diff", *map(str, images)]
    run = directory / "run"
    run.mkdir()
    os.environ["PYTHONPATH"] = os.pathsep.join([str(pathlib.Path("tools").absolute()), *sys.path])
    done = measure.measure_run(command, run, (0, 1))
    print(f"{done.seconds:.1f} s, {done.processor:.1f} s of processor time, {done.memory >> 20} MiB")
    assert done.status == 1, done.messages
    assert done.memory <= MEMORY
    return (run / "stdout").read_text()


def test_two_large_images(tmp_path):
    images = []
    for changed in (1, 2):
        images.append(layout(tmp_path / f"image{changed}", tar(("/x", None, "file"))))
        _write_large_layer(tmp_path / "layer", changed)
        _replace_layer(images[-1], tmp_path / "layer")
    report = _compare(tmp_path, images)
    assert report.startswith("differs: content, in layer 1 of 1\n")
    assert f"/data/{_FILES // 2}  " in report


def test_many_files_that_all_differ(tmp_path):
    images = []
    for mtime in (1, 2):
        images.append(layout(tmp_path / f"image{mtime}", tar(("/x", None, "file"))))
        with open(tmp_path / "layer", "wb") as file:
            _write_many_files(file, mtime)
        _replace_layer(images[-1], tmp_path / "layer")
    report = _compare(tmp_path, images)
    assert report.startswith("differs: mtime, in layer 1 of 1\n")
    assert f"{limits.CHANGES} entries" in report
    assert f"mtime: {_MANY - limits.CHANGES} more changes, which were counted only" in report

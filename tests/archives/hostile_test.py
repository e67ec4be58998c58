"""Hostile archives take bounded time and memory, and documents with values of any type are refused without an internal error."""

from __future__ import annotations

import gzip
import io
import json
import os
import pathlib
import subprocess
import sys
import tarfile
from random import Random

import pytest

from rules_setcap import capabilities
from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import InputError
from rules_setcap.oci import image_reader
from support import archives, packer
from support.image import tar

NET = capabilities.from_text("cap_net_bind_service=p")
IMAGE = archives.image(tar(("/a", NET, "file")))
OTHER = archives.image(tar(("/b", None, "file")))
INDEX = archives.buildkit(IMAGE)
MAX_SECONDS, MAX_MEMORY = 30, 256 << 20


def _encode(value: object) -> bytes:
    return json.dumps(value).encode()


def _make_unused_files(count: int, size: int) -> bytes:
    """Returns a compressed archive with JSON files that no document names."""
    output = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=output, mode="wb", compresslevel=6, mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w|") as archive,
    ):
        for name, data in archives.buildkit(OTHER).items():
            _add_member(archive, name, bytes(data))
        for number in range(count):
            _add_member(archive, f"{number}.json", b"%-16d" % number + bytes(size - 16))
    return output.getvalue()


def _add_member(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def _make_manifests(count: int) -> bytes:
    """Returns a compressed archive with an index of large manifests that share one large config."""
    config = _encode({**json.loads(OTHER.config), "author": "x" * 100_000})
    blobs = [config]
    entries = []
    for number in range(count):
        manifest = _encode(
            {
                "schemaVersion": 2,
                "config": archives.descriptor(archives.CONFIG, config),
                "layers": [archives.descriptor(archives.LAYER, b"")],
                "annotations": {"x": str(number) + "y" * 100_000},
            }
        )
        blobs.append(manifest)
        entries.append(archives.descriptor(archives.MANIFEST, manifest))
    return gzip.compress(_make_tar(archives.buildkit(OTHER, *entries, blobs=blobs)), 6)


HOSTILE = {
    "many JSON files": lambda: _make_unused_files(100, 4 << 20),
    "many small files": lambda: _make_unused_files(limits.ARCHIVE_FILES - 5, 16),
    "many manifests": lambda: _make_manifests(900),
    "an index of brackets": lambda: gzip.compress(_make_tar({**INDEX, "index.json": b'{"manifests":[' + b"[]," * 1_300_000})),
    "an index of strings": lambda: gzip.compress(_make_tar({**INDEX, "index.json": b'{"manifests":[' + b'"",' * 1_300_000})),
    "quotes that do not end": lambda: gzip.compress(_make_tar({**INDEX, "index.json": b'{"manifests":"' + b'\\"' * 2_000_000})),
}


def _make_tar(members: archives.Members) -> bytes:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as archive:
        for name, data in members.items():
            _add_member(archive, name, bytes(data))
    return output.getvalue()


# Runs getcap, and prints the seconds of CPU time and the largest resident set in KiB.
_MEASURED = """
import atexit, os, runpy
def measure():
    memory = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    print("measured", sum(os.times()[:2]), memory.split()[1], flush=True)
atexit.register(measure)
runpy.run_module("rules_setcap.getcap", run_name="__main__")
"""


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_takes_bounded_time_and_memory(tmp_path: pathlib.Path, name: str):
    path = tmp_path / "archive"
    path.write_bytes(HOSTILE[name]())
    assert path.stat().st_size <= 2 << 20
    environment = {**os.environ, "PYTHONPATH": "tools", "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-S", "-c", _MEASURED, str(path)], env=environment, capture_output=True, text=True)
    assert "Traceback" not in done.stderr and done.returncode in (0, 2), done.stderr
    seconds, memory = done.stdout.splitlines()[-1].split()[1:]
    assert float(seconds) < MAX_SECONDS and int(memory) << 10 < MAX_MEMORY


_VALUES = [None, True, 0, -1, 1.5, "", "x", [], {}, [None], {"x": []}, "sha256:" + "0" * 64, 1 << 70, "\ud800", [[]], "linux"]


def _mutate(value: object, random: Random) -> object:
    """Returns a JSON value in which one value is replaced or removed, or one key renamed."""
    if isinstance(value, dict) and value and random.random() < 0.9:
        name = random.choice(list(value))
        if (chance := random.random()) < 0.1:
            return {key: item for key, item in value.items() if key != name}
        if chance < 0.2:
            return {(key.upper() if key == name else key): item for key, item in value.items()}
        return {**value, name: _mutate(value[name], random)}
    if isinstance(value, list) and value and random.random() < 0.9:
        position = random.randrange(len(value))
        return (
            [*value[:position], _mutate(value[position], random), *value[position + 1 :]]
            if random.random() < 0.8
            else value + value
        )
    return random.choice(_VALUES)


def test_changed_documents_cause_no_internal_error(tmp_path: pathlib.Path):
    """The index, manifest, config or manifest.json has a value of any type in any place. Digests are right."""
    random = Random(12)
    refused = 0
    for number in range(600):
        config = json.loads(IMAGE.config)
        layer = IMAGE.layers[0]
        changed = random.randrange(3)
        texts = [_encode(_mutate(config, random) if changed == 0 else config)]
        manifest = {
            "schemaVersion": 2,
            "mediaType": archives.MANIFEST,
            "config": archives.descriptor(archives.CONFIG, texts[0]),
            "layers": [archives.descriptor(archives.LAYER, layer)],
        }
        texts.append(_encode(_mutate(manifest, random) if changed == 1 else manifest))
        index = {"schemaVersion": 2, "manifests": [archives.descriptor(archives.MANIFEST, texts[1], platform=archives.PLATFORM)]}
        saved = [{"Config": "c.json", "RepoTags": None, "Layers": ["l.tar"]}]
        members: archives.Members
        if number % 2:
            members = {"c.json": texts[0], "l.tar": layer, "manifest.json": _encode(_mutate(saved, random) if changed else saved)}
        else:
            files = [*texts, layer]
            members = {f"blobs/sha256/{archives.digest(data)[7:]}": data for data in files}
            members["index.json"] = _encode(_mutate(index, random) if changed == 2 else index)
        path = archives.write_archive(tmp_path / "archive", members)
        try:
            for image in image_reader.read_images(str(path), random.choice(["", "linux/amd64"])):
                assert image.capabilities in ({"/a": NET}, {})
        except InputError as error:
            refused += 1
            assert str(path) in str(error) or "platform" in str(error)
        status, output = packer.run_here(["unpack", "--target=//x", f"--output={tmp_path}/layout{number}", f"--archive={path}"])
        assert status in (0, 1) and "internal error" not in output
    print(f"{refused} of 600 refused")
    assert refused > 200

"""Archives of at most 2 MiB that would take long or much memory, and documents with anything in any place."""

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


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _many(count: int, size: int) -> bytes:
    """JSON files that nothing names, compressed."""
    made = io.BytesIO()
    with gzip.GzipFile(fileobj=made, mode="wb", compresslevel=6, mtime=0) as compressed:
        with tarfile.open(fileobj=compressed, mode="w|") as archive:
            for name, data in archives.buildkit(OTHER).items():
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(bytes(data)))
            for number in range(count):
                entry = tarfile.TarInfo(f"{number}.json")
                entry.size = size
                archive.addfile(entry, io.BytesIO(b"%-16d" % number + bytes(size - 16)))
    return made.getvalue()


def _manifests(count: int) -> bytes:
    """An index of manifests that each have many values, and share one large config."""
    config = _json({**json.loads(OTHER.config), "author": "x" * 100_000})
    blobs = [config]
    entries = []
    for number in range(count):
        manifest = _json(
            {
                "schemaVersion": 2,
                "config": archives.descriptor(archives.CONFIG, config),
                "layers": [archives.descriptor(archives.LAYER, b"")],
                "annotations": {"x": str(number) + "y" * 100_000},
            }
        )
        blobs.append(manifest)
        entries.append(archives.descriptor(archives.MANIFEST, manifest))
    members = archives.buildkit(OTHER, *entries, blobs=blobs)
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(bytes(data)))
    return gzip.compress(made.getvalue(), 6)


HOSTILE = {
    "many JSON files": lambda: _many(100, 4 << 20),
    "many small files": lambda: _many(limits.ARCHIVE_FILES - 5, 16),
    "many manifests": lambda: _manifests(900),
    "an index of brackets": lambda: gzip.compress(_raw({**INDEX, "index.json": b'{"manifests":[' + b"[]," * 1_300_000})),
    "an index of strings": lambda: gzip.compress(_raw({**INDEX, "index.json": b'{"manifests":[' + b'"",' * 1_300_000})),
    "quotes that do not end": lambda: gzip.compress(_raw({**INDEX, "index.json": b'{"manifests":"' + b'\\"' * 2_000_000})),
}


def _raw(members: archives.Members) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(bytes(data)))
    return made.getvalue()


# Writes the seconds of the processor, and the largest resident set.
_MEASURED = """
import atexit, os, runpy
def measure():
    memory = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    print("measured", sum(os.times()[:2]), memory.split()[1], flush=True)
atexit.register(measure)
runpy.run_module("rules_setcap.getcap", run_name="__main__")
"""


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archives_are_bounded(tmp_path: pathlib.Path, name: str):
    path = tmp_path / "archive"
    path.write_bytes(HOSTILE[name]())
    assert path.stat().st_size <= 2 << 20
    environment = {**os.environ, "PYTHONPATH": "tools", "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-S", "-c", _MEASURED, str(path)], env=environment, capture_output=True, text=True)
    assert "Traceback" not in done.stderr and done.returncode in (0, 2), done.stderr
    seconds, memory = done.stdout.splitlines()[-1].split()[1:]
    assert float(seconds) < MAX_SECONDS and int(memory) << 10 < MAX_MEMORY


_VALUES = [None, True, 0, -1, 1.5, "", "x", [], {}, [None], {"x": []}, "sha256:" + "0" * 64, 1 << 70, "\ud800", [[]], "linux"]


def _mutated(value: object, random: Random) -> object:
    """Returns a JSON value with something in it replaced, removed or renamed."""
    if isinstance(value, dict) and value and random.random() < 0.9:
        name = random.choice(list(value))
        if (chance := random.random()) < 0.1:
            return {key: each for key, each in value.items() if key != name}
        if chance < 0.2:
            return {(key.upper() if key == name else key): each for key, each in value.items()}
        return {**value, name: _mutated(value[name], random)}
    if isinstance(value, list) and value and random.random() < 0.9:
        at = random.randrange(len(value))
        return [*value[:at], _mutated(value[at], random), *value[at + 1 :]] if random.random() < 0.8 else value + value
    return random.choice(_VALUES)


def test_changed_documents_raise_nothing_else(tmp_path: pathlib.Path):
    """Values of other types anywhere in index, manifest, config and manifest.json; digests are put right."""
    random = Random(12)
    refused = 0
    for number in range(600):
        config = json.loads(IMAGE.config)
        layer = IMAGE.layers[0]
        where = random.randrange(3)
        texts = [_json(_mutated(config, random) if where == 0 else config)]
        manifest = {
            "schemaVersion": 2,
            "mediaType": archives.MANIFEST,
            "config": archives.descriptor(archives.CONFIG, texts[0]),
            "layers": [archives.descriptor(archives.LAYER, layer)],
        }
        texts.append(_json(_mutated(manifest, random) if where == 1 else manifest))
        index = {"schemaVersion": 2, "manifests": [archives.descriptor(archives.MANIFEST, texts[1], platform=archives.PLATFORM)]}
        saved = [{"Config": "c.json", "RepoTags": None, "Layers": ["l.tar"]}]
        members: archives.Members
        if number % 2:
            members = {"c.json": texts[0], "l.tar": layer, "manifest.json": _json(_mutated(saved, random) if where else saved)}
        else:
            files = [*texts, layer]
            members = {f"blobs/sha256/{archives.digest(data)[7:]}": data for data in files}
            members["index.json"] = _json(_mutated(index, random) if where == 2 else index)
        path = archives.write_archive(tmp_path / "archive", members)
        try:
            for image in image_reader.read_images(str(path), random.choice(["", "linux/amd64"])):
                assert image.capabilities in ({"/a": NET}, {})
        except InputError as error:
            refused += 1
            assert str(path) in str(error) or "platform" in str(error)
        status, said = packer.run_here(["unpack", "--target=//x", f"--output={tmp_path}/layout{number}", f"--archive={path}"])
        assert status in (0, 1) and "Traceback" not in said
    print(f"{refused} of 600 refused")
    assert refused > 200

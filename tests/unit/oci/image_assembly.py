"""Assembles images from attributes, and from a base if there is one, for tests."""

from __future__ import annotations

import hashlib
import json
import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from support import packer

SPEC: dict[str, Any] = {
    "mtime": "0",
    "os": "linux",
    "architecture": "amd64",
    "variant": "",
    "entrypoint": None,
    "cmd": None,
    "env": {},
    "user": "",
    "working_dir": "",
    "exposed_ports": [],
    "volumes": [],
    "labels": {},
    "annotations": {},
    "stop_signal": "",
    "created": "",
}
LAYER = {
    "descriptor": {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": "sha256:" + "a" * 64, "size": 9},
    "diff_id": "sha256:" + "b" * 64,
    "capabilities": {},
    "created_by": "rules_setcap",
}
BASE_CONFIG: dict[str, Any] = {
    "architecture": "amd64",
    "os": "linux",
    "author": "somebody",
    "config": {
        "Cmd": ["base"],
        "Entrypoint": ["/entry"],
        "Env": ["PATH=/bin", "LANG=C"],
        "ExposedPorts": {"80/tcp": {}},
        "Healthcheck": {"Test": ["NONE"]},
        "Labels": {"a": "1", "b": "2"},
        "StopSignal": "SIGQUIT",
        "User": "nobody",
        "WorkingDir": "/srv",
    },
    "history": [{"created_by": "base"}],
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "c" * 64]},
}
BASE_LAYER = {"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "digest": "sha256:" + "d" * 64, "size": 7}


def put_blob(layout: pathlib.Path, media_type: str, value: Any) -> dict[str, Any]:
    """Adds a blob to a layout; returns its descriptor.

    Args:
      layout: the directory.
      media_type: the media type in the descriptor.
      value: bytes, or a value that is written as JSON.
    """
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    digest = hashlib.sha256(data).hexdigest()
    (layout / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
    (layout / "blobs" / "sha256" / digest).write_bytes(data)
    return {"mediaType": media_type, "digest": "sha256:" + digest, "size": len(data)}


def put_manifest(layout: pathlib.Path, config: Any = BASE_CONFIG, layers: Any = (BASE_LAYER,)) -> dict[str, Any]:
    """Adds the manifest and config of an image, with Docker's media types; returns the manifest's descriptor."""
    config = put_blob(layout, "application/vnd.docker.container.image.v1+json", config)
    value = {"schemaVersion": 2, "config": config, "layers": list(layers)}
    return put_blob(layout, "application/vnd.docker.distribution.manifest.v2+json", value)


def write_index(layout: pathlib.Path, *entries: Any) -> None:
    """Writes the index.json of a layout."""
    layout.mkdir(exist_ok=True)
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))


@pytest.fixture
def assemble_image(tmp_path) -> Callable[..., packer.Done]:
    """A function that assembles an image from SPEC and changes to it.

    Its outputs are the files `manifest`, `config` and `descriptor` in `tmp_path`.
    """

    def assemble(*flags: str, **changes: Any) -> packer.Done:
        (tmp_path / "layer").write_text(json.dumps(LAYER))
        flags = ('--named=["base","//:base"]=base', "--base-name=//:base", *flags)
        attributes = {**SPEC, **changes}
        platform = "/".join(filter(None, [attributes.pop(name) for name in ("os", "architecture", "variant")]))
        spec = "--attributes=" + json.dumps({**attributes, "platform": platform})
        checked = [flag for flag in flags if not flag.startswith(("--base-manifest=", "--base-config="))]
        done = packer.run("attributes", spec, *checked, "--output=spec", "--problems-output=problems", cwd=tmp_path)
        assert done == (0, "")
        assembled = [
            flag for flag in flags if flag.startswith(("--base-", "--named=")) and not flag.startswith("--base-platform=")
        ]
        outputs = [f"--{name}-output={name}" for name in ("manifest", "config", "descriptor")]
        return packer.run("image", "--spec=spec", "--problems=problems", "--layer=layer", *outputs, *assembled, cwd=tmp_path)

    return assemble


def read_problems(done: packer.Done) -> list[str]:
    """Returns the problems of an action that failed, without the target with which each begins."""
    assert done.status == 1
    assert done.stderr.endswith("\n")
    return [line.removeprefix("//app:image: ") for line in done.stderr.splitlines()]


def read_json(directory: pathlib.Path, name: str) -> Any:
    """Returns the value of a JSON file."""
    return json.loads((directory / name).read_bytes())

"""Images that the packer assembles from attributes, over a base if there is one."""

from __future__ import annotations

import hashlib
import json
import pathlib
from typing import Any, Callable

import pytest

from support import packer

SPEC: dict[str, Any] = {
    **{
        "mtime": "0",
        "os": "linux",
        "architecture": "amd64",
        "variant": "",
        "entrypoint": None,
        "cmd": None,
        "env": {},
        "user": "",
    },
    **{"working_dir": "", "exposed_ports": [], "volumes": [], "labels": {}, "annotations": {}, "stop_signal": "", "created": ""},
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


def put(layout: pathlib.Path, media_type: str, value: Any) -> dict[str, Any]:
    """Adds a blob; returns its descriptor."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    digest = hashlib.sha256(data).hexdigest()
    (layout / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
    (layout / "blobs" / "sha256" / digest).write_bytes(data)
    return {"mediaType": media_type, "digest": "sha256:" + digest, "size": len(data)}


def manifest(layout: pathlib.Path, config: Any = BASE_CONFIG, layers: Any = (BASE_LAYER,)) -> dict[str, Any]:
    config = put(layout, "application/vnd.docker.container.image.v1+json", config)
    value = {"schemaVersion": 2, "config": config, "layers": list(layers)}
    return put(layout, "application/vnd.docker.distribution.manifest.v2+json", value)


def index(layout: pathlib.Path, *entries: Any) -> None:
    layout.mkdir(exist_ok=True)
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))


@pytest.fixture
def image(tmp_path) -> Callable[..., packer.Done]:
    """A function that assembles an image from a spec; the outputs are `manifest`, `config`, `descriptor`."""

    def assemble(*flags: str, **spec: Any) -> packer.Done:
        (tmp_path / "layer").write_text(json.dumps(LAYER))
        flags = ('--named=["base","//:base"]=base', "--base-name=//:base", *flags)
        attributes = {**SPEC, **spec}
        platform = [attributes.pop(name) for name in ("os", "architecture", "variant")]
        given = "--attributes=" + json.dumps({**attributes, "platform": "/".join(filter(None, platform))})
        own = [flag for flag in flags if not flag.startswith(("--base-manifest=", "--base-config="))]
        resolved = packer.run("attributes", given, *own, "--output=spec", "--problems-output=problems", cwd=tmp_path)
        assert resolved == (0, "")
        of_image = [
            flag for flag in flags if flag.startswith(("--base-", "--named=")) and not flag.startswith("--base-platform=")
        ]
        outputs = [f"--{name}-output={name}" for name in ("manifest", "config", "descriptor")]
        return packer.run("image", "--spec=spec", "--problems=problems", "--layer=layer", *outputs, *of_image, cwd=tmp_path)

    return assemble


def refused(done: packer.Done) -> list[str]:
    """Returns the problems, without the target that they start with."""
    assert done.status == 1
    assert done.stderr.endswith("\n")
    return [line.removeprefix("//app:image: ") for line in done.stderr.splitlines()]


def read(directory: pathlib.Path, name: str) -> Any:
    return json.loads((directory / name).read_bytes())

"""Programs have their capabilities in containers of the images that `imagecap set` writes.

Each engine loads the archive that `imagecap set` wrote, and runs its program as another user than root.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import pathlib
import re
import subprocess
from collections.abc import Callable, Iterator

import pytest
import samples

from rules_setcap.capabilities import from_text
from rules_setcap.capabilities.names import NAMES
from rules_setcap.imagecap import cli
from support import commands, engines, machine, require
from support import image as images

NET_BIND_SERVICE = 1 << NAMES.index("cap_net_bind_service")
REFERENCE = "docker.io/library/set:1"
WAYS = {"layer": ["--layer", "--compression=zlib"], "layer by zstd": ["--layer", "--compression=zstd"], "rewrite": ["--rewrite"]}
# What a container can use: permitted and effective.
GRANTS = {
    "cap_net_bind_service=p": (NET_BIND_SERVICE, 0),
    "cap_net_bind_service=ep": (NET_BIND_SERVICE, NET_BIND_SERVICE),
    "": (0, 0),
}

Run = Callable[[pathlib.Path], str]


@contextlib.contextmanager
def _start_client(start: Callable[..., contextlib.AbstractContextManager[commands.Client]], state: pathlib.Path) -> Iterator[Run]:
    """Yields a function that loads an archive into docker or podman, runs its image, and returns the output."""
    with start(state) as client:

        def run(archive: pathlib.Path) -> str:
            done = client.call(["load", "--input", str(archive)])
            assert done.returncode == 0, done.stderr
            outcome = client.run([REFERENCE])
            assert client.call(["rmi", "--force", REFERENCE]).returncode == 0
            return outcome.output

        yield run


@contextlib.contextmanager
def _start_containerd(state: pathlib.Path) -> Iterator[Run]:
    """Yields the same for containerd, with its client ctr."""
    with engines.containerd(state) as socket:
        ctr = [require.tool("ctr"), "--address", str(socket)]

        def run(archive: pathlib.Path) -> str:
            snapshotter = ["--snapshotter", "native"]
            subprocess.run([*ctr, "images", "import", "--local", *snapshotter, str(archive)], check=True, capture_output=True)
            try:
                done = subprocess.run(
                    [*ctr, "run", "--rm", "--net-host", *snapshotter, REFERENCE, "set"],
                    check=True,
                    capture_output=True,
                    text=True,
                )
            finally:
                subprocess.run([*ctr, "images", "remove", "--sync", REFERENCE], capture_output=True, check=True)
            return done.stdout

        yield run


ENGINES = {
    "docker": lambda state: _start_client(commands.docker, state),
    "podman": lambda state: _start_client(commands.podman_client, state),
    "containerd": _start_containerd,
}


@pytest.fixture(scope="module", params=ENGINES)
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """A function that runs an archive in an engine that has been started."""
    require.root()
    with machine.directory() as state, ENGINES[request.param](state) as started:
        yield started


def _make_image(directory: pathlib.Path, compressed: bool, capabilities: str) -> pathlib.Path:
    """Makes an image whose program, in its lowest layer, prints its credentials."""
    value = from_text(capabilities) if capabilities else None
    layers = [
        samples.make_layer(samples.File(samples.APP, samples.read_report_program(), value), *samples.BASE),
        samples.make_layer(samples.File("/etc/os-release", b"ID=test\n", None, 0o644)),
    ]
    layout = images.layout(directory, *layers, Entrypoint=[samples.APP], User="65532")
    index = json.loads((layout / "index.json").read_bytes())
    (descriptor,) = index["manifests"]
    descriptor["annotations"] = {"io.containerd.image.name": REFERENCE, "org.opencontainers.image.ref.name": "1"}
    if compressed:
        _compress_layers(layout, descriptor)
    (layout / "index.json").write_text(json.dumps(index))
    return layout


def _compress_layers(layout: pathlib.Path, descriptor: dict[str, object]) -> None:
    """Compresses the layers of an image by gzip, and changes the descriptor of its manifest."""
    blobs = layout / "blobs/sha256"

    def put(data: bytes) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    manifest = json.loads((blobs / str(descriptor["digest"]).removeprefix("sha256:")).read_bytes())
    for layer in manifest["layers"]:
        data = (blobs / layer["digest"].removeprefix("sha256:")).read_bytes()
        layer |= {"mediaType": layer["mediaType"] + "+gzip", **put(gzip.compress(data))}
    descriptor |= put(json.dumps(manifest).encode())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("grant", GRANTS)
def test_the_capabilities_are_in_force(run, tmp_path, way, grant):
    layout = _make_image(tmp_path / "image", compressed=way != "layer", capabilities="" if grant else "cap_net_raw=ep")
    arguments = ["set", *WAYS[way], "--format=docker-archive", str(layout), str(tmp_path / "new.tar"), f"{samples.APP}={grant}"]
    assert cli.main(arguments) == 0
    output = run(tmp_path / "new.tar")
    permitted, effective = (int(re.search(rf"{name}:\s*([0-9a-f]+)", output)[1], 16) for name in ("CapPrm", "CapEff"))
    assert (permitted, effective) == GRANTS[grant], output

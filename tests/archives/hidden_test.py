"""Images that are not what they seem: what an engine runs is read, or refused, and never passed over."""

from __future__ import annotations

import gzip
import json
import pathlib
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rules_setcap import capabilities
from rules_setcap.diagnostics.errors import InputError
from rules_setcap.oci import image_reader
from support import archives, engines, packer
from support.archives import CONFIG, LAYER, MANIFEST, Layout, config
from support.image import tar

NET = capabilities.from_text("cap_net_bind_service=p")
TAR = tar(("/a", NET, "file"))
SIGNATURE = "application/vnd.dev.cosign.simplesigning.v1+json"
UNKNOWN = {"os": "unknown", "architecture": "unknown"}


def _manifest_text(made: Layout, change: Callable[[str], str]) -> dict[str, Any]:
    """An image whose manifest is changed as text."""
    value = {"schemaVersion": 2, "config": made.put(config(TAR), CONFIG), "layers": [made.put(TAR, LAYER)]}
    return made.put(change(json.dumps(value)).encode(), MANIFEST)


# What hides a capability from a reader that decides by one field. Engines that run each were found by running them.
HIDDEN: dict[str, Callable[[Layout], dict[str, Any]]] = {
    "an image": lambda made: made.image(TAR),
    "a layer of another type": lambda made: made.manifest(config(TAR), [(TAR, SIGNATURE)]),
    "a compressed layer of another type": lambda made: made.manifest(config(TAR), [(gzip.compress(TAR), SIGNATURE)]),
    "a config of another type": lambda made: made.manifest(
        config(TAR), [(TAR, LAYER)], "application/x", artifactType="application/x"
    ),
    "artifactType": lambda made: made.manifest(config(TAR), [(TAR, LAYER)], artifactType="application/x"),
    "a layer and something else": lambda made: made.manifest(config(TAR), [(TAR, LAYER), (b"{}", "text/plain")]),
    "LAYERS": lambda made: _manifest_text(made, lambda text: text.replace("layers", "LAYERS")),
    "a long s": lambda made: _manifest_text(made, lambda text: text.replace("layers", "layer\u017f")),
    "layers twice": lambda made: _manifest_text(made, lambda text: '{"layers":[],' + text[1:]),
    "no layers after layers": lambda made: _manifest_text(made, lambda text: text[:-1] + ',"layers":[]}'),
    "the platform unknown": lambda made: {**made.image(TAR), "platform": UNKNOWN},
    "another diff_id": lambda made: made.manifest(config(TAR + bytes(512)), [(gzip.compress(TAR), LAYER + "+gzip")]),
    "gzip as a plain tar": lambda made: made.manifest(config(TAR), [(gzip.compress(TAR), LAYER)]),
    "a plain tar as gzip": lambda made: made.manifest(config(TAR), [(TAR, LAYER + "+gzip")]),
    "a manifest of another type": lambda made: {**made.image(TAR), "mediaType": "application/x"},
    "an index as well": lambda made: _manifest_text(made, lambda text: text[:-1] + ',"manifests":[]}'),
}


def _read(path: pathlib.Path) -> str:
    """Returns "read" if the capability is found, else why the image is refused."""
    try:
        (image,) = image_reader.read_images(str(path))
    except InputError as error:
        return str(error)
    assert image.capabilities == {"/a": NET}
    return "read"


@pytest.mark.parametrize("name", HIDDEN)
def test_nothing_is_hidden_beside_an_image(tmp_path: pathlib.Path, name: str):
    """Beside a good image, where it could be passed over."""
    made = Layout(tmp_path / "layout")
    entry = HIDDEN[name](made)
    made.index(entry)
    alone = _read(made.path)
    made.index(made.image(tar(("/good", None, "file")), variant="v2"), entry)
    if alone != "read":
        with pytest.raises(InputError):
            image_reader.read_images(str(made.path))
    else:
        assert [sorted(image.capabilities) for image in image_reader.read_images(str(made.path))] == [[], ["/a"]]


# The engines that run each; all others refuse it, or do not see the capability.
ALL = {"containerd native", "podman vfs", "umoci"}
RUN = {
    "an image": ALL,
    "a layer of another type": {"podman vfs"},
    "a compressed layer of another type": {"podman vfs"},
    "a config of another type": {"containerd native"},
    "artifactType": ALL,
    "a layer and something else": {"containerd native"},
    "LAYERS": {"podman vfs", "umoci"},
    "a long s": {"podman vfs", "umoci"},
    "layers twice": ALL,
    "the platform unknown": {"podman vfs", "umoci"},
    "gzip as a plain tar": {"podman vfs"},
    "a plain tar as gzip": {"containerd native", "podman vfs"},
}


@pytest.fixture(scope="module", params=["containerd native", "podman vfs", "umoci"])
def engine(request: pytest.FixtureRequest) -> Iterator[tuple[str, engines.Engine]]:
    with tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as state:
        with engines.ENGINES[request.param](pathlib.Path(state)) as started:
            yield request.param, started


@pytest.mark.parametrize("name", HIDDEN)
def test_what_an_engine_runs_is_read_or_refused(tmp_path: pathlib.Path, engine: tuple[str, engines.Engine], name: str):
    made = Layout(tmp_path / "layout")
    made.index(HIDDEN[name](made))
    try:
        with engine[1].unpacked(made.path) as root:
            found = (root / "a").exists()
    except (
        engines.Refused,
        subprocess.CalledProcessError,
        KeyError,
    ):  # KeyError: the archive for containerd is written from `layers`.
        found = False
    assert found == (engine[0] in RUN.get(name, ()))
    assert not found or "no image in it" not in _read(made.path)


def test_a_compressed_layer_of_another_diff_id_as_a_base(tmp_path: pathlib.Path):
    """As containerd, Docker, podman and umoci do, it is refused."""
    made = Layout(tmp_path / "layout")
    made.index(HIDDEN["another diff_id"](made))
    flags = [f"--layout={made.path}", "--platform=linux/amd64", f"--output={tmp_path}/contents"]
    assert packer.run_here(["contents", "--target=//x", *flags]) == (0, "")
    (text,) = json.loads((tmp_path / "contents").read_bytes())["problems"]
    assert f"it unpacks to {archives.digest(TAR)}, and its diff_id in the image's config is" in text

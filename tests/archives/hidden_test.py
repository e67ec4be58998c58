"""An image that looks like something else is read or refused if an engine runs it, and never skipped."""

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


def _put_changed_manifest(made: Layout, change: Callable[[str], str]) -> dict[str, Any]:
    """Adds an image whose manifest is changed as text; returns its descriptor."""
    value = {"schemaVersion": 2, "config": made.put(config(TAR), CONFIG), "layers": [made.put(TAR, LAYER)]}
    return made.put(change(json.dumps(value)).encode(), MANIFEST)


# Images whose capabilities a reader would not find if it looked at one field only.
HIDDEN: dict[str, Callable[[Layout], dict[str, Any]]] = {
    "an image": lambda made: made.image(TAR),
    "a layer of another type": lambda made: made.manifest(config(TAR), [(TAR, SIGNATURE)]),
    "a compressed layer of another type": lambda made: made.manifest(config(TAR), [(gzip.compress(TAR), SIGNATURE)]),
    "a config of another type": lambda made: made.manifest(
        config(TAR), [(TAR, LAYER)], "application/x", artifactType="application/x"
    ),
    "artifactType": lambda made: made.manifest(config(TAR), [(TAR, LAYER)], artifactType="application/x"),
    "a layer and something else": lambda made: made.manifest(config(TAR), [(TAR, LAYER), (b"{}", "text/plain")]),
    "LAYERS": lambda made: _put_changed_manifest(made, lambda text: text.replace("layers", "LAYERS")),
    "a long s": lambda made: _put_changed_manifest(made, lambda text: text.replace("layers", "layer\u017f")),
    "layers twice": lambda made: _put_changed_manifest(made, lambda text: '{"layers":[],' + text[1:]),
    "no layers after layers": lambda made: _put_changed_manifest(made, lambda text: text[:-1] + ',"layers":[]}'),
    "the platform unknown": lambda made: {**made.image(TAR), "platform": UNKNOWN},
    "another diff_id": lambda made: made.manifest(config(TAR + bytes(512)), [(gzip.compress(TAR), LAYER + "+gzip")]),
    "gzip as a plain tar": lambda made: made.manifest(config(TAR), [(gzip.compress(TAR), LAYER)]),
    "a plain tar as gzip": lambda made: made.manifest(config(TAR), [(TAR, LAYER + "+gzip")]),
    "a manifest of another type": lambda made: {**made.image(TAR), "mediaType": "application/x"},
    "an index as well": lambda made: _put_changed_manifest(made, lambda text: text[:-1] + ',"manifests":[]}'),
}


def _read_image(path: pathlib.Path) -> str:
    """Returns "read" if the capability is found, or else why the image is refused."""
    try:
        (image,) = image_reader.read_images(str(path))
    except InputError as error:
        return str(error)
    assert image.capabilities == {"/a": NET}
    return "read"


@pytest.mark.parametrize("name", HIDDEN)
def test_an_image_is_not_skipped_beside_another(tmp_path: pathlib.Path, name: str):
    """Beside another image, it could be taken for an artifact."""
    made = Layout(tmp_path / "layout")
    entry = HIDDEN[name](made)
    made.index(entry)
    alone = _read_image(made.path)
    made.index(made.image(tar(("/good", None, "file")), variant="v2"), entry)
    if alone != "read":
        with pytest.raises(InputError):
            image_reader.read_images(str(made.path))
    else:
        assert [sorted(image.capabilities) for image in image_reader.read_images(str(made.path))] == [[], ["/a"]]


# The engines that run each image with the capability. All others refuse the image, or do not see the capability.
ALL = {"containerd native", "podman vfs", "umoci"}
ENGINES_THAT_RUN = {
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
    """An engine that has been started, and its name."""
    with (
        tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as state,
        engines.ENGINES[request.param](pathlib.Path(state)) as started,
    ):
        yield request.param, started


@pytest.mark.parametrize("name", HIDDEN)
def test_an_image_that_an_engine_runs_is_read_or_refused(tmp_path: pathlib.Path, engine: tuple[str, engines.Engine], name: str):
    made = Layout(tmp_path / "layout")
    made.index(HIDDEN[name](made))
    try:
        with engine[1].unpack(made.path) as root:
            is_unpacked = (root / "a").exists()
    except (engines.Refused, subprocess.CalledProcessError, KeyError):
        # KeyError: the archive for containerd is written from `layers`.
        is_unpacked = False
    assert is_unpacked == (engine[0] in ENGINES_THAT_RUN.get(name, ()))
    assert not is_unpacked or "no image in it" not in _read_image(made.path)


def test_a_base_with_another_diff_id_is_refused(tmp_path: pathlib.Path):
    """containerd, Docker, podman and umoci refuse it, too."""
    made = Layout(tmp_path / "layout")
    made.index(HIDDEN["another diff_id"](made))
    flags = [f"--layout={made.path}", "--platform=linux/amd64", f"--output={tmp_path}/contents"]
    assert packer.run_here(["contents", "--target=//x", *flags]) == (0, "")
    (text,) = json.loads((tmp_path / "contents").read_bytes())["problems"]
    assert f"it unpacks to {archives.digest(TAR)}, and its diff_id in the image's config is" in text

"""Layers that are opened ahead give what layers give that are opened one by one, and leave no thread behind."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import random
import threading
from pathlib import Path

import pytest

from rules_setcap.archive.budget import ReadBudget
from rules_setcap.diagnostics.errors import InputError
from rules_setcap.oci.layer_blobs import LayerBlob, open_layers
from support.image import tar

AHEAD = (0, 1, 3)


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@pytest.fixture
def blobs(tmp_path: Path) -> list[LayerBlob]:
    """Layers of one block to 4 MiB, compressed or not."""
    result = []
    for number in range(6):
        content = random.Random(number).randbytes((number % 3) * (2 << 20)) + b"end"
        archive = tar((f"/file{number}", None, content))
        data = gzip.compress(archive, 1) if number % 2 else archive
        path = tmp_path / str(number)
        path.write_bytes(data)
        result.append(LayerBlob(str(path), {"digest": _digest(data), "size": len(data)}, "layout", _digest(archive)))
    return result


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def _read(blobs: list[LayerBlob], ahead: int) -> list[list[str]]:
    """Returns the paths in each layer."""
    paths = []
    with contextlib.closing(open_layers(blobs, ReadBudget(blobs=True), ahead)) as layers:
        for layer in layers:
            with layer as archive:
                paths.append([member.path for member in archive])
    return paths


@pytest.mark.parametrize("ahead", AHEAD)
def test_all_layers_are_read_in_order(blobs, ahead):
    assert _read(blobs, ahead) == [[f"/file{number}"] for number in range(6)]


@pytest.mark.parametrize("ahead", AHEAD)
def test_the_first_layer_that_is_wrong_is_reported(blobs, ahead):
    blobs[5] = blobs[5]._replace(path="/missing")
    blobs[4] = blobs[4]._replace(descriptor={**blobs[4].descriptor, "size": 1})
    blobs[3] = blobs[3]._replace(diff_id=_digest(b"other"))
    for number in (3, 4, 5):
        with pytest.raises(InputError) as error:
            _read(blobs, ahead)
        assert blobs[number].descriptor["digest"] in error.value.problems[0]
        del blobs[number]
        blobs.insert(number, blobs[0])


@pytest.mark.parametrize("ahead", AHEAD)
def test_the_reading_may_end_early(blobs, ahead):
    layers = open_layers(blobs, ReadBudget(blobs=True), ahead)
    with next(layers) as archive:
        next(iter(archive))
    layers.close()

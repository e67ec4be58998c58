"""Actions that need the same layer fetch it once, and no file in the store is believed."""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import pathlib

import pytest

from rules_setcap.bases.layer_store import LayerStore, link_layer
from rules_setcap.diagnostics.errors import InputError

CONTENT = b"a layer"
DIGEST = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


class Client:
    """A client for registries that takes its time, and counts its runs."""

    def __init__(self, directory: pathlib.Path) -> None:
        self._log = directory / "log"
        self._log.touch()
        program = directory / "crane"
        program.write_text(f'#!/bin/sh\necho "$*" >> "{self._log}"\nsleep 0.2\nprintf "{CONTENT.decode()}"\n')
        program.chmod(0o755)
        settings = directory / "client.json"
        settings.write_text(json.dumps({"environment": {}, "kind": "crane", "kinds": ["crane"], "path": str(program)}))
        self.store = LayerStore(
            str(directory / "fetched"), "registry.example/x", "sha256:" + "0" * 64, False, str(settings), "", ""
        )

    @property
    def runs(self) -> int:
        return len(self._log.read_text().splitlines())


@pytest.fixture
def client(tmp_path: pathlib.Path) -> Client:
    return Client(tmp_path)


def _fetch(store: LayerStore) -> str:
    return store.fetch_layer(DIGEST, len(CONTENT))


def test_processes_at_the_same_time_fetch_a_layer_once(client):
    with concurrent.futures.ProcessPoolExecutor(4) as pool:
        paths = set(pool.map(_fetch, [client.store] * 4))
    assert [pathlib.Path(path).read_bytes() for path in paths] == [CONTENT]
    assert client.runs == 1


@pytest.mark.parametrize("damaged", [b"", b"A layer", b"a layer and more"])
def test_a_damaged_layer_is_fetched_again(client, damaged):
    path = pathlib.Path(_fetch(client.store))
    path.write_bytes(damaged)
    assert pathlib.Path(_fetch(client.store)).read_bytes() == CONTENT
    assert client.runs == 2


def test_something_else_than_a_file_in_the_store_is_an_error(client, tmp_path):
    (tmp_path / "fetched" / DIGEST[7:]).mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        _fetch(client.store)


def test_what_the_client_prints_is_verified(client):
    with pytest.raises(InputError, match="crane has fetched something else"):
        client.store.fetch_layer("sha256:" + "1" * 64, len(CONTENT))


def test_an_output_is_the_file_of_the_store(client, tmp_path):
    link_layer(_fetch(client.store), str(tmp_path / "output"))
    assert (tmp_path / "output").samefile(_fetch(client.store))

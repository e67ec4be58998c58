"""Fixtures of the tests that release to a registry on this machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support import registry as registries
from support import registry_proxy


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[registries.Registry]:
    with registries.serve(tmp_path_factory.mktemp("registry")) as served:
        yield served


@pytest.fixture
def proxy(registry: registries.Registry) -> Iterator[registry_proxy.Proxy]:
    with registry_proxy.serve(registry.host) as served:
        yield served


@pytest.fixture
def path(request: pytest.FixtureRequest) -> str:
    """Returns a path in the registry that no other test uses."""
    name = "".join(character if character.isalnum() else "-" for character in request.node.name.lower())
    return name.strip("-").replace("--", "-")

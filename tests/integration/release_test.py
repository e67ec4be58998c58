"""A release has Bazel download the blobs that the registry lacks, and no others, from the remote cache."""

from __future__ import annotations

import json
import pathlib
import subprocess
from collections.abc import Iterator

import pytest

from support import http_cache
from support import registry as registries
from support.bazel import Workspace

# Each service has a layer of its own, whose content does not compress.
BUILD = """\
load("@rules_setcap//rules:image.bzl", "image")
load("@rules_setcap//rules:layer.bzl", "layer")
load("@rules_setcap//rules:push.bzl", "image_push")
load("@rules_setcap//rules:release.bzl", "image_release")

[
    layer(
        name = name + "_layer",
        srcs = {"/" + name: name + ".bin"},
    )
    for name in ["shared", "api", "web"]
]

[
    image(
        name = name,
        entrypoint = ["/" + name],
        layers = [":shared_layer", name + "_layer"],
        user = "65532",
    )
    for name in ["api", "web"]
]

[
    image_push(
        name = "push_" + name,
        image = name,
        repository = "registry.example/" + name,
    )
    for name in ["api", "web"]
]

image_release(
    name = "release",
    images = [":push_api", ":push_web"],
)
"""
SIZE = 300_000


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    made = Workspace(tmp_path_factory.mktemp("release"))
    made.write("BUILD.bazel", BUILD)
    for number, name in enumerate(("shared", "api", "web")):
        _write_content(made, name, number)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[http_cache.HttpCache]:
    with http_cache.serve(tmp_path_factory.mktemp("cache")) as served:
        yield served


@pytest.fixture
def registry(tmp_path: pathlib.Path) -> Iterator[registries.Registry]:
    with registries.serve(tmp_path) as served:
        yield served


def _write_content(workspace: Workspace, name: str, seed: int) -> None:
    import random

    (workspace.directory / f"{name}.bin").write_bytes(random.Random(seed).randbytes(SIZE))


def _build_elsewhere(workspace: Workspace, cache: http_cache.HttpCache) -> dict[str, str]:
    """Builds the release as CI does, which fills the cache, and deletes all outputs; returns the digest of each layer's blob."""
    layers = [f"//:{name}_layer" for name in ("shared", "api", "web")]
    workspace.run("build", *cache.flags, "--output_groups=+metadata", "//:release", *layers)
    digests = {
        name: json.loads(workspace.output(f"{name}_layer.layer.json").read_bytes())["descriptor"]["digest"].partition(":")[2]
        for name in ("shared", "api", "web")
    }
    workspace.run("clean")
    cache.reset()
    return digests


def _release(
    workspace: Workspace, cache: http_cache.HttpCache, registry: registries.Registry, *flags: str, options: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Runs the release with the flags of the build repeated, because the program cannot know them."""
    return workspace.run(
        "run",
        *cache.flags,
        *options,
        "//:release",
        "--",
        f"--repository-prefix={registry.host}",
        "--tag=v1",
        *workspace.list_release_flags(cache.flags),
        *flags,
        check=False,
    )


def _list_statuses(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert done.returncode == 0, done.stderr
    return [line.split()[0] for line in done.stdout.splitlines()[:-1]]


def test_only_missing_blobs_are_downloaded(workspace, cache, registry):
    """Nobody downloads a layer to find out that the registry has it."""
    blobs = _build_elsewhere(workspace, cache)
    assert _list_statuses(_release(workspace, cache, registry)) == ["pushed", "pushed"]
    assert {name: cache.served[digest] for name, digest in blobs.items()} == {"shared": 1, "api": 1, "web": 1}
    assert cache.bytes_served > 3 * SIZE

    workspace.run("clean")
    cache.reset()
    assert _list_statuses(_release(workspace, cache, registry)) == ["unchanged", "unchanged"]
    assert [cache.served[digest] for digest in blobs.values()] == [0, 0, 0]
    assert cache.bytes_served < SIZE

    _write_content(workspace, "web", 4)
    blobs = _build_elsewhere(workspace, cache)
    assert _list_statuses(_release(workspace, cache, registry)) == ["unchanged", "pushed"]
    assert {name: cache.served[digest] for name, digest in blobs.items()} == {"shared": 0, "api": 0, "web": 1}
    assert cache.bytes_served < 2 * SIZE


def test_blobs_of_another_configuration_are_reported(workspace, cache, registry):
    """bazel run has a flag that the build of the release has not."""
    workspace.run("build", *cache.flags, "-c", "opt", "//:release")
    workspace.run("clean")
    done = _release(workspace, cache, registry, options=("-c", "opt"))
    assert done.returncode == 1
    assert "repeat the flags of bazel run as --build-flag=--config=..." in done.stderr
    assert [registry.tags(name) for name in ("api", "web")] == [[], []]
    done = _release(workspace, cache, registry, "--build-flag=-c", "--build-flag=opt", options=("-c", "opt"))
    assert _list_statuses(done) == ["pushed", "pushed"]


def test_a_build_that_fails_is_reported(workspace, cache, registry):
    workspace.run("build", *cache.flags, "//:release")
    workspace.run("clean")
    done = _release(workspace, cache, registry, "--build-flag=--nonsense")
    assert done.returncode == 1
    assert "Unrecognized option: --nonsense" in done.stderr
    assert "has not downloaded the blobs (exit code 2)" in done.stderr

"""image_load and image_push deliver to a real Docker Engine with the classic and the containerd image store."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
from collections.abc import Iterator

import pytest

from support import commands, engines, machine, require
from support import registry as registries

HERE = pathlib.Path("tests/delivery").absolute()
PERMITTED = f"CapPrm:\t{1 << 10:016x}\n"  # cap_net_bind_service: Docker grants it by default, and cap_bpf not.
STORES = {"classic": "overlay2", "containerd": "overlayfs"}


@pytest.fixture(scope="module", params=STORES)
def docker(request) -> Iterator[tuple[str, commands.Client]]:
    """Yields an image store, and the client of an engine that has it."""
    with machine.directory() as state, commands.docker(state, STORES[request.param]) as client:
        yield request.param, client


def _load(client: commands.Client, home: pathlib.Path, target: str, *flags: str) -> subprocess.CompletedProcess[str]:
    """Runs a target of this package with the client of an engine."""
    (home / "docker").symlink_to(require.tool("docker"))
    environment = {"PATH": str(home), "HOME": str(home), "DOCKER_HOST": client.host}
    return subprocess.run([str(HERE / target), *flags], env=environment, capture_output=True, text=True, timeout=120)


def _inspect_architecture(client: commands.Client, image: str, *flags: str) -> str:
    done = client.call(["image", "inspect", *flags, "--format={{.Architecture}}", image])
    return done.stdout.strip() or done.stderr.strip()


def test_a_loaded_image_runs_with_its_capabilities(docker, tmp_path):
    _, client = docker
    done = _load(client, tmp_path, "load")
    assert (done.returncode, done.stdout) == (0, "probe:test\n"), done.stderr
    assert PERMITTED in client.run(["probe:test"]).output


def test_an_index_is_loaded(docker, tmp_path):
    """The classic store loads the image for its own platform, the containerd image store those for all platforms."""
    store, client = docker
    done = _load(client, tmp_path, "load_index")
    assert (done.returncode, done.stdout) == (0, "probe:index\n"), done.stderr
    assert _inspect_architecture(client, "probe:index") == "amd64"
    if store == "containerd":
        for platform, architecture in (("linux/arm64", "arm64"), ("linux/arm/v7", "arm")):
            assert _inspect_architecture(client, "probe:index", f"--platform={platform}") == architecture


def test_only_containerd_loads_an_index_without_the_platform_of_the_engine(docker, tmp_path):
    store, client = docker
    done = _load(client, tmp_path, "load_arm")
    if store == "classic":
        assert done.returncode == 1 and "has no image for linux/amd64, the platform of docker" in done.stderr
    else:
        assert (done.returncode, done.stdout) == (0, "probe:arm\n"), done.stderr
        assert _inspect_architecture(client, "probe:arm", "--platform=linux/arm64") == "arm64"


@pytest.mark.parametrize("name, image", [("load", "probe:test"), ("load_index", "probe:index")])
def test_an_archive_is_loaded(docker, name, image):
    _, client = docker
    client.call(["rmi", "--force", image])
    done = client.call(["load", f"--input={HERE / name}.tar"])
    assert done.returncode == 0, done.stderr
    assert _inspect_architecture(client, image) == "amd64"
    if name == "load":
        assert PERMITTED in client.run([image]).output


def test_only_containerd_loads_an_archive_without_the_platform_of_the_engine(docker):
    store, client = docker
    client.call(["rmi", "--force", "probe:arm"])
    done = client.call(["load", f"--input={HERE / 'load_arm.tar'}"])
    assert (done.returncode == 0) == (store == "containerd"), (done.stdout, done.stderr)


@pytest.mark.parametrize("driver", STORES.values(), ids=STORES)
def test_a_pushed_image_is_pulled(driver, tmp_path):
    """An engine in the network namespace of the registry pulls the image and the index by their digests."""
    (tmp_path / "registry").mkdir()
    (tmp_path / "crane").symlink_to(require.tool("crane"))
    with (
        machine.directory() as state,
        engines.dockerd(driver, state) as socket,
        registries.serve(tmp_path / "registry") as registry,
    ):
        for target, platform in (("push", ""), ("push_index", "linux/arm64")):
            repository = f"{registry.host}/{target}"
            environment = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
            command = [str(HERE / target), "--repository", repository]
            name = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.splitlines()[0]
            client = [require.tool("docker"), "--host", f"unix://{socket}"]
            flags = [f"--platform={platform}"] if platform else []
            environment = {**os.environ, "HOME": str(tmp_path)}
            subprocess.run([*client, "pull", "--quiet", *flags, name], check=True, capture_output=True, env=environment)
            done = subprocess.run([*client, "image", "inspect", name], check=True, capture_output=True, text=True)
            (inspected,) = json.loads(done.stdout)
            assert inspected["RepoDigests"] == [name]
            assert inspected["Architecture"] == (platform.partition("/")[2] or "amd64")

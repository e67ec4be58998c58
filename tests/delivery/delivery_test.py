"""Images arrive unchanged in a registry and in podman, by each client."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from support import layout as layouts
from support import podman as podmans
from support import registry as registries
from support import require
from support.container import Bundle

HERE = pathlib.Path("tests/delivery").absolute()
PROBE = pathlib.Path("tests/runtime/probe_permitted")
INDEX = pathlib.Path("tests/index/index")
# net_bind_service and bpf: linux/capability.h.
BOUNDING = ["CAP_NET_BIND_SERVICE", "CAP_BPF"]
XATTR = bytes.fromhex("0000000200040000" + "00000000" + "80000000" + "00000000")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[registries.Registry]:
    with registries.serve(tmp_path_factory.mktemp("registry")) as served:
        yield served


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return podmans.write_program(tmp_path_factory.mktemp("podman"))


def _make_path(directory: pathlib.Path, client: str) -> pathlib.Path:
    """Returns a directory for PATH that has one client only."""
    path = directory / "bin"
    path.mkdir()
    (path / client).symlink_to(require.tool(client))
    return path


def _run_target(name: str, *flags: str, path: pathlib.Path, home: pathlib.Path) -> subprocess.CompletedProcess[str]:
    """Runs a target of this package."""
    environment = {"PATH": str(path), "HOME": str(home), "TMPDIR": str(home), "PODMAN_IGNORE_CGROUPSV1_WARNING": "1"}
    return subprocess.run([str(HERE / name), *flags], env=environment, capture_output=True, text=True, timeout=120)


def _descriptor(layout: pathlib.Path) -> dict[str, Any]:
    (descriptor,) = json.loads((layout / "index.json").read_bytes())["manifests"]
    return descriptor


def _pull(client: str, source: str, target: pathlib.Path) -> pathlib.Path:
    """Pulls an image into an OCI layout, and returns the layout."""
    if client == "crane":
        command = ["crane", "pull", "--format=oci", source, str(target)]
    else:
        command = ["skopeo", "copy", "--quiet", "--all", "--src-tls-verify=false", f"docker://{source}", f"oci:{target}:test"]
    subprocess.run([require.tool(command[0]), *command[1:]], check=True, env={**os.environ, "HOME": str(target.parent)})
    return target


@pytest.mark.parametrize("client", ["crane", "skopeo"])
@pytest.mark.parametrize("name, layout", [("push", PROBE), ("push_index", INDEX)])
def test_a_pushed_image_has_its_digest_and_tags(registry, tmp_path, client, name, layout):
    """Names, digests and bytes are those of the build, and every blob is uploaded once."""
    path, repository = _make_path(tmp_path, client), f"{client}/{name}"
    where = f"{registry.host}/{repository}"
    own = _descriptor(layout)
    done = _run_target(name, "--repository", where, "--tag", "v1", "--tag", "v2", path=path, home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{where}@{own['digest']}", f"{where}:v1", f"{where}:v2"]
    assert registry.tags(repository) == ["v1", "v2"]
    for reference in ("v1", "v2", own["digest"]):
        assert registry.manifest(repository, reference) == (own["digest"], layouts.blob(layout, own))
    uploaded = registry.uploads(repository)
    manifests = {own["digest"]} | {each["digest"] for each in json.loads(layouts.blob(layout, own)).get("manifests", [])}
    blobs = {blob.name for blob in (layout / "blobs" / "sha256").iterdir()} - {digest[len("sha256:") :] for digest in manifests}
    assert sorted(uploaded) == sorted(blobs)

    done = _run_target(name, "--repository", where, "--tag", "v3", path=path, home=tmp_path)
    assert (done.returncode, done.stdout.splitlines()[1:]) == (0, [f"{where}:v3"])
    assert registry.uploads(repository) == uploaded


@pytest.mark.parametrize("client", ["crane", "skopeo"])
def test_an_image_without_tags_is_pushed_by_digest(registry, tmp_path, client):
    where = f"{registry.host}/{client}/untagged"
    done = _run_target("push", "--repository", where, path=_make_path(tmp_path, client), home=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"{where}@{_descriptor(PROBE)['digest']}\n"), done.stderr
    assert registry.tags(f"{client}/untagged") == []
    assert registry.manifest(f"{client}/untagged", _descriptor(PROBE)["digest"])[1] == layouts.blob(PROBE, _descriptor(PROBE))


@pytest.fixture(scope="module")
def pushed(registry, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Returns a repository that has the image as tag "image" and the index as tag "index"."""
    home = tmp_path_factory.mktemp("pushed")
    path, where = _make_path(home, "crane"), f"{registry.host}/pushed"
    for name, tag in (("push", "image"), ("push_index", "index")):
        done = _run_target(name, "--repository", where, "--tag", tag, path=path, home=home)
        assert done.returncode == 0, done.stderr
    return where


@pytest.mark.parametrize("client", ["crane", "skopeo"])
def test_a_pulled_image_has_the_digest_of_the_build(pushed, tmp_path, client):
    for tag, layout in (("image", PROBE), ("index", INDEX)):
        pulled = _pull(client, f"{pushed}:{tag}", tmp_path / tag)
        assert _descriptor(pulled)["digest"] == _descriptor(layout)["digest"]


@pytest.mark.parametrize("client", ["crane", "skopeo"])
def test_a_pulled_image_has_its_capabilities(pushed, tmp_path, client):
    """The unpacked file has the extended attribute, and the process has the permitted capabilities."""
    bundle = Bundle(_pull(client, f"{pushed}:image", tmp_path / "pulled"), tmp_path / "bundle")
    assert os.getxattr(bundle.rootfs / "app/probe", "security.capability") == XATTR
    outcome = bundle.run(bounding=BOUNDING)
    assert outcome.status == 0, outcome.output
    assert f"CapPrm:\t{1 << 10 | 1 << 39:016x}\n" in outcome.output


def _check_in_podman(program: pathlib.Path, name: str) -> None:
    assert podmans.run(program, "image", "inspect", "--format={{.Digest}}", name) == _descriptor(PROBE)["digest"]
    root = pathlib.Path(podmans.run(program, "image", "mount", name))
    try:
        assert os.getxattr(root / "app/probe", "security.capability") == XATTR
    finally:
        podmans.run(program, "image", "unmount", name)


def test_podman_pulls(pushed, podman):
    podmans.run(podman, "pull", "--tls-verify=false", f"{pushed}:image")
    _check_in_podman(podman, f"{pushed}:image")
    podmans.run(podman, "pull", "--tls-verify=false", "--arch=arm64", f"{pushed}:index")
    assert podmans.run(podman, "image", "inspect", "--format={{.Architecture}}", f"{pushed}:index") == "arm64"


def test_podman_loads(podman, tmp_path):
    done = _run_target("load", path=podman.parent, home=tmp_path)
    assert (done.returncode, done.stdout) == (0, "localhost/probe:test\n"), done.stderr
    _check_in_podman(podman, "localhost/probe:test")
    done = _run_target("load", "--tag", "other", path=podman.parent, home=tmp_path)
    assert (done.returncode, done.stdout) == (0, "localhost/other:latest\n"), done.stderr
    _check_in_podman(podman, "localhost/other:latest")


def test_podman_loads_the_image_of_its_platform(podman, tmp_path):
    done = _run_target("load_index", path=podman.parent, home=tmp_path)
    assert (done.returncode, done.stdout) == (0, "localhost/probe:index\n"), done.stderr
    assert podmans.run(podman, "image", "inspect", "--format={{.Architecture}}", "localhost/probe:index") == "amd64"


def test_podman_has_no_image_for_its_platform(podman, tmp_path):
    done = _run_target("load_arm", path=podman.parent, home=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        '//tests/delivery:load_arm: image: "//tests/index:arm": has no image for linux/amd64, the platform of podman; '
        "it has linux/arm/v7, linux/arm64/v8; add one to the index, or load one of its images\n"
    )


def test_podman_keeps_a_name_with_a_host(podman, tmp_path):
    for name in ("localhost/other:1", "registry.example.test/other:1", "docker.io/other:1"):
        done = _run_target("load", "--tag", name, path=podman.parent, home=tmp_path)
        assert (done.returncode, done.stdout) == (0, name + "\n"), done.stderr
        _check_in_podman(podman, name)


def test_podman_by_the_name_of_docker(podman, tmp_path):
    """Debian's package podman-docker installs podman so."""
    (tmp_path / "docker").symlink_to(podman)
    for name, tag in (("load", "probe:by-docker"), ("load_index", "probe:index-by-docker")):
        done = _run_target(name, "--tag", tag, path=tmp_path, home=tmp_path)
        assert (done.returncode, done.stdout) == (0, tag + "\n"), done.stderr
        podmans.run(podman, "rm", podmans.run(podman, "create", "--pull=never", tag, "/app/probe"))


def test_an_archive_is_read_in_both_of_its_formats(podman, tmp_path):
    """podman loads the archive, and skopeo reads it as an OCI archive and as a Docker archive."""
    archive = HERE / "load.tar"
    assert "docker.io/library/probe:test" in podmans.run(podman, "load", f"--input={archive}")
    _check_in_podman(podman, "docker.io/library/probe:test")
    podmans.run(podman, "rm", podmans.run(podman, "create", "--pull=never", "probe:test", "/app/probe"))
    skopeo = [require.tool("skopeo"), "--tmpdir", str(tmp_path), "copy", "--quiet"]
    subprocess.run([*skopeo, f"oci-archive:{archive}:test", f"oci:{tmp_path}/oci:test"], check=True)
    assert _descriptor(tmp_path / "oci")["digest"] == _descriptor(PROBE)["digest"]
    docker = f"docker-archive:{archive}:probe:test"
    subprocess.run([*skopeo, docker, f"oci:{tmp_path}/docker:test"], check=True)
    assert layouts.config(tmp_path / "docker") == layouts.config(PROBE)
    bundle = Bundle(tmp_path / "docker", tmp_path / "bundle")
    assert os.getxattr(bundle.rootfs / "app/probe", "security.capability") == XATTR


@pytest.mark.parametrize(
    "name, flags, status, message",
    [
        ("push", [], 1, "//tests/delivery:push: no repository; set the attribute, or add: -- --repository HOST/PATH\n"),
        (
            "push",
            ["--repository", "127.0.0.1:1/app"],
            1,
            "//tests/delivery:push: no client for registries on PATH: install crane or skopeo, "
            "or register a toolchain of type @rules_setcap//rules:registry_client_toolchain_type\n",
        ),
        (
            "load",
            [],
            1,
            "//tests/delivery:load: no container engine on PATH: install docker or podman or nerdctl, "
            "or register a toolchain of type @rules_setcap//rules:container_engine_toolchain_type\n",
        ),
        (
            "push",
            ["--repository", "app"],
            2,
            'argument --repository: "app": names no registry; write its host first, as host/path or host:port/path\n',
        ),
        ("push", ["--tag", "-x y"], 2, 'argument --tag: "-x y" is not a valid tag: it must have up to 128 letters'),
        ("load", ["--tag", "App"], 2, 'argument --tag: "App" is not a valid path of a repository'),
    ],
)
def test_a_mistake_has_a_message(tmp_path, name, flags, status, message):
    done = _run_target(name, *flags, path=tmp_path, home=tmp_path)
    assert (done.returncode, done.stdout) == (status, "")
    assert message in done.stderr


@pytest.mark.parametrize("client", ["crane", "skopeo"])
def test_a_registry_that_does_not_answer_is_an_error(tmp_path, client):
    done = _run_target("push", "--repository", "127.0.0.1:1/app", "--tag", "v1", path=_make_path(tmp_path, client), home=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"//tests/delivery:push: {client} has not pushed 127.0.0.1:1/app:v1 (exit code 1)\n" in done.stderr


def test_an_engine_that_fails_is_an_error(tmp_path):
    """The engine does not read its input."""
    (tmp_path / "podman").write_text("#!/bin/sh\necho no space >&2\nexit 3\n")
    (tmp_path / "podman").chmod(0o755)
    done = _run_target("load", path=tmp_path, home=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "no space\n//tests/delivery:load: podman has not loaded localhost/probe:test (exit code 3)\n"


def test_a_copy_of_the_program_runs(registry, tmp_path):
    """The program runs with its runfiles in another directory, and through a link to it."""
    path = _make_path(tmp_path, "crane")
    copy = tmp_path / "copy"
    copy.mkdir()
    runfiles = os.environ["RUNFILES_DIR"]
    subprocess.run(["cp", "-rL", runfiles, str(copy / "push.runfiles")], check=True)
    subprocess.run(["cp", str(HERE / "push"), str(copy / "push")], check=True)
    (tmp_path / "link").symlink_to(copy / "push")
    for number, program in enumerate((copy / "push", tmp_path / "link")):
        where = f"{registry.host}/copy/{number}"
        environment = {"PATH": f"{path}:{os.environ['PATH']}", "HOME": str(tmp_path)}
        done = subprocess.run([str(program), "--repository", where], env=environment, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (0, f"{where}@{_descriptor(PROBE)['digest']}\n"), done.stderr

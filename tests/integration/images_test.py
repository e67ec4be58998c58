"""Images in a user's workspace: read by getcap, tested, and taken from other tools and rulesets."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
from typing import Iterator

import pytest

from support import registry as registries
from support import require
from support.bazel import Workspace

CONSUMER = pathlib.Path("tests/integration/consumer")
FOREIGN = ["crane_files", "oci_archive", "output_group", "skopeo_directory", "tree"]
POD = """\
apiVersion: v1
kind: Pod
metadata: {name: program}
spec:
  containers:
    - name: program
      image: registry.example/program:1
"""


def _workspace(directory: pathlib.Path, *, module: bool = True) -> Workspace:
    made = Workspace(directory, module=module)
    made.write("BUILD.bazel", (CONSUMER / "BUILD.images").read_text())
    made.write("foreign.bzl", (CONSUMER / "foreign.bzl").read_text())
    made.write("pod.yaml", POD)
    return made


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    made = _workspace(tmp_path_factory.mktemp("images"))
    yield made
    made.stop()


def _repositories(workspace: Workspace) -> set[str]:
    """The repositories that Bazel has fetched, without the names of their extensions."""
    base = pathlib.Path(workspace.run("info", "output_base").stdout.strip())
    return {path.name.replace("+", "~").rpartition("~")[2] for path in (base / "external").iterdir() if path.is_dir()}


def test_nothing_is_fetched_for_tests_of_contents(workspace):
    """Neither the packages of PyPI nor their hub."""
    workspace.run("test", "//:capabilities_test")
    workspace.run("build", "//:digest_test", "//:index")
    assert not [name for name in _repositories(workspace) if "pip" in name]
    workspace.run("build", "//:its_manifest's")
    assert "rules_setcap_tools_pip" in _repositories(workspace)


def test_getcap_finds_what_was_built(workspace):
    """Its Python is not the root module's default: bazel-bin must lead to the same directory nevertheless."""
    workspace.run("build", "//:image")
    before = os.readlink(workspace.directory / "bazel-bin")
    done = workspace.run("run", "@rules_setcap//tools/getcap", "--", "bazel-bin/image")
    assert done.stdout == "/app/hello cap_net_bind_service=p\n"
    done = workspace.run(
        *("run", "@rules_setcap//tools/getcap", "--", "explain", "bazel-bin/image", "--kubernetes", "pod.yaml"), check=False
    )
    assert "/app/hello: runs with cap_net_bind_service permitted" in done.stdout, done.stderr
    assert os.readlink(workspace.directory / "bazel-bin") == before


@pytest.fixture(scope="module")
def digest(workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Pushes the index, and pulls it by other tools into the workspace; returns its digest."""
    with registries.serve(tmp_path_factory.mktemp("registry")) as registry:
        where = f"{registry.host}/program"
        found = workspace.run("run", "//:push", "--", "--repository", where, "--tag", "1").stdout.split()[0].partition("@")[2]
        environment = {**os.environ, "HOME": str(tmp_path_factory.mktemp("home"))}
        skopeo = ["skopeo", "copy", "--quiet", "--src-tls-verify=false", f"docker://{where}:1"]
        for command in (
            ["crane", "pull", "--format=oci", f"{where}:1", "crane"],
            [*skopeo, "--all", "oci:skopeo:1"],
            [*skopeo, "--all", "oci-archive:oci.tar:1"],
            [*skopeo, "docker-archive:docker.tar:program:1"],
        ):
            program = require.tool(command[0])
            subprocess.run([program, *command[1:]], check=True, cwd=workspace.directory, env=environment)
    text = (workspace.directory / "BUILD.bazel").read_text()
    workspace.write("BUILD.bazel", text.replace('"DIGEST"', f'"{found}"'))
    return found


def test_images_of_others_are_tested(workspace, digest):
    kinds = ("capability_test", "digest_test", "kubernetes_test", "image_test")
    workspace.run("test", "//:docker_archive_capability_test", *(f"//:{name}_{kind}" for name in FOREIGN for kind in kinds))


def test_images_of_others_are_pushed_and_loaded(workspace, digest, tmp_path):
    with registries.serve(tmp_path) as registry:
        for name in FOREIGN:
            done = workspace.run("run", f"//:{name}_push", "--", "--repository", f"{registry.host}/{name}")
            assert done.stdout == f"{registry.host}/{name}@{digest}\n"
        workspace.run("run", "//:docker_archive_push", "--", "--repository", f"{registry.host}/docker", "--tag", "1")
        assert registry.tags("docker") == ["1"]
    workspace.run("build", *(f"//:{name}_archive" for name in FOREIGN))
    archives = {workspace.output(f"{name}_load.tar").read_bytes() for name in FOREIGN}
    assert len(archives) == 1


def test_an_index_as_base_brings_what_its_layout_links_to(workspace):
    workspace.run("build", "//:above_index")
    done = workspace.run("run", "@rules_setcap//tools/getcap", "--", "bazel-bin/above_index")
    assert done.stdout == "/app/program.elf cap_net_raw=p\n"
    for mnemonic in ("SetcapCopy", "SetcapLayout"):
        query = f"inputs('.*portable_binary.tar.gz', mnemonic('{mnemonic}', //:above_index))"
        assert f"Mnemonic: {mnemonic}" in workspace.run("aquery", query).stdout


def test_a_digest_needs_no_blob(workspace):
    done = workspace.run("aquery", "--output=jsonproto", "mnemonic('SetcapVerdict', //:digest_test)")
    graph = json.loads(done.stdout)
    fragments = {each["id"]: each for each in graph["pathFragments"]}

    def path(number: int) -> str:
        fragment = fragments[number]
        above = fragment.get("parentId")
        return (path(above) + "/" if above else "") + fragment["label"]

    names = {path(each["pathFragmentId"]).rpartition("/bin/")[2] for each in graph["artifacts"]}
    own = {name for name in names if name.startswith("image")}
    assert own == {"image.descriptor.json", "image.manifest.json"}


@pytest.mark.parametrize("name", ["it's", "50%&$b(c)"])
def test_names_that_a_shell_would_read(workspace, name):
    workspace.run("test", f"//:{name}")


def test_findings_fail_the_test_and_not_the_build(workspace):
    names = ["digest_test", "its_digest's", "its_manifest's"]
    workspace.run("build", *(f"//:{name}" for name in names))
    done = workspace.run("test", "--test_output=errors", "--keep_going", *(f"//:{name}" for name in names), check=False)
    assert done.returncode == 3  # Tests failed, and nothing else.
    said = done.stdout + done.stderr
    assert "//:its_manifest's: image_name: \"registry.example/hello\": no container of the manifests runs it; they run registry" in said
    # As a shell reads it.
    digest = json.loads((workspace.output("image") / "index.json").read_bytes())["manifests"][0]["digest"]
    assert f"""  buildozer 'set digest "{digest}"' //:digest_test\n""" in said
    assert f"""  buildozer 'set digest "{digest}"' '//:its_digest'\\''s'\n""" in said


def test_without_modules(tmp_path):
    """A WORKSPACE file that declares no packages of PyPI."""
    workspace = _workspace(tmp_path, module=False)
    try:
        workspace.run("test", "//:capabilities_test")
        workspace.run("build", "//:digest_test")
        done = workspace.run("run", "@rules_setcap//tools/getcap", "--", "bazel-bin/image", check=False)
        assert "rules_setcap_tools_pip" in done.stderr  # What explain reads YAML by.
    finally:
        workspace.stop()

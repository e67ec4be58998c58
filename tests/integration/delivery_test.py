"""`bazel run` of image_push and image_load works in a user's workspace."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator

import pytest

from support import registry as registries
from support.bazel import Workspace


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    made = Workspace(tmp_path_factory.mktemp("delivery"))
    made.write("app/BUILD.bazel", pathlib.Path("tests/integration/consumer/BUILD.delivery").read_text())
    made.write("app/hello.c", "int main(void) { return 0; }\n")
    made.write("status.sh", "#!/bin/sh\necho STABLE_VERSION 1.2.3\n")
    (made.directory / "status.sh").chmod(0o755)
    return made


STATUS = "--workspace_status_command=./status.sh"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[registries.Registry]:
    with registries.serve(tmp_path_factory.mktemp("registry")) as served:
        yield served


def _digest(workspace: Workspace, name: str) -> str:
    return json.loads((workspace.output(name) / "index.json").read_bytes())["manifests"][0]["digest"]


def test_a_flag_replaces_an_attribute(workspace, registry):
    where = f"{registry.host}/app"
    done = workspace.run("run", STATUS, "//app:push", "--", "--repository", where)
    digest = _digest(workspace, "app/image")
    assert done.stdout.splitlines() == [f"{where}@{digest}", f"{where}:latest", f"{where}:v-1.2.3"]
    assert registry.tags("app") == ["latest", "v-1.2.3"]
    assert registry.manifest("app", "v-1.2.3")[0] == digest


def test_without_flags_the_attributes_are_used(workspace):
    done = workspace.run("run", STATUS, "//app:push", check=False)
    assert done.returncode == 1
    assert "//app:push: crane has not pushed 127.0.0.1:1/from/a/file:latest (exit code 1)\n" in done.stderr


def test_an_image_for_another_platform_is_pushed_from_here(workspace, registry):
    """The program is built for the host, whatever the platform of the image is."""
    where = f"{registry.host}/cross"
    done = workspace.run("run", "--platforms=//app:arm64", "//app:push_cross", "--", "--repository", where)
    name, _, digest = done.stdout.strip().partition("@")
    assert name == where
    config = json.loads(registry.manifest("cross", digest)[1])["config"]
    assert json.loads(registry.blob("cross", config["digest"]))["architecture"] == "arm64"


def test_a_toolchain_can_name_the_client(workspace):
    toolchain = "--extra_toolchains=//app:client_toolchain"
    done = workspace.run("run", toolchain, STATUS, "//app:push", "--", "--tag", "x", check=False)
    assert "our client: --insecure push " in done.stderr
    digest = _digest(workspace, "app/image")
    assert (
        f"//app:push: crane has pushed 127.0.0.1:1/from/a/file:x with the digest sha256:0; it must be {digest}\n" in done.stderr
    )
    assert (done.returncode, done.stdout) == (1, "")


def test_a_toolchain_can_choose_the_kind_of_client(workspace, registry):
    where = f"{registry.host}/skopeo"
    toolchain = "--extra_toolchains=//app:skopeo_toolchain"
    done = workspace.run("run", toolchain, STATUS, "//app:push", "--", "--repository", where, "--tag", "x")
    assert done.stdout.splitlines() == [f"{where}@{_digest(workspace, 'app/image')}", f"{where}:x"]
    assert "Copying blob" in done.stderr  # skopeo prints this.


def test_a_toolchain_can_name_the_engine(workspace):
    done = workspace.run("run", "--extra_toolchains=//app:engine_toolchain", "//app:load")
    assert done.stdout == "localhost/app:dev\n"
    assert "our engine: load\n" in done.stderr
    assert "\nblobs/sha256/" in done.stderr and "\nmanifest.json\n" in done.stderr


RESTRICTED = """\
load("@rules_setcap//rules:image.bzl", "image")
load("@rules_setcap//rules:load.bzl", "image_load")
load("@rules_setcap//rules:push.bzl", "image_push")

environment(name = "server")
environment(name = "desktop")
environment_group(name = "devices", environments = [":server", ":desktop"], defaults = [":desktop"])

image(name = "image", restricted_to = [":server"], testonly = True)
image_load(name = "load", image = ":image", restricted_to = [":server"], tag = "app", testonly = True)
image_push(name = "push", image = ":image", repository = "registry.example/app", restricted_to = [":server"], testonly = True)
image(name = "everywhere", compatible_with = [":server"])
image_push(name = "push_everywhere", image = ":everywhere", compatible_with = [":server"], repository = "registry.example/app")
"""


def test_targets_that_only_some_may_depend_on_can_be_delivered(workspace):
    workspace.write("restricted/BUILD.bazel", RESTRICTED)
    workspace.run("build", "//restricted:all", "//restricted:push", "//restricted:load", "//restricted:push_everywhere")


MISTAKES = {
    "push_unknown_key": '//app:push_unknown_key: remote_tags: "{STABLE_VERSIO}": '
    'the workspace status has no "STABLE_VERSIO"; it has ',
    "of_nothing": "//app:of_nothing: images: []: must not be empty; set images, or image and platforms",
    "twice": '//app:twice: images: "linux/arm64/v8": //app:cross for //app:arm64 and //app:cross for //app:arm64_too '
    "are both for this platform; an index has one image for each",
    "both": '//app:both: image: ["//app:cross"]: is set together with images; set images, or image and platforms',
}


@pytest.mark.parametrize("target", MISTAKES)
def test_a_mistake_is_a_build_error(workspace, target):
    done = workspace.run("build", STATUS, f"//app:{target}", check=False)
    assert done.returncode == 1
    assert MISTAKES[target] in done.stderr
    assert "Traceback" not in done.stderr

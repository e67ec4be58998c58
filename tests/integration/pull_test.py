"""Bases that bases.pull fetches from a registry, in a user's workspace, with crane and skopeo."""

from __future__ import annotations

import base64
import json
import pathlib
import re
import subprocess
import tarfile
from collections.abc import Iterator
from typing import Any

import pytest

from support import archives, hostile_registry, oci_layout, require
from support import registry as registries
from support.bazel import Workspace

CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000").decode("latin-1")
INDEX = "application/vnd.oci.image.index.v1+json"
PLATFORMS = {"linux/amd64": "amd64", "linux/arm64": "arm64"}

# Each image is the smallest that needs one thing of its base.
BUILD = """\
load("@rules_setcap//rules:image.bzl", "image")
load("@rules_setcap//rules:index.bzl", "image_index")
load("@rules_setcap//rules:load.bzl", "image_load")
load("@rules_setcap//rules:push.bzl", "image_push")
load("@rules_setcap//rules:test.bzl", "capability_test", "digest_test")
load("@rules_setcap//rules:toolchains.bzl", "registry_client")

package(default_visibility = ["//visibility:public"])

genrule(
    name = "program",
    outs = ["program.elf"],
    cmd = "printf '\\\\177ELF' > $@",
    executable = True,
)

image(
    name = "config",
    annotations = {"a": "b"},
    base = "@base",
    env = {"NAME": "value"},
    labels = {"c": "d"},
    user = "65532",
)

digest_test(
    name = "config_digest",
    digest = "sha256:0000000000000000000000000000000000000000000000000000000000000000",
    image = ":config",
)

image(
    name = "over_config",
    base = ":config",
    env = {"NAME": "other"},
)

image(
    name = "entrypoint",
    base = "@base",
    entrypoint = ["/usr/bin/ping"],
)

[
    image(
        name = "app_" + architecture,
        base = "@base",
        binary = ":program",
        disabled_checks = ["architecture", "format"],
        platform = "linux/" + architecture,
    )
    for architecture in ["amd64", "arm64", "s390x"]
]

image_index(
    name = "index",
    images = [":app_amd64", ":app_arm64"],
)

image(
    name = "copied",
    base = "@base",
    disabled_checks = ["architecture", "format"],
    file_capabilities = {"/usr/bin/ping": "cap_net_raw=p"},
    platform = "linux/amd64",
)

image_push(
    name = "push",
    image = ":app_amd64",
)

image_push(
    name = "push_index",
    image = ":index",
)

image_load(
    name = "load",
    image = ":app_amd64",
    tag = "app:dev",
)

capability_test(
    name = "capabilities",
    expected = {"/usr/bin/ping": "cap_net_bind_service=ep"},
    image = ":app_amd64",
)

genrule(
    name = "wrapper",
    outs = ["our-crane"],
    cmd = "printf '#!/bin/sh\\\\necho our client >> /tmp/none 2>/dev/null\\\\nexec crane \\"$$@\\"\\\\n' > $@",
    executable = True,
)

registry_client(
    name = "client",
    kind = "crane",
    program = ":wrapper",
)

toolchain(
    name = "client_toolchain",
    toolchain = ":client",
    toolchain_type = "@rules_setcap//rules:registry_client_toolchain_type",
)
"""
MODULE = """\
bases = use_extension("@rules_setcap//rules:extensions.bzl", "bases")
bases.pull(
    name = "base",
{attributes})
use_repo(bases, "base")
"""


class Base:
    """The image that is pulled: an index of images for two platforms, which share the lower of two layers.

    Attributes:
      digest: the digest of the index.
      manifests: the digests of the manifests by platform.
      layers: the digests of the layers by platform, in hexadecimal.
    """

    def __init__(self, directory: pathlib.Path) -> None:
        self.layout = archives.Layout(directory)
        self.manifests: dict[str, str] = {}
        self.layers: dict[str, list[str]] = {}
        lower = oci_layout.layer([oci_layout.directory("usr"), oci_layout.directory("usr/bin")])
        entries = []
        for platform, architecture in PLATFORMS.items():
            content = b"\x7fELF" + architecture.encode() * 100
            records = {"SCHILY.xattr.security.capability": CAPABILITY}
            upper = oci_layout.layer([oci_layout.Member("usr/bin/ping", content=content, records=records)])
            config = archives.config(lower, upper, architecture=architecture)
            entry = self.layout.manifest(config, [(lower, archives.LAYER), (upper, archives.LAYER)])
            entries.append({**entry, "platform": {"os": "linux", "architecture": architecture}})
            self.manifests[platform] = entry["digest"]
            self.layers[platform] = [archives.digest(layer).removeprefix("sha256:") for layer in (lower, upper)]
        index = self.layout.put({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}, INDEX)
        self.layout.index(index)
        self.digest = index["digest"]

    def push(self, name: str) -> None:
        """Pushes the index by skopeo."""
        command = [require.tool("skopeo"), "copy", "--all", "--preserve-digests", "--dest-tls-verify=false"]
        done = subprocess.run([*command, f"oci:{self.layout.path}", f"docker://{name}"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


class Consumer:
    """A workspace with a base.

    Attributes:
      workspace: the workspace.
      base: the base.
      registry: the registry that has it.
    """

    def __init__(self, workspace: Workspace, base: Base, registry: registries.Registry) -> None:
        self.workspace, self.base, self.registry = workspace, base, registry
        self._module = (workspace.directory / "MODULE.bazel").read_text()

    def pull(self, repository: str = "base", more: str = "", **attributes: object) -> None:
        """Writes MODULE.bazel.

        Args:
          repository: the repository in the registry.
          more: further lines.
          **attributes: the attributes of bases.pull, in addition to `image` and `digest`; None to leave one out.
        """
        values = {"image": f"{self.registry.host}/{repository}", "digest": self.base.digest, **attributes}
        lines = [f"    {name} = {json.dumps(value)},\n" for name, value in values.items() if value is not None]
        self.workspace.write("MODULE.bazel", self._module + MODULE.format(attributes="".join(lines)) + more)

    def pull_new(self, name: str, **options: Any) -> str:
        """Pushes the base to a repository that no test has used, pulls it from there, and returns its name."""
        self.base.push(f"{self.registry.host}/{name}:13")
        self.pull(name, **options)
        return name

    def fail(self, *arguments: str) -> str:
        """Runs a build that fails, and returns what it prints."""
        done = self.workspace.run("build", *arguments, check=False)
        assert done.returncode == 1, done.stderr
        return done.stderr


@pytest.fixture(scope="module")
def consumer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consumer]:
    workspace = Workspace(tmp_path_factory.mktemp("pull"))
    workspace.write("BUILD.bazel", BUILD)
    with registries.serve(tmp_path_factory.mktemp("registry")) as registry:
        yield Consumer(workspace, Base(tmp_path_factory.mktemp("base")), registry)
    workspace.stop()


def _digest(consumer: Consumer, name: str) -> str:
    consumer.workspace.run("build", f"//:{name}", "--output_groups=descriptor")
    return json.loads(consumer.workspace.output(f"{name}.descriptor.json").read_bytes())["digest"]


def test_an_image_that_changes_only_the_config_fetches_no_layer(consumer):
    name = consumer.pull_new("config")
    consumer.workspace.run("build", "//:config", "//:over_config", "//:config_digest")
    manifest = json.loads(consumer.workspace.output("over_config.manifest.json").read_bytes())
    layers = consumer.base.layers["linux/amd64"]
    assert [layer["digest"].removeprefix("sha256:") for layer in manifest["layers"]] == layers
    assert "NAME=other" in json.loads(consumer.workspace.output("over_config.config.json").read_bytes())["config"]["Env"]
    assert sorted(consumer.registry.fetched_manifests(name)) == sorted([consumer.base.digest, *consumer.base.manifests.values()])
    assert not {layer for layers in consumer.base.layers.values() for layer in layers} & set(
        consumer.registry.fetched_blobs(name)
    )


def test_platforms_limits_what_is_fetched(consumer):
    name = consumer.pull_new("narrow", platforms=["linux/arm64"])
    consumer.workspace.run("build", "//:app_arm64", "--output_groups=manifest")
    assert consumer.registry.fetched_manifests(name) == [consumer.base.digest, consumer.base.manifests["linux/arm64"]]
    assert set(consumer.base.layers["linux/arm64"]) < set(consumer.registry.fetched_blobs(name))
    stderr = consumer.fail("//:app_amd64", "--output_groups=manifest")
    assert re.search(r'base: "@@\S+//:base": has no image for linux/amd64; it has linux/arm64\n', stderr), stderr


def test_layers_are_fetched_once_for_all_images_and_platforms(consumer):
    name = consumer.pull_new("once")
    targets = ["//:app_amd64", "//:app_arm64", "//:copied", "//:entrypoint"]
    consumer.workspace.run("build", *targets, "--output_groups=manifest")
    consumer.workspace.run("build", *targets, "--output_groups=manifest", "-c", "opt")
    layers = [layer for layers in consumer.base.layers.values() for layer in layers]
    fetched = [blob for blob in consumer.registry.fetched_blobs(name) if blob in layers]
    assert sorted(fetched) == sorted(set(layers))


def test_a_second_machine_fetches_no_layer_with_a_warm_cache(consumer, tmp_path):
    name = consumer.pull_new("cache")
    build = ["//:app_amd64", "//:copied", "--output_groups=manifest", f"--disk_cache={tmp_path}"]
    consumer.workspace.run("build", *build)
    before = consumer.registry.fetched_blobs(name)
    consumer.workspace.run("clean", "--expunge")
    consumer.workspace.run("build", *build)
    again = consumer.registry.fetched_blobs(name)[len(before) :]
    assert again and not set(again) & set(consumer.base.layers["linux/amd64"])  # Only the configs.


def test_capabilities_of_files_of_the_base_are_read_and_changed(consumer):
    consumer.pull_new("capabilities")
    consumer.workspace.run("test", "//:capabilities")
    consumer.workspace.run("build", "//:copied", "--output_groups=layers")
    with tarfile.open(consumer.workspace.output("copied_copied.tar.gz")) as layer:
        ping = next(member for member in layer if member.name.strip("./") == "usr/bin/ping")
        assert layer.extractfile(ping).read() == b"\x7fELF" + b"amd64" * 100


def test_the_image_itself_can_be_used_as_an_image(consumer):
    consumer.pull_new("itself")
    consumer.workspace.write(
        "itself/BUILD.bazel",
        'load("@rules_setcap//rules:load.bzl", "image_load")\n'
        'load("@rules_setcap//rules:test.bzl", "capability_test")\n'
        'image_load(name = "load", image = "@base", tag = "base:1")\n'
        'capability_test(name = "test", expected = {"/usr/bin/ping": "cap_net_bind_service=ep"}, image = "@base")\n',
    )
    consumer.workspace.run("test", "//itself:test")
    consumer.workspace.run("build", "//itself:load", "--output_groups=archive")
    with tarfile.open(consumer.workspace.output("itself/load.tar")) as archive:
        names = set(archive.getnames())
    assert {f"blobs/sha256/{layer}" for layers in consumer.base.layers.values() for layer in layers} < names


def test_the_archive_for_engines_has_the_layers(consumer):
    consumer.pull_new("load")
    consumer.workspace.run("build", "//:load", "--output_groups=archive")
    with tarfile.open(consumer.workspace.output("load.tar")) as archive:
        names = set(archive.getnames())
    assert {f"blobs/sha256/{layer}" for layer in consumer.base.layers["linux/amd64"]} < names


@pytest.mark.parametrize("client", ["crane", "skopeo"])
@pytest.mark.parametrize("target", ["app_amd64", "index"])
def test_a_push_does_not_fetch_layers_of_the_base_to_this_machine(consumer, client, target, tmp_path):
    kind = f"{client}-{target.replace('_', '-')}"
    name = consumer.pull_new(f"source-{kind}")
    push = {"app_amd64": "//:push", "index": "//:push_index"}[target]
    consumer.workspace.write(
        "client/BUILD.bazel",
        'load("@rules_setcap//rules:toolchains.bzl", "registry_client")\n'
        f'registry_client(name = "client", kind = "{client}")\n'
        'toolchain(name = "toolchain", toolchain = ":client", '
        'toolchain_type = "@rules_setcap//rules:registry_client_toolchain_type")\n',
    )
    # What the build reads of the base is in the cache of another machine.
    cache = f"--disk_cache={tmp_path}"
    consumer.workspace.run("build", push, cache)
    consumer.workspace.run("clean")
    before = len(consumer.registry.fetched_blobs(name))
    repository = f"{consumer.registry.host}/pushed-{kind}"
    run = ["//:" + push[3:], cache, "--extra_toolchains=//client:toolchain"]
    done = consumer.workspace.run("run", *run, "--", "--repository", repository, "--tag", "v1")
    fetched = consumer.registry.fetched_blobs(name)[before:]
    digest = _digest(consumer, target)
    assert done.stdout.splitlines() == [f"{repository}@{digest}", f"{repository}:v1"]
    pushed, _ = consumer.registry.manifest(f"pushed-{kind}", "v1")
    assert pushed == digest
    platforms = PLATFORMS if target == "index" else ["linux/amd64"]
    layers = {layer for platform in platforms for layer in consumer.base.layers[platform]}
    for layer in layers:
        assert consumer.registry.blob(f"pushed-{kind}", f"sha256:{layer}")
    if client == "crane":
        assert layers < set(consumer.registry.mounted_blobs(f"pushed-{kind}"))
        assert not layers & set(fetched)


def test_a_release_mounts_the_layers_of_the_base(consumer):
    consumer.pull_new("release-source")
    repository = f"{consumer.registry.host}/released"
    consumer.workspace.write(
        "release/BUILD.bazel",
        'load("@rules_setcap//rules:push.bzl", "image_push")\n'
        'load("@rules_setcap//rules:release.bzl", "image_release")\n'
        f'image_push(name = "push", image = "//:index", repository = "{repository}")\n'
        'image_release(name = "release", images = [":push"])\n',
    )
    consumer.workspace.run("run", "//release", "--", "--tag", "v1")
    pushed, _ = consumer.registry.manifest("released", "v1")
    assert pushed == _digest(consumer, "index")
    layers = {layer for layers in consumer.base.layers.values() for layer in layers}
    assert layers <= set(consumer.registry.mounted_blobs("released"))
    assert not layers & set(consumer.registry.uploads("released"))


def test_a_push_to_a_registry_that_has_the_layers_needs_no_source(consumer, tmp_path_factory):
    with registries.serve(tmp_path_factory.mktemp("source")) as source:
        consumer.base.push(f"{source.host}/base:13")
        consumer.pull(image=f"{source.host}/base")
        consumer.workspace.run("build", "//:push")
    repository = f"{consumer.registry.host}/without-source"
    run = ["run", "//:push", "--", "--repository", repository]
    done = consumer.workspace.run(*run, check=False)
    assert done.returncode == 1
    manifest = consumer.base.manifests["linux/amd64"]
    what = f"; crane has not copied its base {source.host}/base@{manifest} to {repository}\n"
    assert re.search(rf"//:push: crane has not pushed \S+ \(exit code \d+\){re.escape(what)}", done.stderr), done.stderr
    consumer.base.push(f"{repository}:13")
    assert consumer.workspace.run(*run).stdout == f"{repository}@{_digest(consumer, 'app_amd64')}\n"


def test_skopeo_fetches_the_same(consumer):
    consumer.pull_new("by-crane")
    digest = _digest(consumer, "app_amd64")
    name = consumer.pull_new("by-skopeo", more='bases.client(kind = "skopeo")\n')
    assert _digest(consumer, "app_amd64") == digest
    assert set(consumer.base.layers["linux/amd64"]) < set(consumer.registry.fetched_blobs(name))


def test_a_toolchain_can_name_the_client(consumer):
    name = consumer.pull_new("toolchain")
    consumer.workspace.run("build", "//:app_amd64", "--output_groups=manifest", "--extra_toolchains=//:client_toolchain")
    assert set(consumer.base.layers["linux/amd64"]) < set(consumer.registry.fetched_blobs(name))


def test_without_a_digest_the_message_has_it(consumer):
    consumer.pull_new("tagged", digest=None, tag="13")
    stderr = consumer.fail("//:config", "--output_groups=manifest")
    name = f"{consumer.registry.host}/tagged:13"
    line = f'    digest = "{consumer.base.digest}",'
    assert f'@base: digest: "": must be set; {name} has this digest today, so write\n{line}\n' in stderr
    consumer.pull("tagged", tag="13")
    consumer.workspace.run("build", "//:config", "--output_groups=manifest")


def test_an_unknown_tag_is_reported(consumer):
    consumer.pull_new("no-tag", digest=None, tag="14")
    stderr = consumer.fail("//:config", "--output_groups=manifest")
    assert '@base: digest: "": must be set, and crane has not found the tag "14": ' in stderr
    assert "MANIFEST_UNKNOWN" in stderr


def test_all_invalid_attributes_are_reported(consumer):
    consumer.pull(image="debian:13", digest="sha256:12", tag=".x", platforms=["linux"])
    stderr = consumer.fail("//:config")
    for problem in (
        'image: "debian:13": names no registry; write its host first, as "registry.example/path"',
        'digest: "sha256:12": not a valid digest; write "sha256:" and 64 hexadecimal digits in lower case',
        'tag: ".x": not a valid tag; write up to 128 letters, digits, "_", "." and "-"',
        'platforms: "linux": not a valid platform; write os/architecture, as "linux/amd64" or "linux/arm/v7"',
    ):
        assert f"@base: {problem}\n" in stderr


@pytest.mark.parametrize(
    ("image", "problem"),
    [
        ("registry.example/app:v1", 'has a tag; write "registry.example/app", and the tag as tag'),
        ("registry.example/app@sha256:12", 'has a digest; write "registry.example/app", and the digest as digest'),
        ("registry.example/App", '"App" is not a valid path of a repository'),
        ("registry.example", "names no registry"),
        ("-x.example/app", '"-x.example" is not a valid host'),
    ],
)
def test_an_invalid_image_is_reported(consumer, image, problem):
    consumer.pull(image=image)
    assert f'@base: image: "{image}": {problem}' in consumer.fail("//:config")


def test_a_platform_that_the_index_lacks_is_reported(consumer):
    consumer.pull_new("platforms", platforms=["linux/amd64", "linux/s390x", "windows/amd64"])
    stderr = consumer.fail("//:config")
    for platform in ("linux/s390x", "windows/amd64"):
        what = "the index has no image for it; it has linux/amd64, linux/arm64"
        assert f'@base: platforms: "{platform}": {what}\n' in stderr


def test_an_image_for_another_platform_is_reported(consumer):
    consumer.pull_new("manifest", digest=consumer.base.manifests["linux/arm64"], platforms=["linux/amd64"])
    what = "the digest is that of an image for linux/arm64; write the digest of the index, or this platform"
    assert f'@base: platforms: ["linux/amd64"]: {what}\n' in consumer.fail("//:config")
    consumer.pull("manifest", digest=consumer.base.manifests["linux/arm64"], platforms=["linux/arm64/v8"])
    consumer.workspace.run("build", "//:app_arm64", "--output_groups=manifest")


def test_the_platform_of_the_image_is_not_in_the_index(consumer):
    consumer.pull_new("s390x")
    stderr = consumer.fail("//:app_s390x", "--output_groups=manifest")
    assert "has no image for linux/s390x; it has linux/amd64, linux/arm64\n" in stderr


def test_a_missing_client_is_reported(consumer, tmp_path):
    for name in ("sh", "head", "chmod", "wc"):
        (tmp_path / name).symlink_to(require.tool(name))
    consumer.pull_new("no-client")
    stderr = consumer.fail("//:config", f"--repo_env=PATH={tmp_path}")
    what = "no client for registries on PATH; install crane or skopeo, or name one with bases.client in MODULE.bazel"
    assert f'@base: image: "{consumer.registry.host}/no-client": {what}\n' in stderr
    consumer.pull("no-client", more='bases.client(kind = "skopeo")\n')
    assert "no client for registries on PATH; install skopeo, or" in consumer.fail("//:config", f"--repo_env=PATH={tmp_path}")
    (tmp_path / "skopeo").symlink_to(require.tool("skopeo"))  # Bazel does not notice it.
    consumer.workspace.run("build", "//:config", f"--repo_env=PATH={tmp_path}")


def test_a_registry_that_cannot_be_reached_is_reported(consumer):
    consumer.pull(image="127.0.0.1:1/base")
    stderr = consumer.fail("//:config")
    assert f'@base: image: "127.0.0.1:1/base": crane has not fetched {consumer.base.digest}: ' in stderr
    assert "connection refused" in stderr


def test_a_layer_that_cannot_be_fetched_is_reported(consumer, tmp_path_factory):
    with registries.serve(tmp_path_factory.mktemp("stopped")) as stopped:
        consumer.base.push(f"{stopped.host}/base:13")
        consumer.pull(image=f"{stopped.host}/base")
        consumer.workspace.run("build", "//:config", "--output_groups=manifest")
    stderr = consumer.fail("//:app_amd64", "--output_groups=manifest")
    assert re.search(rf'image: "{stopped.host}/base": crane has not fetched sha256:[0-9a-f]+: .*connection refused', stderr), (
        stderr
    )


def test_credentials_are_those_of_the_client(consumer, tmp_path, tmp_path_factory):
    with registries.serve(tmp_path_factory.mktemp("private"), has_password=True) as private:
        command = [require.tool("skopeo"), "copy", "--all", "--preserve-digests", "--dest-tls-verify=false"]
        name = f"{private.host}/base"
        subprocess.run(
            [*command, "--dest-creds=user:secret", f"oci:{consumer.base.layout.path}", f"docker://{name}:13"], check=True
        )
        consumer.pull(image=name)
        assert "UNAUTHORIZED" in consumer.fail("//:app_amd64")
        config = {"auths": {private.host: {"auth": base64.b64encode(b"user:secret").decode()}}}
        home = consumer.workspace.directory.parent / "home"
        for client, directory in (("crane", tmp_path / "cön fig"), ("skopeo", home / ".docker")):
            directory.mkdir()
            (directory / "config.json").write_text(json.dumps(config))
            consumer.pull(image=name, more=f'bases.client(kind = "{client}")\n')
            consumer.workspace.run("clean")
            flags = [f"--repo_env=DOCKER_CONFIG={directory}"] if client == "crane" else []
            consumer.workspace.run("build", "//:app_amd64", *flags)
            fetched = private.fetched_blobs("base")
            assert all(fetched.count(layer) == (1 if client == "crane" else 2) for layer in consumer.base.layers["linux/amd64"])


def test_two_images_cannot_have_one_name(consumer):
    consumer.pull(more='bases.pull(name = "base", image = "registry.example/other")\n')
    assert 'bases.pull: name: "base": is the name of two different images' in consumer.fail("//:config")


class Hostile:
    """A registry with an image of one layer, which a test changes."""

    def __init__(self, registry: hostile_registry.HostileRegistry) -> None:
        self.registry = registry
        layer = oci_layout.layer([oci_layout.Member("file", content=b"x")])
        config = json.dumps(archives.config(layer)).encode()
        self.layer = {"mediaType": archives.LAYER, **registry.add_blob(layer)}
        self.config = {"mediaType": archives.CONFIG, **registry.add_blob(config)}
        self.manifest: dict[str, Any] = {"schemaVersion": 2, "mediaType": archives.MANIFEST, "config": self.config}
        self.manifest["layers"] = [self.layer]

    def add_manifest(self) -> str:
        """Adds the manifest, and returns its digest."""
        return self.registry.add_document(json.dumps(self.manifest).encode())


@pytest.fixture
def hostile() -> Iterator[Hostile]:
    with hostile_registry.serve() as registry:
        yield Hostile(registry)


@pytest.mark.parametrize("client", ["crane", "skopeo"])
@pytest.mark.parametrize("content", ["another layer", "longer", "shorter", "endless"])
def test_a_layer_of_another_digest_is_refused(consumer, hostile, client, content):
    layer = hostile.registry.blobs[hostile.layer["digest"]]
    contents = {"another layer": layer[::-1], "longer": layer + b"x", "shorter": layer[:-1], "endless": hostile_registry.ENDLESS}
    hostile.registry.blobs[hostile.layer["digest"]] = contents[content]
    consumer.pull(
        image=f"{hostile.registry.host}/hostile", digest=hostile.add_manifest(), more=f'bases.client(kind = "{client}")\n'
    )
    stderr = consumer.fail("//:app_amd64", "--output_groups=manifest")
    assert re.search(rf'image: "\S+/hostile": {client} has (not )?fetched .*{hostile.layer["digest"]}', stderr), stderr
    assert hostile.registry.sent < 1 << 26
    assert "Traceback (most" not in stderr


@pytest.mark.parametrize("client", ["crane", "skopeo"])
def test_a_document_of_another_digest_is_refused(consumer, hostile, client):
    digest = hostile.add_manifest()
    hostile.manifest["annotations"] = {"a": "b"}
    hostile.registry.documents[digest] = json.dumps(hostile.manifest).encode(), archives.MANIFEST
    consumer.pull(image=f"{hostile.registry.host}/hostile", digest=digest, more=f'bases.client(kind = "{client}")\n')
    assert re.search(rf'@base: image: "\S+/hostile": {client} has (not )?fetched .*{digest}', consumer.fail("//:config"))


def _nest(count: int) -> bytes:
    return b'{"layers":' + b"[" * count + b"]" * count + b"}"


HOSTILE_DOCUMENTS = {
    "not JSON": (b"{", "is not a JSON object of at most 4194304 bytes"),
    "a list": (b"[]", "is not a JSON object"),
    "too large": (b'{"a":"' + b"x" * (4 << 20) + b'"}', "has fetched something of another digest"),
    "nested": (_nest(100_000), "is not a JSON object"),
    "no layers": (b'{"layers":1}', "has no list of layers"),
    "many layers": (json.dumps({"layers": [{}] * 501}).encode(), "has 501 layers (limit LAYERS: 500)"),
    "no config": (b'{"layers":[]}', "has a descriptor that is not valid: null"),
    "path": (json.dumps({"config": {"digest": "sha256:../../../x", "size": 1}}).encode(), "has a descriptor that is not valid"),
    "negative": (
        json.dumps({"config": {"digest": "sha256:" + "0" * 64, "size": -1}}).encode(),
        "has a descriptor that is not valid",
    ),
    "nested index": (
        json.dumps({"manifests": [{"mediaType": INDEX, "digest": "sha256:" + "0" * 64, "size": 1}]}).encode(),
        "is an index in an index; write its digest as digest",
    ),
    "unknown entry": (
        json.dumps({"manifests": [{"mediaType": "text/x", "digest": "sha256:" + "0" * 64, "size": 1}]}).encode(),
        'has the unknown media type "text/x"; write the platforms to fetch',
    ),
    "index": (json.dumps({"manifests": []}).encode(), "is an index without manifests"),
    "large index": (json.dumps({"manifests": [{}] * 1001}).encode(), "is an index of 1001 manifests (limit IMAGES: 1000)"),
    "other": (json.dumps({"mediaType": "text/plain"}).encode(), 'its media type is "text/plain"'),
}


@pytest.mark.parametrize("name", HOSTILE_DOCUMENTS)
def test_a_hostile_document_is_refused(consumer, hostile, name):
    data, problem = HOSTILE_DOCUMENTS[name]
    consumer.pull(image=f"{hostile.registry.host}/hostile", digest=hostile.registry.add_document(data))
    stderr = consumer.fail("//:config")
    assert re.search(rf'@base: image: "\S+/hostile": .*{re.escape(problem)}', stderr), stderr


def test_documents_may_have_any_text(consumer, hostile):
    """The size of a document is its size in bytes."""
    hostile.manifest["annotations"] = {"author": "Größe \u2603"}
    data = json.dumps(hostile.manifest, ensure_ascii=False).encode()
    consumer.pull(image=f"{hostile.registry.host}/hostile", digest=hostile.registry.add_document(data))
    consumer.workspace.run("build", "//:app_amd64")


def test_what_a_platform_says_is_text(consumer, hostile):
    """Values of documents are written into a BUILD file."""
    manifest = hostile.add_manifest()
    evil = '"\n)\nfail("injected")\n#\\'
    entry = {"mediaType": archives.MANIFEST, "digest": manifest, "size": len(hostile.registry.documents[manifest][0])}
    index = {"schemaVersion": 2, "manifests": [{**entry, "platform": {"os": "linux", "architecture": evil}}]}
    digest = hostile.registry.add_document(json.dumps(index).encode(), INDEX)
    consumer.pull(image=f"{hostile.registry.host}/hostile", digest=digest)
    stderr = consumer.fail("//:config", "--output_groups=manifest")
    assert "has no image for linux/amd64" in stderr and "injected" not in stderr

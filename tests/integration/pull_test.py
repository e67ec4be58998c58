"""Bases that bases.pull fetches from a registry, in a user's workspace, with crane and skopeo."""

from __future__ import annotations

import base64
import json
import pathlib
import re
import subprocess
import tarfile
from collections.abc import Iterator

import pytest
from pulling import PLATFORMS, Consumer, open_consumer

from support import registry as registries
from support import require


@pytest.fixture(scope="module")
def consumer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consumer]:
    with open_consumer(tmp_path_factory) as opened:
        yield opened


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
    digest = consumer.find_digest(target)
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
    assert pushed == consumer.find_digest("index")
    layers = {layer for layers in consumer.base.layers.values() for layer in layers}
    assert layers <= set(consumer.registry.mounted_blobs("released"))
    assert not layers & set(consumer.registry.uploads("released"))


def test_a_release_to_another_registry_uploads_the_layers_of_the_base_once(consumer, tmp_path, tmp_path_factory):
    """The release has Bazel fetch the layers, which the build left in the cache."""
    consumer.pull_new("other-registry-source")
    bazel, home, cache = require.tool("bazel"), consumer.workspace.directory.parent / "home", f"--disk_cache={tmp_path}"
    flags = [f"--bazel={bazel} --output_user_root={home}/bazel --max_idle_secs=20", "--build-flag=--lockfile_mode=off"]
    with registries.serve(tmp_path_factory.mktemp("other")) as other:
        consumer.workspace.write(
            "other/BUILD.bazel",
            'load("@rules_setcap//rules:push.bzl", "image_push")\n'
            'load("@rules_setcap//rules:release.bzl", "image_release")\n'
            f'image_push(name = "push", image = "//:index", repository = "{other.host}/released")\n'
            'image_release(name = "other", images = [":push"])\n',
        )
        consumer.workspace.run("build", cache, "//other")
        consumer.workspace.run("clean")
        consumer.workspace.run("run", cache, "//other", "--", "--tag", "v1", *flags, f"--build-flag={cache}")
        assert other.manifest("released", "v1")[0] == consumer.find_digest("index")
        uploads = other.uploads("released")
    layers = {layer for layers in consumer.base.layers.values() for layer in layers}
    assert layers <= set(uploads) and len(uploads) == len(set(uploads))


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
    what = f"; crane has not copied its base {source.host}/base@{manifest} to {repository} (exit code 1)\n"
    assert re.search(rf"//:push: crane has not pushed \S+ \(exit code \d+\){re.escape(what)}", done.stderr), done.stderr
    consumer.base.push(f"{repository}:13")
    assert consumer.workspace.run(*run).stdout == f"{repository}@{consumer.find_digest('app_amd64')}\n"


def test_skopeo_fetches_the_same(consumer):
    consumer.pull_new("by-crane")
    digest = consumer.find_digest("app_amd64")
    name = consumer.pull_new("by-skopeo", more='bases.client(kind = "skopeo")\n')
    assert consumer.find_digest("app_amd64") == digest
    assert set(consumer.base.layers["linux/amd64"]) < set(consumer.registry.fetched_blobs(name))


def test_a_toolchain_can_name_the_client(consumer):
    name = consumer.pull_new("toolchain")
    consumer.workspace.run("build", "//:app_amd64", "--output_groups=manifest", "--extra_toolchains=//:client_toolchain")
    assert set(consumer.base.layers["linux/amd64"]) < set(consumer.registry.fetched_blobs(name))


def test_a_file_can_be_the_client(consumer, tmp_path):
    log = tmp_path / "log"
    consumer.workspace.write("tools/BUILD.bazel", "")
    consumer.workspace.write("tools/our-crane", f'#!/bin/sh\necho "$*" >> "{log}"\nexec crane "$@"\n')
    (consumer.workspace.directory / "tools/our-crane").chmod(0o755)
    consumer.pull_new("file", more='bases.client(kind = "crane", program = "//tools:our-crane")\n')
    consumer.workspace.run("build", "//:app_amd64")
    commands = log.read_text()
    assert f"manifest {consumer.registry.host}/file@{consumer.base.digest}\n" in commands
    assert all(
        f"blob {consumer.registry.host}/file@sha256:{layer}\n" in commands for layer in consumer.base.layers["linux/amd64"]
    )
    consumer.pull("file", more='bases.client(program = "//tools:our-crane")\n')
    assert 'bases.client: kind: "": must be set; write which program //tools:our-crane is' in consumer.fail("//:config")


def test_only_the_user_can_read_the_environment_of_the_client(consumer):
    consumer.pull_new("environment")
    consumer.workspace.run("build", "//:config", "--repo_env=HTTPS_PROXY=http://user:secret@registry.example:1")
    base = pathlib.Path(consumer.workspace.run("info", "output_base").stdout.strip())
    (file,) = (base / "external").glob("*rules_setcap_registry_client/*/client.json")
    assert "user:secret" in file.read_text()
    assert file.parent.stat().st_mode & 0o777 == 0o700


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
        for client, directory in (("crane", tmp_path / "con fig"), ("skopeo", home / ".docker")):
            directory.mkdir()
            (directory / "config.json").write_text(json.dumps(config))
            consumer.pull(image=name, more=f'bases.client(kind = "{client}")\n')
            consumer.workspace.run("clean")
            flags = [f"--repo_env=DOCKER_CONFIG={directory}"] if client == "crane" else []
            consumer.workspace.run("build", "//:app_amd64", *flags)
            fetched = private.fetched_blobs("base")
            assert all(fetched.count(layer) == (1 if client == "crane" else 2) for layer in consumer.base.layers["linux/amd64"])

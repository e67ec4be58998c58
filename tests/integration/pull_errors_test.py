"""What bases.pull reports about its attributes, and about registries that do not send what they should."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from pulling import INDEX, Consumer, open_consumer

from support import archives, hostile_registry, oci_layout, require
from support import registry as registries


@pytest.fixture(scope="module")
def consumer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consumer]:
    with open_consumer(tmp_path_factory) as opened:
        yield opened


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
        ("https://registry.example/app", 'has the scheme "https"; write "registry.example/app"'),
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
    for name in ("sh", "head", "mkdir", "wc"):
        (tmp_path / name).symlink_to(require.tool(name))
    consumer.pull_new("no-client")
    stderr = consumer.fail("//:config", f"--repo_env=PATH={tmp_path}")
    what = "no client for registries on PATH; install crane or skopeo, or name one with bases.client in MODULE.bazel"
    assert f'@base: image: "{consumer.registry.host}/no-client": {what}\n' in stderr
    consumer.pull("no-client", more='bases.client(kind = "skopeo")\n')
    assert "no client for registries on PATH; install skopeo, or" in consumer.fail("//:config", f"--repo_env=PATH={tmp_path}")
    (tmp_path / "skopeo").symlink_to(require.tool("skopeo"))  # Bazel does not notice it.
    consumer.workspace.run("build", "//:config", f"--repo_env=PATH={tmp_path}")


def test_a_client_that_cannot_run_is_not_replaced(consumer):
    consumer.workspace.write("tools/BUILD.bazel", "")
    consumer.workspace.write("tools/not-executable", "")
    consumer.pull_new("client-that-cannot-run")
    for name in ("missing", "not-executable"):
        consumer.pull("client-that-cannot-run", more=f'bases.client(kind = "crane", program = "//tools:{name}")\n')
        stderr = consumer.fail("//:config")
        assert f'bases.client: program: "//tools:{name}": is not a file that can be executed\n' in stderr


@pytest.mark.parametrize("name", ["", "A=b"])
def test_an_invalid_name_of_a_variable_is_reported(consumer, name):
    consumer.pull(more=f'bases.client(env = ["{name}"])\n')
    assert f'bases.client: env: "{name}": not a valid name of a variable; ' in consumer.fail("//:config")


def test_downloads_that_are_disabled_are_not_taken_for_another_digest(consumer, tmp_path):
    flags = ["--repository_disable_download", f"--repository_cache={tmp_path}"]
    for digest in (consumer.base.digest, None):
        consumer.pull_new("disabled", digest=digest, tag="13")
        stderr = consumer.fail("//:config", "--output_groups=manifest", *flags)
        assert (
            "Bazel refuses to verify a document, because downloads are disabled; leave out --repository_disable_download"
            in stderr
        )
    consumer.pull("disabled", tag="13")
    consumer.workspace.run("build", "//:config", "--output_groups=manifest", f"--repository_cache={tmp_path}")
    consumer.pull("disabled")  # Another repository with the same documents, which are in the cache of repositories.
    consumer.workspace.run("build", "//:config", "--output_groups=manifest", *flags)


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


WRONG_PLACES = """\
load("@rules_setcap//rules:image.bzl", "image")

filegroup(name = "documents", srcs = ["@base"])
image(name = "as_layer", layers = ["@base"])
image(name = "of_documents", base = ":documents")
"""


def test_an_image_that_is_used_in_a_wrong_place_is_reported(consumer):
    consumer.workspace.write("wrong/BUILD.bazel", WRONG_PLACES)
    consumer.pull_new("wrong-place")
    assert "is an image, not a layer; use it as base\n" in consumer.fail("//wrong:as_layer")
    what = (
        'has the documents of an image without its layers; give the image itself, or a filegroup with output_group = "oci_layout"'
    )
    assert f'//wrong:of_documents: base: "//wrong:documents": {what}\n' in consumer.fail("//wrong:of_documents")


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
    "schema 1": (
        json.dumps({"schemaVersion": 1, "fsLayers": [], "signatures": []}).encode(),
        'is a Docker manifest of schema 1, which is not read; copy the image by "skopeo copy --format=oci", and pull the copy',
    ),
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


@pytest.mark.parametrize("evil", ['"\n)\nfail("injected")\n#\\', "v1\n--output=injected", "\x1b[31m", "é"])
def test_a_platform_is_no_code_and_no_flag(consumer, hostile, evil):
    """Platforms of documents are written into a BUILD file, and into the arguments of actions."""
    manifest = hostile.add_manifest()
    entry = {"mediaType": archives.MANIFEST, "digest": manifest, "size": len(hostile.registry.documents[manifest][0])}
    for platform in ({"os": "linux", "architecture": evil}, {"os": "linux", "architecture": "amd64", "variant": evil}):
        index = {"schemaVersion": 2, "manifests": [{**entry, "platform": platform}]}
        digest = hostile.registry.add_document(json.dumps(index).encode(), INDEX)
        consumer.pull(image=f"{hostile.registry.host}/hostile", digest=digest)
        stderr = consumer.fail("//:config", "--output_groups=manifest")
        assert f'{digest} has a platform that is not valid: "linux/' in stderr
        assert "\x1b" not in stderr and "--output" not in re.sub('not valid: ".*', "", stderr)
    config = archives.config(b"", architecture=evil)
    hostile.manifest["config"] = {"mediaType": archives.CONFIG, **hostile.registry.add_blob(json.dumps(config).encode())}
    consumer.pull(image=f"{hostile.registry.host}/hostile", digest=hostile.add_manifest())
    assert "has a platform that is not valid: " in consumer.fail("//:config", "--output_groups=manifest")


def test_messages_of_registries_cannot_control_the_terminal(consumer, hostile):
    hostile.registry.message = "\x1b]0;title\x07\nERROR: invented"
    consumer.pull(image=f"{hostile.registry.host}/hostile", digest="sha256:" + "0" * 64)
    stderr = consumer.fail("//:config")
    assert "crane has not fetched sha256:" in stderr and "?]0;title? / ERROR: invented" in stderr
    assert "\x1b" not in stderr and "\nERROR: invented" not in stderr


def test_an_index_can_have_one_manifest_for_two_platforms(consumer, hostile):
    digest = hostile.add_manifest()
    entry = {"mediaType": archives.MANIFEST, "digest": digest, "size": len(hostile.registry.documents[digest][0])}
    entries = [{**entry, "platform": {"os": "linux", "architecture": name}} for name in ("amd64", "riscv64")]
    index = hostile.registry.add_document(json.dumps({"schemaVersion": 2, "manifests": entries}).encode(), INDEX)
    consumer.pull(image=f"{hostile.registry.host}/hostile", digest=index)
    consumer.workspace.run("build", "//:app_amd64", "--output_groups=manifest")

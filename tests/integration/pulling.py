"""A workspace whose base is in a registry."""

from __future__ import annotations

import contextlib
import json
import pathlib
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from support import archives, oci_layout, require
from support import registry as registries
from support.bazel import Workspace

CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000").decode("latin-1")
INDEX = "application/vnd.oci.image.index.v1+json"
PLATFORMS = {"linux/amd64": "amd64", "linux/arm64": "arm64"}

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
        """Pushes the base to a repository that no test has used, pulls it from there, and returns its name.

        No layer that another test has fetched is left.
        """
        self.remove_fetched_layers()
        self.base.push(f"{self.registry.host}/{name}:13")
        self.pull(name, **options)
        return name

    def remove_fetched_layers(self) -> None:
        """Removes the layers that actions keep for each other; those that are outputs of actions stay."""
        for path in self.list_stores():
            shutil.rmtree(path)

    def list_stores(self) -> list[pathlib.Path]:
        """Returns the directories in which actions keep layers for each other."""
        configurations = self.workspace.output("").resolve().parent.parent
        return list(configurations.glob("*/bin/external/*/fetched"))

    def find_digest(self, name: str) -> str:
        """Builds an image or an index, and returns its digest."""
        self.workspace.run("build", f"//:{name}", "--output_groups=descriptor")
        return json.loads(self.workspace.output(f"{name}.descriptor.json").read_bytes())["digest"]

    def fail(self, *arguments: str) -> str:
        """Runs a build that fails, and returns what it prints."""
        done = self.workspace.run("build", *arguments, check=False)
        assert done.returncode == 1, done.stderr
        return done.stderr


@contextlib.contextmanager
def open_consumer(make_directory: pytest.TempPathFactory) -> Iterator[Consumer]:
    """Runs a registry during the block, and yields a workspace."""
    workspace = Workspace(make_directory.mktemp("pull"))
    workspace.write("BUILD.bazel", pathlib.Path("tests/integration/consumer/BUILD.pull").read_text())
    with registries.serve(make_directory.mktemp("registry")) as registry:
        yield Consumer(workspace, Base(make_directory.mktemp("base")), registry)
    workspace.stop()

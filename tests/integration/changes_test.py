"""A change of any attribute or file reaches every output, as if all actions had run again."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
import pathlib
import re
import tarfile
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from support.bazel import Workspace

BUILD = """\
load(":changes.bzl", "declare_targets")
load(":values.bzl", "VALUES")

declare_targets(VALUES)
"""
POD = """\
apiVersion: v1
kind: Pod
metadata: {name: app}
spec:
  containers:
  - name: app
    image: registry.example/app
    securityContext: {capabilities: {add: [ALL]}}
"""
# The beginning of a program; that of other files would be a mistake in file_capabilities.
ELF = "\x7fELF"
FILES = {
    "data.txt": "first\n",
    "ko.yaml": "builds:\n- linux_capabilities: [net_admin]\n",
    "names.txt": "one first\ncopy first\ndirectory/two second\n",
    "pairs.txt": "NAME=value\n",
    "pod.yaml": POD,
    "program.txt": ELF + "program\n",
    "tags.txt": "2\n",
    "repository.txt": "registry.example/other\n",
    "service.yaml": "apiVersion: v1\nkind: Service\nmetadata: {name: app}\n",
    "time.txt": "1\n",
    "tool.txt": ELF + "tool\n",
}
TARGETS = ["//changes:all", "//changes:load", "//changes:push"]
GROUPS = "--output_groups=+oci_layout,+archive,+destination,+helm_values,+kustomize_images,+runtime_settings,+metadata"
STAMPED = {"key": "{BUILD_USER}"}

# Attributes that have no effect on an output: they change what is checked.
CHECKS = {
    "image": {"disabled_checks"},
    "kubernetes_manifests": {"disabled_checks", "pod_security", "programs", "require_digests", "runtime"},
    "layer": {"disabled_checks"},
    "setcap": {"disabled_checks"},
}
# Attributes that change, by target. Those of one item change together; the first of each target are one change, and so on.
ATTRIBUTES: dict[str, list[dict[str, Any]]] = {
    "above": [
        {"base": ":index"},
        {"file_capabilities": {"/usr/bin/tool": "cap_setgid=ep"}},
        {"file_capabilities": {"/opt/tool": "cap_setuid=ep"}},
    ],
    "image": [
        {"annotate_capabilities": True},
        {"annotations": {"key": "other"}},
        {"annotations_file": None},
        {"binary": ":tool.txt"},
        {"binary_path": "/srv/program"},
        {"cmd": ["--flag"]},
        {"compression": "none"},
        {"compression": "zstd"},
        {"compression_level": 1},
        {"created": "1"},
        {"created_file": "time.txt"},
        {"entrypoint": ["/app/program", "--flag"]},
        {"env": {"OTHER": "value"}},
        {"env_file": None},
        {"exposed_ports": ["80/tcp"]},
        {"file_capabilities": {"/usr/bin/tool": "cap_chown=ep"}},
        {"hard_link_duplicates": True},
        {"labels": {"key": "value"}},
    ],
    "index": [
        {"annotations": {"key": "value"}},
        {"annotations": STAMPED, "stamp": True},
        {"annotations_file": "pairs.txt"},
        {"images": [":image", ":other"]},
        {"images": None, "image": ":image", "platforms": [":arm64"]},
    ],
    "layer": [
        {"compression": "none"},
        {"compression_level": 1},
        {"directories": {"/var/cache": "0700"}},
        {"file_capabilities": {"/usr/bin/tool": "cap_chown=ep"}},
        {"hard_link_duplicates": True},
        {"mode": "0555"},
        {"modes": {"/usr/bin/tool": "0500"}},
        {"mtime": "1"},
        {"owner": "5:6"},
        {"owners": {"/usr/bin/tool": "5:6"}},
        {"parent_directories": "none"},
        {"srcs": {"/branch": ":directory", "/usr/bin/tool": "tool.txt"}},
        {"srcs": {"/tree": ":directory", "/usr/bin/tool": "program.txt"}},
        {"symlinks": {"/usr/bin/link": "other"}},
        {"tar_style": "ko"},
        {"xattrs": {"/usr/bin/tool": ["user.name=value"]}},
    ],
    "load": [
        {"image": ":above"},
        {"tag": "app:2"},
        {"tag": "app:{BUILD_USER}", "stamp": True},
    ],
    "manifests": [
        {"helm_values": {"registry.example/app": ["server.image"]}},
        {"images": {"registry.example/app": ":above"}},
        {"srcs": ["pod.yaml", "service.yaml"]},
    ],
    "program": [
        {"data": ["data.txt"]},
        {"link": "other"},
        {"root_symlink": "other/data.txt"},
        {"src": "tool.txt"},
        {"symlink": "other/data.txt"},
    ],
    "push": [
        {"image": ":above"},
        {"remote_tags": ["3"]},
        {"remote_tags": ["{BUILD_USER}"], "stamp": True},
        {"remote_tags_file": None},
        {"repository": "registry.example/other"},
        {"repository": None, "repository_file": "repository.txt"},
    ],
    "second_image": [
        {"labels": STAMPED, "stamp": True},
        {"labels_file": None},
        {"layers": [":setcap", ":layer"]},
        {"linux_capabilities": ["cap_bpf=ep"]},
        {"linux_capabilities": None, "linux_capabilities_from": ":ko"},
        {"mode": "0555"},
        {"modes": {"/app/program": "0500"}},
        {"mtime": "1"},
        {"owner": "5:6"},
        {"owners": {"/app/program": "5:6"}},
        {"parent_directories": "none"},
        {"binary_path": "/usr/bin/link", "replaces": ["/usr/bin/link"]},
        {"stop_signal": "SIGINT"},
        {"tar_style": "ko"},
        {"user": "2"},
        {"volumes": ["/data"]},
        {"working_dir": "/srv"},
        {"xattrs": {"/app/program": ["user.name=value"]}},
        {"platform": "linux/arm64"},
    ],
    "setcap": [
        {"compression": "none"},
        {"compression_level": 1},
        {"drop_zero_rootid": True},
        {"existing_capabilities": "remove"},
        {"file_capabilities": {"/opt/tool": "cap_chown=ep"}},
        {"tar": "other.tar"},
    ],
}
CHANGES = [
    {target: values for target, values in zip(ATTRIBUTES, change, strict=True) if values}
    for change in itertools.zip_longest(*ATTRIBUTES.values())
]
# The outputs that each change of a target must change, if these are not the target's own.
EFFECTS = {"program": "image_binary"}
CAPABILITIES = "\x01\x00\x00\x03\x00\x20" + "\x00" * 18
# The new text of a file, and the name of the outputs that it must change.
FILE_CHANGES = [
    ("data.txt", "other\n", "image_binary"),
    ("ko.yaml", "builds:\n- linux_capabilities: [chown]\n", "ko"),
    ("names.txt", "one other\ndirectory/two second\n", "layer"),
    ("names.txt", "one first\n", "layer"),
    ("names.txt", "one first\ndirectory/two second\nthree third\n", "image_binary"),
    ("names.txt", "renamed first\ndirectory/two second\n", "image_binary"),
    ("pairs.txt", "NAME=other\n", "image"),
    ("pod.yaml", POD.replace("name: app}", "name: other}"), "manifests"),
    ("program.txt", ELF + "other\n", "image_binary"),
    ("tags.txt", "3\n", "push"),
    ("tool.txt", ELF + "other\n", "above"),
]


def _write_tar(path: pathlib.Path, text: bytes) -> None:
    """Writes a tar with a program that has capabilities with rootid 0."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in (("opt/tool", text), ("opt/with_capabilities", b"")):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o755
            if not data:
                entry.pax_headers["SCHILY.xattr.security.capability"] = CAPABILITIES
            tar.addfile(entry, io.BytesIO(data))


class Changes:
    """The package //changes."""

    def __init__(self, directory: pathlib.Path) -> None:
        """Writes the package into a new workspace."""
        self.workspace = Workspace(directory)
        self._platforms = 0
        self.write("BUILD.bazel", BUILD)
        self.write("changes.bzl", pathlib.Path("tests/integration/consumer/changes.bzl").read_text())
        for name, text in FILES.items():
            self.write(name, text)
        for name in ("tool", "other"):
            _write_tar(self.workspace.directory / f"changes/{name}.tar", (ELF + name).encode())
        self.assign({})

    def write(self, name: str, text: str) -> None:
        """Writes a file of the package."""
        self.workspace.write(f"changes/{name}", text)

    def assign(self, values: dict[str, dict[str, Any]]) -> None:
        """Changes attributes; all others have their first values."""
        self.write("values.bzl", f"VALUES = {values}\n")

    def build(self) -> dict[str, str]:
        """Builds the package as a user does, who has built it before.

        Returns:
          The digests of the outputs, by name.
        """
        return self._build()

    def build_anew(self) -> dict[str, str]:
        """Builds the package in a directory of outputs that is new, so that all its actions run."""
        self._platforms += 1
        return self._build(f"--platform_suffix=new{self._platforms}")

    def _build(self, *flags: str) -> dict[str, str]:
        self.workspace.run("build", GROUPS, *flags, *TARGETS)
        outputs = (self.workspace.directory / "bazel-bin").resolve()
        package = outputs / "changes"
        digests = {}
        for path in sorted(package.rglob("*")):
            name = str(path.relative_to(package))
            if ".runfiles" in name or path.suffix == ".params" or path.is_dir():
                continue
            if path.is_symlink() and not path.exists():
                digests[name] = f"link to {os.readlink(path)}"
                continue
            data = path.read_bytes().replace(outputs.parent.name.encode(), b"OUTPUTS")
            digests[name] = hashlib.sha256(data).hexdigest()
        return digests


@pytest.fixture(scope="module")
def changes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Changes]:
    made = Changes(tmp_path_factory.mktemp("changes"))
    yield made
    made.workspace.stop()


@pytest.fixture(scope="module")
def first(changes) -> dict[str, str]:
    """Returns the digests of the first values."""
    return changes.build()


def _compare(changes: Changes, first: dict[str, str], targets: Iterable[str]) -> None:
    """Compares a build after a change with one in which all actions run, and the outputs of targets with the first ones."""
    digests, expected = changes.build(), changes.build_anew()
    assert {name: digests.get(name) for name in expected} == expected
    unchanged = [target for target in targets if _select(expected, target) == _select(first, target)]
    assert not unchanged


def _select(digests: dict[str, str], target: str) -> dict[str, str]:
    """Returns the digests of the outputs of a target."""
    return {name: digest for name, digest in digests.items() if re.split("[./]", name)[0] == target}


@pytest.mark.parametrize(
    "values", CHANGES, ids=lambda values: "-".join(sorted({key for each in values.values() for key in each}))
)
def test_changed_attributes_reach_the_outputs(changes, first, values):
    changes.assign(values)
    try:
        _compare(changes, first, [EFFECTS.get(target, target) for target in values])
    finally:
        changes.assign({})


@pytest.mark.parametrize(("name", "text", "target"), FILE_CHANGES)
def test_changed_files_reach_the_outputs(changes, first, name, text, target):
    changes.write(name, text)
    try:
        _compare(changes, first, [target])
    finally:
        changes.write(name, FILES[name])


def test_the_first_values_give_the_first_outputs_again(changes, first):
    digests = changes.build()
    assert {name: digests.get(name) for name in first} == first


def test_every_attribute_is_changed(changes):
    """The rule of the target "directory" has one attribute besides those that all rules have."""
    lines = changes.workspace.run("query", "--output=streamed_jsonproto", "//changes:*").stdout.splitlines()
    rules = {rule["name"].partition(":")[2]: rule for line in lines if (rule := json.loads(line).get("rule"))}
    common = _list_attributes(rules["directory"])
    changed: dict[str, set[str]] = {}
    for target, items in ATTRIBUTES.items():
        changed.setdefault(rules[target]["ruleClass"], set()).update(*items)
    for rule in rules.values():
        kind = rule["ruleClass"]
        if "rules_setcap" in json.dumps(rule.get("instantiationStack", [])):
            assert _list_attributes(rule) - common - changed.get(kind, set()) - CHECKS.get(kind, set()) == set(), kind


def _list_attributes(rule: dict[str, Any]) -> set[str]:
    return {attribute["name"] for attribute in rule["attribute"] if attribute["name"][0].isalpha()}

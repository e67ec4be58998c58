"""A build reports all mistakes of a target at once, and expands values of the workspace status."""

from __future__ import annotations

import json
import pathlib
import tarfile
from typing import Any

import pytest

from support import bazel
from support import layout as layouts
from support.bazel import Workspace

NO_BINARY = "has no effect: the image has no binary; set binary, or set the attribute of a layer"
COPIED = "has no effect: the image has no binary; for files that are copied from the base, set modes, owners or xattrs"
NO_STAMP = "has no effect: there is no placeholder such as {STABLE_GIT_COMMIT} in"
EVERYTHING = [
    'user: "4294967296": uid 4294967296 is out of range (0 to 2147483647, which is what container engines take)',
    'stop_signal: "SIGTRM": not a known signal; did you mean "SIGTERM"?',
    'volumes: "/data/../etc": must not have "//", "/./" or "/../"; write the path without them',
    'exposed_ports: "http": not a valid port; write it as "80", "80/tcp" or "53/udp"',
    'labels: "": the name must not be empty',
    'labels: "revision={STABLE_GIT_COMMIT}": has the placeholder {STABLE_GIT_COMMIT}; '
    "set stamp = True, or write {{STABLE_GIT_COMMIT}} for the text {STABLE_GIT_COMMIT}",
    "%s",
    'compression_level: 5: has no effect: compression is "none"; leave it out',
    'owner: "0:4294967295": gid 4294967295 is out of range (0 to 4294967294)',
    'mode: "rwx": not a valid mode; write it in octal, as "0755"',
    'mtime: "yesterday": not a valid time; write it as "1970-01-01T00:00:00Z", or in seconds since 1970',
    'modes: "/nowhere": no entry of this layer has this path',
    'file_capabilities: "cap_net_rwa": unknown capability; did you mean "cap_net_raw"?',
    'linux_capabilities: "net_bind_servce": unknown capability; did you mean "net_bind_service"?',
]
# The lines that Bazel prints about a target: every problem, and none that follows from another one.
MESSAGES = {
    "everything_over_base": [
        line.replace(
            "%s",
            'base: "//bad:base": is for linux/arm64, and the image for linux/amd64; '
            "build for the base's platform, or choose another base",
        )
        for line in EVERYTHING
    ],
    "everything_over_base_layout": [
        line.replace("%s", 'base: "//bad:base_layout": has no image for linux/amd64; it has linux/arm64') for line in EVERYTHING
    ],
    "of_two_layers": [
        'linux_capabilities: "bpff": unknown capability; did you mean "bpf"?',
        'file_capabilities: "/usr/bin/tol": neither the binary\'s layer nor the layers below have this path; did you mean "/usr/bin/tool"?',
    ],
    "unknown_platform": [
        f'parent_directories: "missing": {COPIED}',
        'platform: "linux/x86_64": "x86_64" is not a known architecture; did you mean "linux/amd64"?',
    ],
    "without_binary": [
        f'binary_path: "relative": {NO_BINARY}',
        f'compression: "none": {NO_BINARY}',
        f"compression_level: 99: {NO_BINARY}",
        f'file_capabilities: {{"x":"y"}}: {NO_BINARY}',
        f"hard_link_duplicates: true: {NO_BINARY}",
        f'linux_capabilities: ["nothing"]: {NO_BINARY}',
        f'linux_capabilities_from: "//bad:capabilities.json": {NO_BINARY}',
        f'mode: "rwx": {NO_BINARY}',
        f'modes: {{"relative":"xyz"}}: {NO_BINARY}',
        f'mtime: "1": {NO_BINARY}',
        f'owner: "rubbish": {NO_BINARY}',
        f'owners: {{"relative":"xyz"}}: {NO_BINARY}',
        f'parent_directories: "none": {NO_BINARY}',
        f'tar_style: "ko": {NO_BINARY}',
        f'xattrs: {{"relative":["xyz"]}}: {NO_BINARY}',
    ],
    "copied": [
        f'binary_path: "/usr/bin/tool": {COPIED}',
        f"hard_link_duplicates: true: {COPIED}",
        f'mode: "0555": {COPIED}',
        f'owner: "5:6": {COPIED}',
        f'parent_directories: "none": {COPIED}',
        f'tar_style: "ko": {COPIED}',
        'modes: "/usr/bin/other": file_capabilities does not name this file; only files that it names are copied from the base',
    ],
    "unstamped": [
        'annotations: "a={A}": has the placeholder {A}; set stamp = True, or write {{A}} for the text {A}',
        'env: "B={B}": has the placeholder {B}; set stamp = True, or write {{B}} for the text {B}',
        'labels: "c={C}": has the placeholder {C}; set stamp = True, or write {{C}} for the text {C}',
        'created: "{BUILD_TIMESTAMP}": has the placeholder {BUILD_TIMESTAMP}; set stamp = True',
        'mtime: "{BUILD_TIMESTAMP}": has the placeholder {BUILD_TIMESTAMP}; set stamp = True',
    ],
    **{
        f"stamp_without_effect_{name}": [
            f"stamp: true: {NO_STAMP} annotations, created, env, labels or mtime; write one, or leave stamp out"
        ]
        for name in ("escaped", "plain")
    },
    "layer_stamp_without_effect": [
        'stamp: true: has no effect: there is no placeholder in mtime; write mtime = "{BUILD_TIMESTAMP}", or leave stamp out'
    ],
    "index_stamp_without_effect": [f"stamp: true: {NO_STAMP} annotations; write one, or leave stamp out"],
    "index_unstamped": [
        'annotations: "a={A}": has the placeholder {A}; set stamp = True, or write {{A}} for the text {A}',
        'annotations_file: "//bad:wrong.txt": line 1, "no value": must be NAME=VALUE',
        'annotations_file: "//bad:wrong.txt": line 2, "=x": the name must not be empty',
    ],
    "load_stamp_without_effect": [f"stamp: true: {NO_STAMP} tag; write one, or leave stamp out"],
    "push_files": [
        f'remote_tags_file: "//bad:wrong.txt": line {number}, "{line}": "{line}" is not a valid tag: it must have '
        'up to 128 letters, digits, "_", "." and "-", and must not begin with "." or "-"'
        for number, line in ((1, "no value"), (2, "=x"))
    ],
    "wrong_files": [
        'labels_file: "//bad:wrong.txt": line 1, "no value": must be NAME=VALUE',
        'labels_file: "//bad:wrong.txt": line 2, "=x": the name must not be empty',
        'created: "0": is given beside created_file; keep one',
    ],
    "layer_mistakes": [
        "compression_level: 20: is out of range (1 to 12 for gzip)",
        'owner: "4294967295:0": uid 4294967295 is out of range (0 to 4294967294)',
        'mode: "1000755": not a valid mode; write it in octal, as "0755"',
        'mtime: "253402300800": is out of range (-62135596800 to 253402300799 seconds since 1970)',
    ],
    "path_of_a_directory": ['binary_path: "/usr/bin/": must be the path of a file; write "/usr/bin/program"'],
    "relative": ['binary_path: "bin/program": must be absolute; write "/bin/program"'],
    "relative_srcs": ['srcs: "bin/program": must be absolute; write "/bin/program"'],
    "layer_without_srcs": [
        "hard_link_duplicates: true: has no effect: the layer has no srcs",
        'mode: "0644": has no effect: the layer has no srcs',
    ],
    "broken_tar": [
        "compression_level: -1: is out of range (1 to 19 for zstd)",
        'tar: "//bad:hello.c": ',
    ],
    "broken_base": ['base: "//bad:hello.c": '],
    "no_platform_of_the_base": ['base: "//bad:base_layout": has no image for linux/s390x; it has linux/arm64'],
}
DIRECTORIES = """\
load("@rules_setcap//rules:image.bzl", "image")
load("@rules_setcap//rules:layer.bzl", "layer")
load(":tree.bzl", "program")

program(name = "program")

image(
    name = "image",
    binary = ":program",
    compression = "none",
    mtime = {mtime},
)

layer(
    name = "layer",
    srcs = {{"/tree": ":program"}},
    compression = "none",
    mtime = {mtime},
)
"""
STATUS = "#!/bin/sh\necho STABLE_GIT_COMMIT {commit}\necho STABLE_TIME 1600000000\necho DIRTY {dirty}\n"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    made = Workspace(tmp_path_factory.mktemp("attributes"))
    made.write("bad/BUILD.bazel", pathlib.Path("tests/integration/consumer/BUILD.attributes").read_text())
    made.write("bad/hello.c", "int main(void) { return 0; }\n")
    made.write("bad/wrong.txt", "no value\n=x\n")
    made.write("bad/capabilities.json", "{}")
    made.write("status.sh", "")
    (made.directory / "status.sh").chmod(0o755)
    return made


@pytest.mark.parametrize("target", MESSAGES)
def test_all_mistakes_are_reported(workspace, target):
    _check_messages(workspace, target)


def test_all_mistakes_are_reported_without_a_worker(workspace):
    _check_messages(workspace, "everything_over_base_layout", "--spawn_strategy=sandboxed")


def _check_messages(workspace: Workspace, target: str, *flags: str) -> None:
    """Checks that a build prints the messages of a target, a line each, and writes no output."""
    done = workspace.run("build", *flags, f"//bad:{target}", check=False)
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line.startswith("//bad:")]
    assert len(lines) == len(MESSAGES[target]), done.stderr
    for line, expected in zip(lines, MESSAGES[target], strict=True):
        assert line.startswith(f"//bad:{target}: {expected}")
        assert line == f"//bad:{target}: {expected}" or expected.endswith(" ")
    program = target.startswith(("load", "push"))
    layout = [] if program else ["", ".tar", ".tar.gz"]
    for name in (*layout, "_binary.tar.gz", "_binary.layer.json", ".manifest.json", ".destination.json", ".index.json"):
        assert not workspace.output(f"bad/{target}{name}").exists()


def _read_mtimes(blob: pathlib.Path) -> set[int]:
    with tarfile.open(blob) as archive:
        return {int(entry.mtime) for entry in archive}


def test_valid_values_are_accepted(workspace):
    workspace.run("build", "//bad:after_2038", "//bad:copied_right")
    assert _read_mtimes(workspace.output("bad/after_2038.tar")) == {4102444800}
    with tarfile.open(workspace.output("bad/copied_right_copied.tar")) as archive:
        (tool,) = (entry for entry in archive if entry.isfile())
    assert (tool.name, tool.mode, tool.uid, tool.gid, tool.mtime) == ("usr/bin/tool", 0o555, 5, 6, 4102444800)
    assert tool.pax_headers["SCHILY.xattr.user.comment"] == "x"


def test_changed_attributes_apply_to_layers_that_have_directories_of_actions(workspace):
    workspace.write("directories/tree.bzl", pathlib.Path("tests/integration/consumer/tree.bzl").read_text())
    for mtime in (0, 1):
        workspace.write("directories/BUILD.bazel", DIRECTORIES.format(mtime=mtime))
        workspace.run("build", "--norun_validations", "//directories:all")
        for name, file in (("layer", "tree/one"), ("image_binary", "app/program.runfiles/_main/directories/program_tree/one")):
            blob = workspace.output(f"directories/{name}.tar")
            with tarfile.open(blob) as archive:
                assert file in archive.getnames()
            assert _read_mtimes(blob) == {mtime}
    assert '--mtime="1"' in workspace.run("aquery", "--include_param_files", "//directories:all").stdout


def _build_stamped(workspace: Workspace, tmp_path: pathlib.Path, **status: str) -> tuple[set[str], dict[str, Any]]:
    """Builds //bad:stamped_index; returns the mnemonics of the actions that ran, and the values in the image."""
    workspace.write("status.sh", STATUS.format(**status))
    log = tmp_path / "log.json"
    flags = ["--workspace_status_command=./status.sh", f"--execution_log_json_file={log}", bazel.LAYOUTS]
    workspace.run("build", *flags, "//bad:stamped", "//bad:stamped_index")
    config = layouts.config(workspace.output("bad/stamped"))
    index = json.loads(workspace.output("bad/stamped_index.index.json").read_bytes())
    annotations = layouts.manifest(workspace.output("bad/stamped"))["annotations"]
    return {spawn["mnemonic"] for spawn in bazel.read_actions(log)}, {
        "config": config,
        "index": index,
        "annotations": annotations,
    }


def test_placeholders_are_expanded(workspace, tmp_path):
    _, image = _build_stamped(workspace, tmp_path, commit="3f2c9d1", dirty="0")
    config = image["config"]
    assert config["created"] == "2020-09-13T12:26:40Z"
    assert config["config"]["Labels"] == {
        "org.opencontainers.image.revision": "3f2c9d1",
        "org.opencontainers.image.source": "https://example.test/3f2c9d1",
    }
    assert config["config"]["Env"] == ["COMMIT=3f2c9d1", 'JSON={"a":{}}']
    assert image["annotations"]["org.opencontainers.image.created"].endswith("Z")
    assert image["index"]["annotations"] == {"org.opencontainers.image.revision": "3f2c9d1"}
    assert _read_mtimes(workspace.output("bad/stamped_layer.tar")) == {1600000000}

    # A change of a volatile key runs no action, and a new commit packs no layer.
    ran, again = _build_stamped(workspace, tmp_path, commit="3f2c9d1", dirty="1")
    assert (ran, again) == (set(), image)
    ran, later = _build_stamped(workspace, tmp_path, commit="77aa001", dirty="1")
    assert later["config"]["config"]["Labels"]["org.opencontainers.image.revision"] == "77aa001"
    assert later["config"]["rootfs"] == config["rootfs"]
    assert "SetcapAttributes" in ran and "SetcapImage" in ran

"""Files of a base in a registry are found from the highest layer down; the registry counts which layers it serves."""

from __future__ import annotations

import contextlib
import json
import pathlib
import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from pulling import CAPABILITY, Base, Consumer

from support import archives, oci_layout
from support import registry as registries
from support.bazel import Workspace
from support.oci_layout import Member, directory, symlink

RECORDS = {"SCHILY.xattr.security.capability": CAPABILITY}


def _program(name: str, **values: object) -> Member:
    return Member(name, content=b"\x7fELF" + name.encode() * 50, **values)


# The lowest first, as a Dockerfile makes them: a layer has the directories in which it has changed something.
USR = [directory("usr/"), directory("usr/bin/", 0o711)]
LAYERS = [
    [
        *USR,
        symlink("bin", "usr/bin"),
        _program("usr/bin/bottom", records=RECORDS, owner=(7, 8)),
        _program("usr/bin/hidden", records=RECORDS),
        _program("usr/bin/linked", records=RECORDS),
    ],
    [*USR, Member("usr/bin/other", content=b"\x7fELFother")],
    [
        *USR,
        _program("usr/bin/middle", mode=0o750, records={**RECORDS, "SCHILY.xattr.user.note": "kept"}),
        _program("usr/bin/bottom2"),
        Member("usr/bin/again", b"1", link="usr/bin/bottom2"),
        directory("opt/", 0o700, 3, 4),
        symlink("opt/tools", "/usr/bin"),
    ],
    [*USR, Member("usr/bin/.wh.hidden", mode=0o644), _program("srv/without-directory")],
    [*USR, _program("usr/bin/top", records=RECORDS)],
]
LINK = [*USR, Member("usr/bin/across", b"1", link="usr/bin/linked")]

TARGET = """
image(
    name = "{name}",
    base = "{base}",
    disabled_checks = ["architecture", "format"],
    file_capabilities = {capabilities},
    platform = "linux/amd64",
    {more}
)
"""


class LayeredBase(Base):
    """An image of several layers, for one platform."""

    def __init__(self, path: pathlib.Path, layers: list[list[Member]]) -> None:
        self.layout = archives.Layout(path)
        blobs = [oci_layout.layer(members) for members in layers]
        config = archives.config(*blobs, architecture="amd64")
        entry = self.layout.manifest(config, [(blob, archives.LAYER) for blob in blobs])
        self.layout.index(entry)
        self.digest = entry["digest"]
        self.manifests = {"linux/amd64": entry["digest"]}
        self.layers = {"linux/amd64": [archives.digest(blob).removeprefix("sha256:") for blob in blobs]}


class Pulled(NamedTuple):
    """Two workspaces in one: the base as a reference to a registry, and as a directory in the source tree."""

    consumer: Consumer
    layers: list[str]

    def build(self, capabilities: dict[str, str], *targets: str, more: str = "") -> list[int]:
        """Builds an image from an empty output tree; returns the numbers of the layers that the registry has served for it."""
        self.write(capabilities, more=more)
        self.consumer.workspace.run("clean")
        before = len(self.list_served())
        self.consumer.workspace.run("build", *(targets or ["//searched:image"]))
        return sorted(self.list_served()[before:])

    def fail(self, capabilities: dict[str, str]) -> tuple[list[int], list[str]]:
        """Builds an image that has a problem; returns the layers as build() does, and the messages of the image."""
        self.write(capabilities)
        self.consumer.workspace.run("clean")
        before = len(self.list_served())
        messages = re.findall("^//searched:image: .*$", self.consumer.fail("//searched:image"), re.MULTILINE)
        return sorted(self.list_served()[before:]), messages

    def write(self, capabilities: dict[str, str], more: str = "") -> None:
        """Writes an image over the base in the registry, and the same image over the whole layout."""
        texts = ['load("@rules_setcap//rules:image.bzl", "image")\n']
        for name, base in (("image", "@base"), ("whole", "//layout")):
            texts.append(TARGET.format(name=name, base=base, capabilities=json.dumps(capabilities), more=more))
        self.consumer.workspace.write("searched/BUILD.bazel", "".join(texts))

    def list_served(self) -> list[int]:
        """Returns the numbers of the layers that the registry has served so far."""
        served = self.consumer.registry.fetched_blobs("layered")
        return [self.layers.index(digest) for digest in served if digest in self.layers]

    def check_digest(self) -> None:
        """Checks that the image has the digest of one over the base as a whole layout."""
        workspace = self.consumer.workspace
        descriptor = json.loads(workspace.output("searched/image.descriptor.json").read_bytes())
        workspace.run("build", "//searched:whole")
        assert descriptor == json.loads(workspace.output("searched/whole.descriptor.json").read_bytes())


def _open(make_directory: pytest.TempPathFactory, layers: list[list[Member]]) -> Iterator[Pulled]:
    workspace = Workspace(make_directory.mktemp("search"))
    workspace.write("BUILD.bazel", "")
    workspace.write(
        "layout/BUILD.bazel", 'filegroup(name = "layout", srcs = glob(["base/**"]), visibility = ["//visibility:public"])'
    )
    base = LayeredBase(workspace.directory / "layout/base", layers)
    with registries.serve(make_directory.mktemp("registry")) as registry:
        consumer = Consumer(workspace, base, registry)
        consumer.pull_new("layered")
        yield Pulled(consumer, base.layers["linux/amd64"])
    workspace.stop()


@pytest.fixture(scope="module")
def pulled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pulled]:
    yield from _open(tmp_path_factory, LAYERS)


@pytest.mark.parametrize(
    ("paths", "served"),
    [
        (["/usr/bin/top"], [4]),
        (["/usr/bin/middle"], [2, 3, 4]),
        (["/usr/bin/again"], [2, 3, 4]),
        (["/opt/tools/middle"], [2, 3, 4]),
        (["/bin/top"], [0, 1, 2, 3, 4]),
        (["/usr/bin/bottom"], [0, 1, 2, 3, 4]),
        (["/srv/without-directory"], [0, 1, 2, 3, 4]),
        (["/usr/bin/top", "/usr/bin/middle"], [2, 3, 4]),
    ],
    ids=["top", "middle", "hard link", "link", "link below", "bottom", "implied directory", "two"],
)
def test_only_the_layers_that_decide_are_fetched(pulled, paths, served):
    assert pulled.build(dict.fromkeys(paths, "cap_net_raw=ep")) == served
    pulled.check_digest()


def test_capabilities_are_removed_without_the_layers_below(pulled):
    assert pulled.build({"/usr/bin/top": ""}) == [4]
    pulled.check_digest()


def test_a_file_that_a_whiteout_hides_is_not_found_and_no_layer_below_is_fetched(pulled):
    served, messages = pulled.fail({"/usr/bin/hidden": "cap_net_raw=ep"})
    assert served == [3, 4]
    what = "neither the binary's layer nor the layers below have this path"
    assert messages == [f'//searched:image: file_capabilities: "/usr/bin/hidden": {what}']


def test_a_missing_file_is_one_error_with_the_path_that_is_similar(pulled):
    served, messages = pulled.fail({"/usr/bin/botom": "cap_net_raw=ep", "/usr/bin/top": "cap_kill=ep"})
    assert served == [0, 1, 2, 3, 4]
    what = 'neither the binary\'s layer nor the layers below have this path; did you mean "/usr/bin/bottom"?'
    assert messages == [f'//searched:image: file_capabilities: "/usr/bin/botom": {what}']


def test_files_that_cannot_have_capabilities_have_the_messages_of_a_whole_layout(pulled):
    wrong = dict.fromkeys(("/opt/tools", "/opt", "relative", "/usr/bin/top/below"), "cap_net_raw=ep")
    _, messages = pulled.fail({**wrong, "/usr/bin/top": "cap_unknown=p"})
    done = pulled.consumer.workspace.run("build", "//searched:whole", check=False)
    whole = re.findall("^//searched:whole: .*$", done.stderr, re.MULTILINE)
    assert len(messages) == 5 and [text.replace(":image:", ":whole:") for text in messages] == whole


def test_actions_that_search_and_actions_that_fetch_a_layer_share_it(pulled):
    more = ')\nimage(name = "entrypoint", base = "@base", platform = "linux/amd64", entrypoint = ["/usr/bin/other"]'
    targets = ["//searched:image", "//searched:entrypoint"]
    assert pulled.build({"/usr/bin/middle": "cap_net_raw=ep"}, *targets, more=more) == [0, 1, 2, 3, 4]
    before = pulled.list_served()
    pulled.write({"/usr/bin/bottom": "cap_net_raw=ep"})
    pulled.consumer.workspace.run("build", "//searched:image")
    assert pulled.list_served() == before


def test_whatever_needs_all_files_of_the_base_gets_them(pulled):
    capabilities = {"/usr/bin/top": "cap_net_raw=ep"}
    assert pulled.build(capabilities, more="annotate_capabilities = True,") == [0, 1, 2, 3, 4]
    pulled.check_digest()
    assert pulled.build(capabilities, "//searched:image", "--output_groups=runtime_settings") == [0, 1, 2, 3, 4]
    assert pulled.build(capabilities, more='entrypoint = ["/usr/bin/other"],') == [0, 1, 2, 3, 4]
    assert pulled.build(capabilities, more='entrypoint = ["/usr/bin/top"], user = "65532",') == [4]
    pulled.check_digest()


def test_a_flag_turns_the_search_off(pulled):
    flag = "--@rules_setcap//rules:search_layers=false"
    assert pulled.build({"/usr/bin/top": "cap_net_raw=ep"}, "//searched:image", flag) == [0, 1, 2, 3, 4]
    pulled.check_digest()


def test_a_second_machine_with_the_cache_fetches_nothing(pulled, tmp_path):
    cache = f"--disk_cache={tmp_path}"
    assert pulled.build({"/usr/bin/middle": "cap_kill=ep"}, "//searched:image", cache) == [2, 3, 4]
    assert pulled.build({"/usr/bin/middle": "cap_kill=ep"}, "//searched:image", cache) == []


def test_a_damaged_layer_in_the_output_tree_is_fetched_again(pulled):
    assert pulled.build({"/usr/bin/top": "cap_net_raw=ep"}) == [4]
    (stored,) = pulled.consumer.workspace.output("").rglob(f"fetched/{pulled.layers[4]}")
    size = stored.stat().st_size
    stored.chmod(0o644)
    stored.write_bytes(bytes(size))
    before = len(pulled.list_served())
    pulled.write({"/usr/bin/top": "cap_kill=ep", "/usr/bin/middle": "cap_kill=ep"})
    pulled.consumer.workspace.run("build", "//searched:image")
    assert sorted(pulled.list_served()[before:]) == [2, 3, 4]
    pulled.check_digest()


def test_a_hard_link_to_a_file_of_a_lower_layer_needs_all_layers(tmp_path_factory):
    with contextlib.contextmanager(_open)(tmp_path_factory, [*LAYERS[:1], LINK, *LAYERS[1:]]) as pulled:
        assert pulled.build({"/usr/bin/top": "cap_net_raw=ep"}) == [5]
        pulled.check_digest()
        assert pulled.build({"/usr/bin/across": "cap_net_raw=ep"}) == [0, 1, 2, 3, 4, 5]
        pulled.check_digest()

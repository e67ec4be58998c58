"""Files of a base in a registry are found from the highest layer down; the registry counts which layers it serves."""

from __future__ import annotations

import contextlib
import json
import pathlib
import re
import shutil
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

MISSING = "neither the binary's layer nor the layers below have this path"

TARGET = """
image(
    name = "{name}",
    base = "{base}",
    disabled_checks = ["architecture", "format"],
    file_capabilities = {capabilities},
    platform = "linux/amd64",
    {more})
"""


class LayeredBase(Base):
    """An image of several layers, for one platform. If it is not valid, its config has the diff_ids in the wrong order."""

    def __init__(self, path: pathlib.Path, layers: list[list[Member]], *, is_valid: bool = True) -> None:
        self.layout = archives.Layout(path)
        blobs = [oci_layout.layer(members) for members in layers]
        config = archives.config(*(blobs if is_valid else blobs[::-1]), architecture="amd64")
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
        """Builds an image, and checks that it has the digest of one over the base as a whole layout.

        Args:
          capabilities: the attribute file_capabilities.
          *targets: further targets, and flags.
          more: further attributes of the image.

        Returns:
          The numbers of the layers that the registry has served.
        """
        self.write(capabilities, more)
        self.remove_outputs()
        before = len(self.list_served())
        self.consumer.workspace.run("build", "//searched:image", "//searched:whole", *targets)
        image, whole = (self._read_descriptor(name) for name in ("image", "whole"))
        assert image == whole
        return sorted(self.list_served()[before:])

    def fail(self, capabilities: dict[str, str]) -> tuple[list[int], list[str], list[str]]:
        """Builds an image that has a problem.

        Returns:
          The layers as build() does, the messages, and those of an image over the base as a whole layout.
        """
        self.write(capabilities)
        self.remove_outputs()
        before = len(self.list_served())
        stderr = self.consumer.fail("//searched:image", "//searched:whole", "--keep_going")
        messages, whole = (re.findall(f"^//searched:{name}: (.*)$", stderr, re.MULTILINE) for name in ("image", "whole"))
        return sorted(self.list_served()[before:]), messages, whole

    def remove_outputs(self) -> None:
        """Removes the outputs of images, and the layers that actions keep for each other."""
        shutil.rmtree(self.consumer.workspace.output("searched"), ignore_errors=True)
        self.consumer.remove_fetched_layers()

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

    def _read_descriptor(self, name: str) -> dict[str, object]:
        return json.loads(self.consumer.workspace.output(f"searched/{name}.descriptor.json").read_bytes())


def _open(make_directory: pytest.TempPathFactory, layers: list[list[Member]], *, is_valid: bool = True) -> Iterator[Pulled]:
    workspace = Workspace(make_directory.mktemp("search"))
    workspace.write("BUILD.bazel", "")
    workspace.write(
        "layout/BUILD.bazel", 'filegroup(name = "layout", srcs = glob(["base/**"]), visibility = ["//visibility:public"])'
    )
    base = LayeredBase(workspace.directory / "layout/base", layers, is_valid=is_valid)
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


def test_capabilities_are_removed_without_the_layers_below(pulled):
    assert pulled.build({"/usr/bin/top": ""}) == [4]


def test_a_file_that_a_whiteout_hides_is_not_found_and_no_layer_below_is_fetched(pulled):
    served, messages, whole = pulled.fail({"/usr/bin/hidden": "cap_net_raw=ep"})
    assert served == [3, 4]
    assert [text.partition(";")[0] for text in whole] == messages  # It also has another name, of a layer below.
    assert messages == [f'file_capabilities: "/usr/bin/hidden": {MISSING}']


def test_a_missing_file_is_one_error_with_the_path_that_is_similar(pulled):
    served, messages, whole = pulled.fail({"/usr/bin/botom": "cap_net_raw=ep", "/usr/bin/top": "cap_kill=ep"})
    assert served == [0, 1, 2, 3, 4]
    assert messages == whole == [f'file_capabilities: "/usr/bin/botom": {MISSING}; did you mean "/usr/bin/bottom"?']


def test_files_that_cannot_have_capabilities_have_the_messages_of_a_whole_layout(pulled):
    wrong = dict.fromkeys(["/opt/tools", "/opt", "relative", "/usr/bin/top/below"], "cap_net_raw=ep")
    _, messages, whole = pulled.fail({**wrong, "/usr/bin/top": "cap_unknown=p"})
    assert messages == whole and len(messages) == 5


def test_actions_that_search_and_actions_that_fetch_a_layer_share_it(pulled):
    pulled.consumer.workspace.write(
        "entrypoint/BUILD.bazel",
        'load("@rules_setcap//rules:image.bzl", "image")\n'
        'image(name = "entrypoint", base = "@base", entrypoint = ["/usr/bin/other"], platform = "linux/amd64")\n',
    )
    pulled.consumer.workspace.run("clean")
    assert pulled.build({"/usr/bin/middle": "cap_net_raw=ep"}, "//entrypoint") == [0, 1, 2, 3, 4]
    before = pulled.list_served()
    pulled.write({"/usr/bin/bottom": "cap_net_raw=ep"})
    pulled.consumer.workspace.run("build", "//searched:image")
    assert pulled.list_served() == before


@pytest.mark.parametrize(
    ("more", "flags", "served"),
    [
        ("annotate_capabilities = True", [], [0, 1, 2, 3, 4]),
        ("", ["--output_groups=+runtime_settings"], [0, 1, 2, 3, 4]),
        ('entrypoint = ["/usr/bin/other"]', [], [0, 1, 2, 3, 4]),
        ('entrypoint = ["/usr/bin/other"]', ["--norun_validations"], [4]),
        ('entrypoint = ["/usr/bin/top"], user = "65532"', [], [4]),
        ("", ["--@rules_setcap//rules:search_layers=false"], [0, 1, 2, 3, 4]),
    ],
    ids=["annotation", "settings", "entrypoint", "unchecked", "found entrypoint", "flag"],
)
def test_whatever_reads_all_files_of_the_base_gets_all_layers(pulled, more, flags, served):
    pulled.consumer.workspace.run("clean")
    assert pulled.build({"/usr/bin/top": "cap_net_raw=ep"}, *flags, more=more) == served


def test_a_second_machine_with_the_cache_fetches_nothing(pulled, tmp_path):
    cache = f"--disk_cache={tmp_path}"
    assert pulled.build({"/usr/bin/middle": "cap_kill=ep"}, cache) == [2, 3, 4]
    pulled.consumer.workspace.run("clean")
    assert pulled.build({"/usr/bin/middle": "cap_kill=ep"}, cache) == []


def test_a_damaged_layer_in_the_output_tree_is_fetched_again(pulled):
    assert pulled.build({"/usr/bin/top": "cap_net_raw=ep"}) == [4]
    (stored,) = [path / pulled.layers[4] for path in pulled.consumer.list_stores()]
    size = stored.stat().st_size
    stored.unlink()
    stored.write_bytes(bytes(size))
    before = len(pulled.list_served())
    pulled.write({"/usr/bin/top": "cap_kill=ep", "/usr/bin/middle": "cap_kill=ep"})
    pulled.consumer.workspace.run("build", "//searched:image")
    assert sorted(pulled.list_served()[before:]) == [2, 3, 4]


def test_a_hard_link_to_a_file_of_a_lower_layer_needs_all_layers(tmp_path_factory):
    """Engines differ about such a link. The checks know that only if all layers have been read, so they are turned off."""
    with contextlib.contextmanager(_open)(tmp_path_factory, [LAYERS[0], LINK, *LAYERS[1:]]) as pulled:
        assert pulled.build({"/usr/bin/top": "cap_net_raw=ep"}, "--norun_validations") == [5]
        assert pulled.build({"/usr/bin/across": "cap_net_raw=ep"}, "--norun_validations") == [0, 1, 2, 3, 4, 5]
        pulled.write({"/usr/bin/across": "cap_net_raw=ep"})
        what = 'base: "/usr/bin/linked": container engines give this file different capabilities'
        assert what in pulled.consumer.fail("//searched:image")


def test_a_layer_that_is_not_valid_is_a_problem_of_the_image(tmp_path_factory):
    with contextlib.contextmanager(_open)(tmp_path_factory, LAYERS, is_valid=False) as pulled:
        served, messages, whole = pulled.fail({"/usr/bin/top": "cap_net_raw=ep"})
        assert served == [4]
        what = f"layer sha256:{pulled.layers[4]}: its diff_id in the image's config is"
        assert len(messages) == len(whole) == 2  # Of the action that copies the file, and of the checks.
        assert all(re.match(f'base: "@@[^"]*": {what} ', message) for message in messages), messages

"""Actions that compress with many threads reserve as many cores."""

from __future__ import annotations

import itertools
import json
import pathlib

import pytest

from support.bazel import Workspace

BUILD = """\
load("@rules_setcap//rules:image.bzl", "image")
load("@rules_setcap//rules:layer.bzl", "layer")
load("@rules_setcap//rules:setcap.bzl", "setcap")

genrule(name = "program", outs = ["program.elf"], cmd = "(printf '\\\\177ELF'; seq 2000000) > $@")
genrule(name = "tar", srcs = ["program"], outs = ["program.tar"], cmd = "tar --mode=0755 -hcf $@ -C $$(dirname $<) program.elf")

layer(name = "base_layer", compression = "none", srcs = {"/usr/bin/program": "program"})
image(name = "base", layers = [":base_layer"], disabled_checks = ["format"])

[layer(name = "layer%d" % n, srcs = {"/file": "program"}, mtime = str(n)) for n in range(3)]
[setcap(name = "setcap%d" % n, tar = "tar", file_capabilities = {"/program.elf": "%d=p" % n}, disabled_checks = ["format"]) for n in range(3)]
[image(name = "copy%d" % n, base = ":base", file_capabilities = {"/usr/bin/program": "%d=p" % n}, disabled_checks = ["format"]) for n in range(3)]
"""

TARGETS = [f"//many:{name}{number}" for name in ("layer", "setcap", "copy") for number in range(3)]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    made = Workspace(tmp_path_factory.mktemp("workspace"))
    made.write("many/BUILD.bazel", BUILD)
    made.run("build", "//many:tar", "//many:base")
    return made


def _count_overlaps(profile: pathlib.Path, count: int) -> int:
    """Returns how often a worker begins a request before another one has answered its own."""
    events = json.loads(profile.read_bytes())["traceEvents"]
    working = [event for event in events if event.get("cat") == "waiting for response from worker"]
    assert len(working) == count
    spans = sorted((event["ts"], event["ts"] + event["dur"]) for event in working)
    return sum(second[0] < first[1] for first, second in itertools.pairwise(spans))


@pytest.mark.parametrize("threads", [1, 32])
def test_packing_actions_reserve_a_core_for_each_thread(workspace: Workspace, tmp_path: pathlib.Path, threads: int):
    options = [f"--@rules_setcap//rules:threads={threads}", "--local_resources=cpu=8", "--jobs=8"]
    options += [f"--strategy=Setcap{name}=worker" for name in ("Layer", "Tar", "Copy")]
    workspace.run("build", *TARGETS, *options)
    # The second build runs only the actions that pack.
    blobs = sorted(workspace.output("many").glob("*.tar.gz"))
    assert len(blobs) == len(TARGETS)
    expected = {path: path.read_bytes() for path in blobs}
    for path in blobs:
        path.unlink()
    workspace.run("build", *TARGETS, *options, f"--profile={tmp_path}/profile", "--noslim_profile")
    assert {path: path.read_bytes() for path in blobs} == expected
    assert (_count_overlaps(tmp_path / "profile", len(TARGETS)) > 0) == (threads == 1)


def test_an_invalid_number_of_threads_is_an_error(workspace: Workspace):
    done = workspace.run("build", "//many:layer0", "--@rules_setcap//rules:threads=3", check=False)
    assert (
        done.returncode
        and "--@rules_setcap//rules:threads: 3: not a valid number of threads; write 1, 2, 4, 8, 16 or 32" in done.stderr
    )

"""Measures tiny layers under Bazel: in workers, in sandboxes, and beside the cheapest action there is.

Usage: ./bazelw run //tests/bench:in_bazel

Two hundred layers of one file each, packed again and again by a warm Bazel, in turn with
two hundred times touch(1), which is what an action costs whatever it does. Medians of
five, and the median of the ratios of what ran one after the other. Twice: with the
system's interpreter, and with the same as files of the build, as rules_python fetches
one: all of them are inputs of each action.
"""

from __future__ import annotations

import pathlib
import statistics
import sys
import tempfile
import time

from support.bazel import Workspace

_COUNT, _ROUNDS = 200, 5

_RULES = """\
def _touch_impl(ctx):
    output = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.run(
        executable = "/usr/bin/touch",
        arguments = [output.path],
        inputs = ctx.files.srcs,
        outputs = [output],
        mnemonic = "Touch",
        progress_message = "Touching %{output}",
    )
    return [DefaultInfo(files = depset([output]))]

touch = rule(_touch_impl, attrs = {"srcs": attr.label_list(allow_files = True)})
"""

_BUILD = """\
load("@rules_setcap//rules:layer.bzl", "layer")
load(":touch.bzl", "touch")

[genrule(name = "file%d" % n, outs = ["file%d.txt" % n], cmd = "echo %d > $@" % n) for n in range(COUNT)]
[layer(name = "layer%d" % n, srcs = {"/file": "file%d.txt" % n}) for n in range(COUNT)]
[touch(name = "touch%d" % n, srcs = ["file%d.txt" % n]) for n in range(COUNT)]
filegroup(name = "files", srcs = ["file%d.txt" % n for n in range(COUNT)])
filegroup(name = "layers", srcs = ["layer%d" % n for n in range(COUNT)])
filegroup(name = "touches", srcs = ["touch%d" % n for n in range(COUNT)])
"""

_WAYS = {
    "touch, in a sandbox": ("touches", "touch*", []),
    "layer, in a worker (the default)": ("layers", "layer*.tar.gz", ["--strategy=SetcapLayer=worker"]),
    "layer, in a sandbox": ("layers", "layer*.tar.gz", ["--strategy=SetcapLayer=sandboxed"]),
    "layer, without": ("layers", "layer*.tar.gz", ["--strategy=SetcapLayer=local"]),
}


def _time(workspace: Workspace, target: str, outputs: str, options: list[str]) -> float:
    """Seconds of a build that makes all the outputs anew."""
    for path in workspace.output("many").glob(outputs):
        path.unlink()
    start = time.monotonic()
    workspace.run("build", f"//many:{target}", *options)
    return time.monotonic() - start


def _table(workspace: Workspace, interpreter: str, options: list[str]) -> None:
    """Measures all ways with an interpreter, and prints them."""
    times: dict[str, list[float]] = {name: [] for name in _WAYS}
    for turn in range(_ROUNDS + 1):
        print(f"{interpreter}: round {turn} of {_ROUNDS}", file=sys.stderr, flush=True)
        for name, (target, outputs, way) in _WAYS.items():
            seconds = _time(workspace, target, outputs, [*way, *options])
            if turn:  # The first warms.
                times[name].append(seconds)
    cheapest = times["touch, in a sandbox"]
    print(f"\n| {_COUNT} actions, {interpreter} | time | to touch | each, more than touch |\n|---|--:|--:|--:|")
    for name, seconds in times.items():
        ratio = statistics.median(ours / theirs for ours, theirs in zip(seconds, cheapest))
        more = statistics.median(ours - theirs for ours, theirs in zip(seconds, cheapest)) / _COUNT
        print(f"| {name} | {statistics.median(seconds):.2f} s | {ratio:.2f} × | {more * 1000:+.1f} ms |")


def main() -> None:
    """Measures and prints."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        workspace = Workspace(pathlib.Path(directory) / "bench")
        workspace.write("many/touch.bzl", _RULES)
        workspace.write("many/BUILD.bazel", _BUILD.replace("COUNT", str(_COUNT)))
        toolchain, files = workspace.write_interpreter()
        workspace.run("build", "//many:files")
        _table(workspace, "the system's interpreter", [])
        _table(workspace, f"an interpreter of {files:,} files", [f"--extra_toolchains={toolchain}"])


if __name__ == "__main__":
    main()

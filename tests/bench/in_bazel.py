"""Measures small layers in Bazel: in workers, in sandboxes, and compared with the cheapest action.

Usage: ./bazelw run //tests/bench:in_bazel -- [--count N] [--rounds R]

A warm Bazel packs two hundred layers of one file each, in turn with two hundred actions that run touch(1), which take what any
action takes. The tables have medians of five rounds, and the median of the ratios within a round. One table is for the
interpreter of the system. The other is for the same interpreter as files of the build, like those that rules_python fetches;
they are all inputs of each action.
"""

from __future__ import annotations

import argparse
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence

from support.bazel import Workspace

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

_STRATEGIES = {
    "touch, in a sandbox": ("touches", "touch*", []),
    "layer, in a worker (the default)": ("layers", "layer*.tar.gz", ["--strategy=SetcapLayer=worker"]),
    "layer, in a sandbox": ("layers", "layer*.tar.gz", ["--strategy=SetcapLayer=sandboxed"]),
    "layer, without a sandbox": ("layers", "layer*.tar.gz", ["--strategy=SetcapLayer=local"]),
}


def _measure_build(workspace: Workspace, target: str, outputs: str, options: list[str]) -> float:
    """Removes outputs, builds them again, and returns the seconds of the build."""
    for path in workspace.output("many").glob(outputs):
        path.unlink()
    start = time.monotonic()
    workspace.run("build", f"//many:{target}", *options)
    return time.monotonic() - start


def _print_table(workspace: Workspace, interpreter: str, options: list[str], count: int, rounds: int) -> None:
    """Measures each strategy with an interpreter, and prints the table.

    Args:
      workspace: the workspace.
      interpreter: the interpreter, for the table.
      options: options of Bazel that choose the interpreter.
      count: the number of layers.
      rounds: the number of rounds.
    """
    times: dict[str, list[float]] = {name: [] for name in _STRATEGIES}
    for turn in range(rounds + 1):
        print(f"{interpreter}: round {turn} of {rounds}", file=sys.stderr, flush=True)
        for name, (target, outputs, strategy) in _STRATEGIES.items():
            seconds = _measure_build(workspace, target, outputs, [*strategy, *options])
            if turn:  # The first round warms the caches.
                times[name].append(seconds)
    cheapest = times["touch, in a sandbox"]
    print(f"\n| {count} actions, {interpreter} | time | to touch | each, more than touch |\n|---|--:|--:|--:|")
    for name, seconds in times.items():
        ratio = statistics.median(ours / theirs for ours, theirs in zip(seconds, cheapest, strict=True))
        more = statistics.median(ours - theirs for ours, theirs in zip(seconds, cheapest, strict=True)) / count
        print(f"| {name} | {statistics.median(seconds):.2f} s | {ratio:.2f} × | {more * 1000:+.1f} ms |")


def main(arguments: Sequence[str]) -> None:
    """Measures and prints both tables."""
    parser = argparse.ArgumentParser(prog="in_bazel", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=200, metavar="N", help="the number of layers; the default is 200")
    parser.add_argument("--rounds", type=int, default=5, metavar="R", help="the number of rounds; the default is 5")
    flags = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        workspace = Workspace(pathlib.Path(directory) / "bench")
        workspace.write("many/touch.bzl", _RULES)
        workspace.write("many/BUILD.bazel", _BUILD.replace("COUNT", str(flags.count)))
        toolchain, files = workspace.write_interpreter()
        workspace.run("build", "//many:files")
        _print_table(workspace, "the system's interpreter", [], flags.count, flags.rounds)
        chosen = [f"--extra_toolchains={toolchain}"]
        _print_table(workspace, f"an interpreter of {files:,} files", chosen, flags.count, flags.rounds)
        workspace.stop()


if __name__ == "__main__":
    main(sys.argv[1:])

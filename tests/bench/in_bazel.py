"""Measures small layers in Bazel: in workers, in sandboxes, and compared with the cheapest action.

Usage: ./bazelw run //tests/bench:in_bazel

A warm Bazel packs two hundred layers of one file each, in turn with two hundred actions that run touch(1), which take what any
action takes. The tables have medians of five rounds, and the median of the ratios within a round. One table is for the
interpreter of the system. The other is for the same interpreter as files of the build, like those that rules_python fetches;
they are all inputs of each action.
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


def _print_table(workspace: Workspace, interpreter: str, options: list[str]) -> None:
    """Measures each strategy with an interpreter, and prints the table."""
    times: dict[str, list[float]] = {name: [] for name in _STRATEGIES}
    for turn in range(_ROUNDS + 1):
        print(f"{interpreter}: round {turn} of {_ROUNDS}", file=sys.stderr, flush=True)
        for name, (target, outputs, strategy) in _STRATEGIES.items():
            seconds = _measure_build(workspace, target, outputs, [*strategy, *options])
            if turn:  # The first round warms the caches.
                times[name].append(seconds)
    cheapest = times["touch, in a sandbox"]
    print(f"\n| {_COUNT} actions, {interpreter} | time | to touch | each, more than touch |\n|---|--:|--:|--:|")
    for name, seconds in times.items():
        ratio = statistics.median(ours / theirs for ours, theirs in zip(seconds, cheapest, strict=True))
        more = statistics.median(ours - theirs for ours, theirs in zip(seconds, cheapest, strict=True)) / _COUNT
        print(f"| {name} | {statistics.median(seconds):.2f} s | {ratio:.2f} × | {more * 1000:+.1f} ms |")


def main() -> None:
    """Measures and prints both tables."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        workspace = Workspace(pathlib.Path(directory) / "bench")
        workspace.write("many/touch.bzl", _RULES)
        workspace.write("many/BUILD.bazel", _BUILD.replace("COUNT", str(_COUNT)))
        toolchain, files = workspace.write_interpreter()
        workspace.run("build", "//many:files")
        _print_table(workspace, "the system's interpreter", [])
        _print_table(workspace, f"an interpreter of {files:,} files", [f"--extra_toolchains={toolchain}"])


if __name__ == "__main__":
    main()

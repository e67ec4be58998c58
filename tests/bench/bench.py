#!/usr/bin/env python3
"""Measures the packer against its peers.

Usage: ./bazelw run //tests/bench -- [--quick] [--only NAME ...] [--output DIR] [--work DIR] [--peers DIR]

For every workload (workloads.py) it runs the packer and each peer (contenders.py) in
turn, five pairs, and prints the median of the ratios of the pairs: what the machine does
beside them meets both. With --output it also writes benchmarks.md and benchmarks.svg.
No number makes it fail, people judge; a packer that does not work does. A peer that is
missing is said to be not here; ko is built if it can be (ko.py). Run it by the interpreter
that is to pack: Python 3.14.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Iterator, Sequence

import contenders
import measure
import report
from workloads import WORKLOADS

from rules_setcap import ko

_LAYERS = 200
_LAYERS_OVER_BASE = 30


def _groups(
    name: str, packer: contenders.Packer, first: str
) -> Iterator[tuple[measure.Contender, list[measure.Contender]]]:
    """The packer's jobs on a workload, each with the peers that do the same.

    Args:
      name: of the workload.
      packer: the packer.
      first: path of its first file.
    """
    if name == "layers":
        peers = [packer.image(_LAYERS), contenders.starts(_LAYERS), contenders.crane_layers(_LAYERS)]
        yield packer.served_image(_LAYERS), peers
        return
    if name == "base":
        yield packer.served_image(_LAYERS_OVER_BASE), [contenders.umoci_layers(_LAYERS_OVER_BASE, "base")]
        assembly = packer.assembly(_LAYERS_OVER_BASE, "base", contenders.ASSEMBLY)
        yield assembly, [packer.assembly(_LAYERS_OVER_BASE, "small-base", report.SMALL_BASE)]
        return

    binary = name.startswith("binary")
    grant = first if binary else ""
    single = first if binary or name == "zeros" else ""
    yield packer.layer("none", grant), contenders.plain(single, linked=name == "empty-files")
    # What makes larger blobs than the packer's default is compared with that, and once
    # more with the level that comes next to it in size.
    larger = contenders.gzips("umoci", "crane", "ko", "ko, empty", "img 1", "img")
    if name == "binary-120m":
        gzips = [
            packer.layer("gzip", grant, threads=1),
            contenders.one_thread("gzip"),
            *contenders.gzips("pigz", "gzip", "bsdtar", "rules_pkg"),
        ]
        yield packer.layer("gzip", grant), [*gzips, *larger]
        yield packer.layer("gzip", grant, level=1), larger
        same = [packer.layer("gzip", grant), packer.layer("libdeflate", grant, threads=1)]
        yield packer.layer("libdeflate", grant), [*same, *contenders.gzips("pigz")]
        yield packer.layer("libdeflate", grant, level=1), larger
    elif name == "small-files":
        yield packer.layer("gzip", grant), [*contenders.gzips("pigz", "gzip"), *larger]
        yield packer.layer("gzip", grant, level=1), larger
        yield packer.layer("libdeflate", grant), [packer.layer("gzip", grant), *contenders.gzips("pigz")]
        yield packer.layer("libdeflate", grant, level=1), larger
    elif name == "zeros":
        yield packer.layer("gzip", grant), contenders.gzips("pigz")
    if binary:
        one = [packer.layer("zstd", grant, threads=1), contenders.one_thread("zstd")]
        yield packer.layer("zstd", grant), [*contenders.zstds(), *(one if name == "binary-120m" else [])]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _measure(name: str, program: pathlib.Path, work: pathlib.Path, count: int) -> Iterator[report.Group]:
    directory = work / name
    directory.mkdir()
    _say(f"{name}: making it")
    maker = [sys.executable, str(pathlib.Path(__file__).with_name("workloads.py")), name, str(directory)]
    subprocess.run(maker, check=True)
    os.sync()  # Or the first to be measured would share the machine with the disk.
    facts = json.loads((directory / "facts").read_text())
    for ours, peers in _groups(name, contenders.Packer(program, directory, os.environ["LIBDEFLATE"]), facts["first"]):
        # A packer that fails is no peer that is missing: nothing more is measured.
        measure.run(ours, directory)
        results: dict[str, measure.Pairs | str] = {}
        for peer in peers:
            start = time.monotonic()

            def said(what: str, sample: measure.Sample) -> None:
                _say(f"  {what}: {sample.wall:.2f} s, processor {sample.cpu:.2f} s, {sample.memory >> 20} MiB")

            _say(f"{name}: {ours.name} and {peer.name}")
            try:
                pairs = measure.pairs(ours, peer, directory, count, said)
                results[peer.name] = pairs
                _say(f"  {pairs.ratio():.2f} of the peer's time ({time.monotonic() - start:.0f} s for {count} pairs)")
            except measure.Unfit as error:
                results[peer.name] = str(error)
                _say(f"  not here: {error}")
        yield report.Group(name, WORKLOADS[name].title, ours.name, facts["bytes"], results)


def main(arguments: Sequence[str]) -> int:
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(prog="bench", description=(__doc__ or "").partition("\n")[0])
    names = ", ".join(WORKLOADS)
    where = "where to make the workloads (6 GB); by default where temporary files are"
    parser.add_argument("--quick", action="store_true", help="three pairs instead of five")
    parser.add_argument("--only", nargs="+", choices=list(WORKLOADS), metavar="NAME", help=f"only these of {names}")
    parser.add_argument("--output", type=pathlib.Path, metavar="DIR", help="gets benchmarks.md and benchmarks.svg")
    parser.add_argument("--work", type=pathlib.Path, metavar="DIR", help=where)
    parser.add_argument("--peers", type=pathlib.Path, metavar="DIR", help="where to look for peers, before PATH")
    options = parser.parse_args(arguments)
    # What `bazel run` was started in; it starts programs elsewhere.
    started = pathlib.Path(os.environ.get("BUILD_WORKING_DIRECTORY", "."))
    count = 3 if options.quick else 5
    if options.peers:
        os.environ["PATH"] = f"{(started / options.peers).absolute()}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    ko.provide(_say)

    groups: list[report.Group] = []
    versions = contenders.versions()
    start = time.monotonic()
    work_in = started / options.work if options.work else None
    with tempfile.TemporaryDirectory(prefix="bench.", dir=work_in) as work:
        program = contenders.copy_packer(pathlib.Path(work, "tools"))
        for name in options.only or WORKLOADS:
            with tempfile.TemporaryDirectory(dir=work) as own:
                try:
                    groups += _measure(name, program, pathlib.Path(own), count)
                except measure.Unfit as error:
                    _say(f"bench: {name}: the packer {error}")
                    return 1
    machine = report.machine(versions, count, round(time.monotonic() - start))
    again = ["--quick"] * options.quick + (["--only", *options.only] if options.only else [])
    again += ["--peers DIR"] * bool(options.peers)
    text = report.markdown(groups, machine, "".join(f" {word}" for word in again))
    if options.output:
        output = started / options.output
        output.mkdir(parents=True, exist_ok=True)
        (output / "benchmarks.md").write_text(text)
        (output / "benchmarks.svg").write_text(report.plot(groups))
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

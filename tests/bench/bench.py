#!/usr/bin/env python3
"""Measures the packer against its peers.

Usage: ./bazelw run //tests/bench -- [--quick] [--only NAME ...] [--output DIR] [--work DIR] [--peers DIR]
         [--divide N]

For every workload (workloads.py) it runs the packer and each peer (contenders.py) in turn, five pairs, and prints the median
of the ratios of the pairs, because other work of the machine affects both of a pair. With --output it also writes
benchmarks.md and benchmarks.svg. It fails if the packer fails, and not because of a number. A peer that this machine does not
have is left out; ko is built if possible (ko.py). The interpreter that runs it also runs the packer: Python 3.14.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence

import contenders
import ko
import measure
import page
import report
import results
from workloads import WORKLOADS

_KO_WORKLOADS = {"binary-120m", "small-files"}  # Those that ko packs.
_LAYERS = 200
_LAYERS_OVER_BASE = 30


def _list_jobs(
    name: str, packer: contenders.Packer, first: str, divisor: int
) -> Iterator[tuple[measure.Contender, list[measure.Contender]]]:
    """Yields the jobs of the packer on a workload, each with the peers that do the same.

    Args:
      name: the name of the workload.
      packer: the packer.
      first: the path of the first file of the workload.
      divisor: the number by which the sizes of the workload are divided.
    """
    layers, layers_over_base = max(_LAYERS // divisor, 2), max(_LAYERS_OVER_BASE // divisor, 2)
    if name == "layers":
        peers = [
            packer.build_image(layers),
            contenders.start_interpreters(layers),
            contenders.append_layers_by_crane(layers),
        ]
        yield packer.build_image_by_workers(layers), peers
        return
    if name == "base":
        yield packer.build_image_by_workers(layers_over_base), [contenders.insert_layers_by_umoci(layers_over_base, "base")]
        assembly = packer.assemble_image(layers_over_base, "base", contenders.ASSEMBLY)
        yield assembly, [packer.assemble_image(layers_over_base, "small-base", report.SMALL_BASE)]
        return

    binary = name.startswith("binary")
    capable = first if binary else ""
    single = first if binary or name == "zeros" else ""
    yield packer.pack_layer("none", capable), contenders.list_tar_peers(single, has_duplicates=name == "empty-files")
    # Peers that make larger blobs than the default of the packer are compared with it, and also with the level whose blobs have
    # the next size.
    larger = contenders.list_gzip_peers("umoci", "crane", "ko", "ko, empty", "img 1", "img")
    if name == "binary-120m":
        gzips = [
            packer.pack_layer("gzip", capable, threads=1),
            contenders.compress_on_one_thread("gzip"),
            *contenders.list_gzip_peers("pigz", "gzip", "bsdtar", "rules_pkg"),
        ]
        yield packer.pack_layer("gzip", capable), [*gzips, *larger]
        yield packer.pack_layer("gzip", capable, level=1), larger
        same = [packer.pack_layer("gzip", capable), packer.pack_layer("zlib", capable, threads=1)]
        yield packer.pack_layer("zlib", capable), [*same, *contenders.list_gzip_peers("pigz")]
    elif name == "small-files":
        yield packer.pack_layer("gzip", capable), [*contenders.list_gzip_peers("pigz", "gzip"), *larger]
        yield packer.pack_layer("gzip", capable, level=1), larger
        yield packer.pack_layer("zlib", capable), [packer.pack_layer("gzip", capable), *contenders.list_gzip_peers("pigz")]
    elif name == "zeros":
        yield packer.pack_layer("gzip", capable), contenders.list_gzip_peers("pigz")
    if binary:
        one = [packer.pack_layer("zstd", capable, threads=1), contenders.compress_on_one_thread("zstd")]
        yield packer.pack_layer("zstd", capable), [*contenders.list_zstd_peers(), *(one if name == "binary-120m" else [])]


def _print_progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _measure_workload(name: str, program: pathlib.Path, work: pathlib.Path, count: int, divisor: int) -> Iterator[results.Group]:
    """Yields the results of the jobs on a workload.

    Args:
      name: the name of the workload.
      program: from contenders.copy_packer().
      work: a directory for the workload.
      count: the number of pairs.
      divisor: the number by which the sizes of the workload are divided.
    """
    directory = work / name
    directory.mkdir()
    _print_progress(f"{name}: making it")
    maker = [sys.executable, str(pathlib.Path(__file__).with_name("workloads.py")), name, str(directory), str(divisor)]
    subprocess.run(maker, check=True)
    os.sync()  # Otherwise the disk would still be writing during the first measurement.
    facts = json.loads((directory / "facts").read_text())
    packer = contenders.Packer(program, directory, os.environ["GZIP_LIBRARY"])
    for ours, peers in _list_jobs(name, packer, facts["first"], divisor):
        # If the packer fails, nothing more is measured.
        measure.run_contender(ours, directory)
        comparisons: dict[str, results.Comparison | str] = {}
        for peer in peers:
            start = time.monotonic()

            def print_sample(what: str, sample: measure.Sample) -> None:
                _print_progress(f"  {what}: {sample.wall:.2f} s, processor {sample.cpu:.2f} s, {sample.memory >> 20} MiB")

            _print_progress(f"{name}: {ours.name} and {peer.name}")
            try:
                pairs = measure.run_pairs(ours, peer, directory, count, print_sample)
                comparisons[peer.name] = results.compare(pairs)
                _print_progress(
                    f"  {pairs.compute_ratio():.2f} of the peer's time ({time.monotonic() - start:.0f} s for {count} pairs)"
                )
            except measure.UnfitError as error:
                comparisons[peer.name] = str(error)
                _print_progress(f"  not measured: {error}")
        date = datetime.datetime.now(datetime.UTC).date().isoformat()
        yield results.Group(
            name, WORKLOADS[name].title, ours.name, facts["bytes"], date, results.describe_machine(), count, comparisons
        )


def main(arguments: Sequence[str]) -> int:
    """Measures the workloads, and prints and writes the results; returns the exit code."""
    parser = argparse.ArgumentParser(prog="bench", description=(__doc__ or "").partition("\n")[0])
    names = ", ".join(WORKLOADS)
    where = "the directory for the workloads (6 GB); the default is that of temporary files"
    parser.add_argument("--quick", action="store_true", help="measure three pairs instead of five")
    parser.add_argument("--only", nargs="+", choices=list(WORKLOADS), metavar="NAME", help=f"measure only these of {names}")
    parser.add_argument("--output", type=pathlib.Path, metavar="DIR", help="write benchmarks.md and benchmarks.svg there")
    parser.add_argument("--work", type=pathlib.Path, metavar="DIR", help=where)
    parser.add_argument("--peers", type=pathlib.Path, metavar="DIR", help="search peers there before PATH")
    smaller = "divide the sizes of the workloads by N, and measure one pair, to try the benchmark itself"
    parser.add_argument("--divide", type=int, default=1, metavar="N", help=smaller)
    options = parser.parse_args(arguments)
    # `bazel run` starts programs in another directory than that in which the user has typed it.
    started = pathlib.Path(os.environ.get("BUILD_WORKING_DIRECTORY", "."))
    count = 1 if options.divide > 1 else 3 if options.quick else 5
    if options.peers:
        os.environ["PATH"] = f"{(started / options.peers).absolute()}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    if options.divide == 1 and not _KO_WORKLOADS.isdisjoint(options.only or WORKLOADS):
        ko.provide_ko(_print_progress)

    groups: list[results.Group] = []
    versions = contenders.find_versions()
    start = time.monotonic()
    work_in = started / options.work if options.work else None
    with tempfile.TemporaryDirectory(prefix="bench.", dir=work_in) as work:
        program = contenders.copy_packer(pathlib.Path(work, "tools"))
        for name in options.only or WORKLOADS:
            with tempfile.TemporaryDirectory(dir=work) as own:
                try:
                    groups += _measure_workload(name, program, pathlib.Path(own), count, options.divide)
                except measure.UnfitError as error:
                    _print_progress(f"bench: {name}: the packer {error}")
                    return 1
    _print_progress(f"{(time.monotonic() - start) / 60:.0f} min")
    if options.output:
        page.update_page(started / options.output, tools=versions, groups=groups)
    print("\n".join([*report.write_goals(groups), "", *report.write_groups(groups)]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

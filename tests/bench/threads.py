"""Measures how compression scales with the number of CPUs, and computes what more CPUs than the machine has would give.

Usage: ./bazelw run //tests/bench:threads -- [--rounds R] [--output DIR] [--peers DIR] [--divide N]

It compresses a binary with the packer and with its peers, on one CPU, on two, and on all. Each round runs all of them in turn. On
one CPU it also measures the stages that no number of threads makes faster: reading the file, hashing the tar, and hashing and
writing the blob. docs/benchmarks.md says how to build the program pgzip (pgzip/main.go).
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence

import contenders
import measure
import page
import report
import results

_WORKLOAD = "binary-120m"
_CHUNK = 1 << 20
_PGZIP = "cd tests/bench/pgzip && go build -o DIR/pgzip ., then --peers DIR"


def _list_contenders(packer: contenders.Packer, binary: str) -> list[measure.Contender]:
    """Returns the packer and its peers.

    Args:
      packer: the packer.
      binary: the path of the file of the workload.
    """
    ready = contenders.list_zstd_peers()[0]
    pgzip = ["pgzip", "ready.tar", "out/blob"]
    return [
        packer.pack_layer("gzip", binary),
        packer.pack_layer("gzip", binary, level=1),
        measure.Contender("pgzip", pgzip, before=contenders.make_tar, needs=("pgzip",), source=_PGZIP),
        packer.pack_layer("zstd", binary),
        ready,
    ]


def _time(function: Callable[[], object]) -> float:
    """Returns the least of the seconds of three calls."""

    def run() -> float:
        start = time.monotonic()
        function()
        return time.monotonic() - start

    return min(run() for _ in range(3))


def _measure_stages(directory: pathlib.Path, start: float) -> dict[str, float]:
    """Returns the seconds of the stages that only one thread can do.

    Args:
      directory: the directory of the workload.
      start: the seconds that the packer takes for an empty layer.
    """
    tar = directory / "ready.tar"
    blob = tar.read_bytes()

    def read() -> None:
        with open(tar, "rb", buffering=0) as file:
            while file.read(_CHUNK):
                pass

    def write() -> None:
        digest = hashlib.sha256()
        with open(directory / "copy", "wb", buffering=0) as file:
            for at in range(0, len(blob) // 2, _CHUNK):  # The blob is smaller than half of the tar.
                digest.update(blob[at : at + _CHUNK])
                file.write(blob[at : at + _CHUNK])
        os.unlink(directory / "copy")

    return {
        "start": start,
        "reading": _time(read),
        "hashing the tar": _time(lambda: hashlib.sha256(blob)),
        "hashing and writing the blob": _time(write),
        "reading and hashing by pgzip's program": _time_program(["pgzip", str(tar)]),
        "sha256sum of the tar": _time_program(["sha256sum", str(tar)]),
    }


def _time_program(argv: Sequence[str]) -> float:
    """Returns the seconds of a program; 0 if there is none."""
    try:
        return _time(lambda: subprocess.run(argv, check=True, stdout=subprocess.DEVNULL))
    except FileNotFoundError:
        return 0


def main(arguments: Sequence[str]) -> int:
    """Measures, and prints and writes the results; returns the exit code."""
    parser = argparse.ArgumentParser(prog="threads", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, metavar="R", help="the number of rounds; the default is 5")
    parser.add_argument("--output", type=pathlib.Path, metavar="DIR", help="update benchmarks.md, .json and .svg there")
    parser.add_argument("--peers", type=pathlib.Path, metavar="DIR", help="search peers there before PATH")
    parser.add_argument("--divide", type=int, default=1, metavar="N", help="divide the size of the binary, to try the benchmark")
    options = parser.parse_args(arguments)
    started = pathlib.Path(os.environ.get("BUILD_WORKING_DIRECTORY", "."))
    if options.peers:
        os.environ["PATH"] = f"{(started / options.peers).absolute()}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    every = sorted(os.sched_getaffinity(0))
    times: dict[str, dict[str, list[float]]] = {}
    processor: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="threads.") as work:
        directory = pathlib.Path(work, _WORKLOAD)
        directory.mkdir()
        maker = pathlib.Path(__file__).with_name("workloads.py")
        subprocess.run([sys.executable, str(maker), _WORKLOAD, str(directory), str(options.divide)], check=True)
        program = contenders.copy_packer(pathlib.Path(work, "tools"))
        facts = json.loads((directory / "facts").read_text())
        packer = contenders.Packer(program, directory, os.environ["GZIP_LIBRARY"])
        try:
            for count in sorted({1, 2, len(every)} & set(range(len(every) + 1))):
                os.sched_setaffinity(0, every[:count])
                for number in range(options.rounds + 1):
                    # The packer takes as many threads as there are CPUs when its request is written.
                    for contender in _list_contenders(packer, facts["first"]):
                        try:
                            sample = measure.run_contender(contender, directory)
                        except measure.UnfitError as error:
                            print(f"{contender.name}: {error}", file=sys.stderr)
                            continue
                        if number:  # The first round fills the page cache.
                            times.setdefault(contender.name, {}).setdefault(str(count), []).append(sample.wall)
                            if count == 1:
                                processor.setdefault(contender.name, []).append(sample.cpu)
                            print(
                                f"{count} CPUs, {number}/{options.rounds}: {contender.name}: {sample.wall:.2f} s", file=sys.stderr
                            )
            os.sched_setaffinity(0, every[:1])
            empty = packer.pack_nothing()
            start = statistics.median(measure.run_contender(empty, directory).wall for _ in range(options.rounds))
            stages = _measure_stages(directory, start)
        finally:
            os.sched_setaffinity(0, every)
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    medians = {name: statistics.median(values) for name, values in processor.items()}
    measured = results.Threads(date, results.describe_machine(), facts["bytes"], stages, medians, times)
    print("\n".join(report.write_threads(measured)))
    if options.output:
        page.update_page(started / options.output, threads=measured)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

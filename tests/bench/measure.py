"""Runs commands and measures their time, processor time, memory and output."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence

ISOLATED = ("-S", "-E", "-s", "-B", "-X", "utf8")
"""The flags with which the rules run the interpreter."""

_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}


class UnfitError(Exception):
    """A contender that cannot run on this machine."""


@dataclasses.dataclass(frozen=True)
class Contender:
    """A way to do a job.

    Attributes:
      name: its name in tables.
      argv: the command. It runs in the directory of the workload, and writes to `out`.
      blob: the path of its output in `out`, a file or a directory; "" if the size does not matter.
      before: prepares `out`, and is not measured.
      needs: names of programs and paths of files that it needs.
      env: environment variables besides PATH and locale.
      source: where to get a program that no package has.
    """

    name: str
    argv: Sequence[str]
    blob: str = "blob"
    before: Callable[[pathlib.Path], None] | None = None
    needs: Sequence[str] = ()
    env: Sequence[tuple[str, str]] = ()
    source: str = ""


@dataclasses.dataclass(frozen=True)
class Sample:
    """The measurements of one run.

    Attributes:
      wall: seconds.
      cpu: seconds of processor time.
      memory: bytes, the peak.
      size: bytes of the output.
    """

    wall: float
    cpu: float
    memory: int
    size: int


@dataclasses.dataclass(frozen=True)
class Pairs:
    """The runs of two contenders, in turn."""

    ours: Sequence[Sample]
    peer: Sequence[Sample]

    def compute_ratios(self, what: str = "wall") -> list[float]:
        """Returns the ratio of our measurement to that of the peer, for each pair."""
        return [getattr(a, what) / max(getattr(b, what), 1e-9) for a, b in zip(self.ours, self.peer, strict=True)]

    def compute_ratio(self, what: str = "wall") -> float:
        """Returns the median of the ratios."""
        return statistics.median(self.compute_ratios(what))


def run_contender(contender: Contender, directory: pathlib.Path) -> Sample:
    """Runs a contender once, and removes its output.

    Raises:
      UnfitError: a program is missing, or the command has failed.
    """
    missing = [need for need in contender.needs if not (os.path.exists(need) if "/" in need else shutil.which(need))]
    if missing:
        raise UnfitError(f"no {', '.join(missing)}" + (f" ({contender.source})" if contender.source else ""))
    out = directory / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    if contender.before is not None:
        contender.before(out)
    env = {"PATH": os.environ.get("PATH", os.defpath), **_ENVIRONMENT, **dict(contender.env)}
    spawn = [sys.executable, *ISOLATED, str(pathlib.Path(__file__).with_name("spawn.py"))]
    size = json.loads((directory / "facts").read_text())["bytes"]
    command = [*spawn, "log", str(size * 5 // 4), *contender.argv]
    done = subprocess.run(command, cwd=directory, env=env, stdout=subprocess.PIPE, text=True, check=True)
    status, wall, cpu, memory = done.stdout.split()
    if status != "0":
        lines = (directory / "log").read_text(errors="replace").strip().splitlines() or [f"exit code {status}"]
        raise UnfitError(f"failed: {lines[-1]}")
    written = _count_bytes(out / contender.blob) if contender.blob else 0
    # What has not been written to the disk yet is never written then, and does not slow the next run.
    shutil.rmtree(out)
    return Sample(float(wall), float(cpu), int(memory), written)


def _count_bytes(path: pathlib.Path) -> int:
    if not path.is_dir():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file() and not file.is_symlink())


def run_pairs(
    ours: Contender, peer: Contender, directory: pathlib.Path, count: int, report: Callable[[str, Sample], None]
) -> Pairs:
    """Runs two contenders in turn. The peer runs once before, to fill the page cache.

    Args:
      ours: the packer, which has run once.
      peer: the peer.
      directory: the directory of the workload.
      count: the number of pairs.
      report: is called after each run.

    Raises:
      UnfitError: one of the two cannot run on this machine.
    """
    run_contender(peer, directory)
    done: tuple[list[Sample], list[Sample]] = ([], [])
    for number in range(count):
        for contender, samples in ((ours, done[0]), (peer, done[1])):
            samples.append(run_contender(contender, directory))
            report(f"{number + 1}/{count} {contender.name}", samples[-1])
    return Pairs(*done)

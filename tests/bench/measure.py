"""Runs commands and says what they took: time, processor time, memory, what they wrote."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
from typing import Callable, Sequence

ISOLATED = ("-S", "-E", "-s", "-B", "-X", "utf8")
"""The interpreter's flags for programs of ours, as the rules give them."""

_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}


class Unfit(Exception):
    """A contender that cannot run here."""


@dataclasses.dataclass(frozen=True)
class Contender:
    """One way to do a job.

    Attributes:
      name: what the tables call it.
      argv: the command; it runs in the workload's directory and writes below `out`.
      blob: what it makes, below `out`: a file or a directory; "" if its size says nothing.
      before: makes what it needs below `out`, and is not measured.
      needs: programs it cannot do without; paths of files, too.
      env: environment variables, beside PATH and locale.
      source: where to get what it needs, if no package has it.
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
    """One run: seconds, seconds, bytes, bytes."""

    wall: float
    cpu: float
    memory: int
    size: int


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Runs of two contenders, A B A B."""

    ours: Sequence[Sample]
    peer: Sequence[Sample]

    def ratios(self, what: str = "wall") -> list[float]:
        """Ours by the peer's, pair by pair."""
        return [getattr(a, what) / max(getattr(b, what), 1e-9) for a, b in zip(self.ours, self.peer)]

    def ratio(self, what: str = "wall") -> float:
        """The median of ratios()."""
        return statistics.median(self.ratios(what))


def run(contender: Contender, directory: pathlib.Path) -> Sample:
    """Runs it once, and removes what it made.

    Raises:
      Unfit: a program is missing, or the command failed.
    """
    missing = [need for need in contender.needs if not (os.path.exists(need) if "/" in need else shutil.which(need))]
    if missing:
        raise Unfit(f"no {', '.join(missing)}" + (f" ({contender.source})" if contender.source else ""))
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
        said = (directory / "log").read_text(errors="replace").strip().splitlines() or [f"exit code {status}"]
        raise Unfit(f"failed: {said[-1]}")
    written = _size(out / contender.blob) if contender.blob else 0
    # What is not yet on the disk need never go there, and so does not slow the next run.
    shutil.rmtree(out)
    return Sample(float(wall), float(cpu), int(memory), written)


def _size(path: pathlib.Path) -> int:
    if not path.is_dir():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file() and not file.is_symlink())


def pairs(
    ours: Contender, peer: Contender, directory: pathlib.Path, count: int, said: Callable[[str, Sample], None]
) -> Pairs:
    """Runs both in turn; the peer once more beforehand, for the page cache.

    Args:
      ours: the packer; it has run.
      peer: what it is compared with.
      directory: the workload's.
      count: how many pairs.
      said: gets every run as it is done.

    Raises:
      Unfit: one of the two cannot run here.
    """
    run(peer, directory)
    done: tuple[list[Sample], list[Sample]] = ([], [])
    for number in range(count):
        for contender, samples in ((ours, done[0]), (peer, done[1])):
            samples.append(run(contender, directory))
            said(f"{number + 1}/{count} {contender.name}", samples[-1])
    return Pairs(*done)

#!/usr/bin/env python3
"""Compares image_diff with other programs that compare images.

Usage: ./bazelw run //tests/bench:image_diff -- [--diffoscope PATH] [--diffoci PATH] [--work DIR] [--output FILE]
         [--only TEXT] [--large-files N]

For every pair of image_pairs.py it runs each program, and finds in the output whether the program names the place and the
difference. It prints a table, and writes it to FILE. A program that this machine does not have is left out. It needs gcc and
ar for the files of the pairs. The outputs are in DIR, so that a reader can look at what was counted.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass

from drawn_images import Image
from image_pairs import Pair, make_large_pair, make_pairs

_LIMIT = 600  # Seconds of one run.
_TOOLS = pathlib.Path(__file__).resolve().parents[2] / "tools"
NAMED, RAW, PLACE, DIFFERS, SAME, NOT_RUN = "named", "raw", "place", "differs", "same", "-"
"""The results: place and difference are named; the difference in bytes or numbers that nobody reads; only the place is named; only
that there is a difference; the exit status 0."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of a run.

    Attributes:
      result: one of the results above.
      seconds: the processor time, which depends less than the wall clock on what else the machine does.
    """

    result: str
    seconds: float


class Images:
    """The files of a pair: layouts, archives of them, and the last layers."""

    def __init__(self, pair: Pair, directory: pathlib.Path) -> None:
        self.pair, self.directory = pair, directory
        directory.mkdir(parents=True)
        self.layouts = [
            _write_layout(image, directory / name) for name, image in (("before", pair.before), ("after", pair.after))
        ]
        self.archives = [_archive(layout) for layout in self.layouts]
        self.blobs = [_find_blob(layout, document=pair.document) for layout in self.layouts]


def _write_layout(image: Image, path: pathlib.Path) -> pathlib.Path:
    """Writes a layout whose image has a name, which diffoci needs."""
    image.write_layout(path)
    index = json.loads((path / "index.json").read_text())
    for manifest in index["manifests"]:
        name = f"registry.example/{path.name}:1"
        manifest["annotations"] = {"org.opencontainers.image.ref.name": "1", "io.containerd.image.name": name}
    (path / "index.json").write_text(json.dumps(index))
    return path


def _archive(layout: pathlib.Path) -> pathlib.Path:
    """Writes the archive of a layout, without what differs from run to run."""
    path = layout.with_suffix(".tar")
    with tarfile.open(path, "w") as archive:
        for file in sorted(layout.rglob("*")):
            info = archive.gettarinfo(str(file), str(file.relative_to(layout)))
            info.mtime = 0
            with open(file, "rb") if file.is_file() else open(os.devnull, "rb") as content:
                archive.addfile(info, content)
    return path


def _find_blob(layout: pathlib.Path, *, document: bool) -> pathlib.Path:
    """Copies the blob that a user would look at to a file with the suffix of its type: the last layer, or the config and manifest."""
    blobs = layout / "blobs/sha256"
    manifest_file = blobs / json.loads((layout / "index.json").read_text())["manifests"][0]["digest"][7:]
    manifest = json.loads(manifest_file.read_text())
    if document:
        config = json.loads((blobs / manifest["config"]["digest"][7:]).read_text())
        path = layout.parent / f"{layout.name}.json"
        path.write_text(json.dumps({"config": config, "annotations": manifest.get("annotations", {})}, indent=1))
        return path
    layer = manifest["layers"][-1]
    path = layout.parent / f"{layout.name}-layer.tar{'.gz' if layer['mediaType'].endswith('gzip') else ''}"
    shutil.copyfile(blobs / layer["digest"][7:], path)
    return path


class Program:
    """A program that compares images.

    Attributes:
      name: the heading of its column.
    """

    def __init__(self, name: str, command: list[str]) -> None:
        self.name, self._command = name, command

    def list_commands(self, images: Images) -> list[list[str]]:
        """Returns the commands that compare a pair; the last one decides."""
        return [[*self._command, *map(str, images.archives)]]

    def run(self, images: Images) -> Outcome:
        """Compares a pair."""
        start, output, status = _read_processor_time(), "", 0
        environment = {**os.environ, "LC_ALL": "C.UTF-8", "TZ": "UTC", "PYTHONPATH": str(_TOOLS)}
        for number, command in enumerate(self.list_commands(images)):
            source = images.archives[number] if command[-1] == "load" else pathlib.Path(os.devnull)
            with open(source, "rb") as file:
                try:
                    done = subprocess.run(command, stdin=file, capture_output=True, env=environment, timeout=_LIMIT)
                except subprocess.TimeoutExpired:
                    return Outcome(NOT_RUN, _LIMIT)
            output, status = done.stdout.decode("utf-8", "replace"), done.returncode
            errors = done.stderr.decode("utf-8", "replace")
        seconds = _read_processor_time() - start
        (images.directory / f"{re.sub(r'[^a-z]+', '-', self.name)}.txt").write_text(f"{output}\n{errors}\nstatus {status}\n")
        return Outcome(_judge(images.pair, output, status), seconds)


class Blobs(Program):
    """A program that gets the blobs that differ, as a user would who knows which."""

    def list_commands(self, images: Images) -> list[list[str]]:
        """Returns the command."""
        return [[*self._command, *map(str, images.blobs)]]


class Diffoci(Program):
    """diffoci, which loads both images first."""

    def list_commands(self, images: Images) -> list[list[str]]:
        """Returns the commands."""
        base = [self._command[0], "--backend", "local", "--local-cache", str(images.directory / "cache")]
        names = [f"registry.example/{layout.name}:1" for layout in images.layouts]
        return [[*base, "load"], [*base, "load"], [*base, "diff", *self._command[1:], *names]]


class DiffR(Program):
    """Unpacks both layers, and runs diff -r."""

    def list_commands(self, images: Images) -> list[list[str]]:
        """Returns the commands."""
        directories = [images.directory / f"{layout.name}-files" for layout in images.layouts]
        for directory in directories:
            directory.mkdir()
        unpack = [
            ["tar", "--xattrs", "--xattrs-include=*", "-xf", str(blob), "-C", str(directory)]
            for blob, directory in zip(images.blobs, directories, strict=True)
        ]
        return [*unpack, ["diff", "-r", *map(str, directories)]]


def _read_processor_time() -> float:
    """Returns the processor time of all programs that have ended, in seconds."""
    times = os.times()
    return times.children_user + times.children_system


def _judge(pair: Pair, output: str, status: int) -> str:
    """Returns what an output says about a pair."""
    if status == 0:
        return SAME
    # The digests that every program prints are random hexadecimal digits, and could match by chance.
    text = re.sub(r"\b[0-9a-f]{64}\b", "", output)
    if re.search(pair.where, text):
        return NAMED if re.search(pair.what, text) else RAW if re.search(pair.raw, text) else PLACE
    return DIFFERS


def _find_programs(options: argparse.Namespace) -> list[Program]:
    """Returns the programs that this machine has."""
    programs = [Program("image_diff", [sys.executable, "-m", "rules_setcap.diff", "--all"])]
    if options.diffoscope:
        command = [options.diffoscope, "--text", "-", "--no-progress"]
        programs += [Program("diffoscope", command), Blobs("diffoscope, of the blob", command)]
    if options.diffoci:
        programs += [
            Diffoci("diffoci", [options.diffoci, "--verbose"]),
            Diffoci("diffoci --semantic", [options.diffoci, "--verbose", "--semantic"]),
        ]
    if shutil.which("diff"):
        programs.append(DiffR("tar and diff -r", []))
    if shutil.which("cmp"):
        programs.append(Program("cmp", ["cmp"]))
    return programs


def _format_table(
    rows: list[tuple[str, list[Outcome]]], programs: list[Program], large: Images, times: list[Outcome], files: int
) -> list[str]:
    """Returns the lines of the table.

    Args:
      rows: for each pair its name, and the outcomes of the programs.
      programs: the programs.
      large: the large pair.
      times: its outcomes.
      files: the number of its files.
    """
    size = large.archives[0].stat().st_size
    lines = [
        "| what differs | " + " | ".join(program.name for program in programs) + " |",
        "|---|" + "---|" * len(programs),
        *(f"| {name} | " + " | ".join(outcome.result for outcome in outcomes) + " |" for name, outcomes in rows),
    ]
    sums = [sum(outcomes[at].result == NAMED for _, outcomes in rows) for at in range(len(programs))]
    lines.append(f"| **{NAMED}, of {len(rows)}** | " + " | ".join(f"**{number}**" for number in sums) + " |")
    means = [sum(outcomes[at].seconds for _, outcomes in rows) / len(rows) for at in range(len(programs))]
    lines.append("| processor seconds for one pair, on average | " + " | ".join(f"{mean:.2f}" for mean in means) + " |")
    cells = [
        f"{outcome.seconds:.1f}, {outcome.result}" if outcome.result != NOT_RUN else f"stopped after {_LIMIT}"
        for outcome in times
    ]
    lines.append(f"| processor seconds for {files:,} files, {size / 1e6:,.0f} MB: a capability | " + " | ".join(cells) + " |")
    return lines


def main() -> int:
    """Runs the comparison."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--diffoscope", default=shutil.which("diffoscope"), help="the program diffoscope")
    parser.add_argument("--diffoci", default=shutil.which("diffoci"), help="the program diffoci")
    parser.add_argument("--work", type=pathlib.Path, help="an empty directory for images and outputs, which is kept")
    parser.add_argument("--output", type=pathlib.Path, help="a file for the table")
    parser.add_argument("--only", help="a part of the names of pairs")
    parser.add_argument("--large-files", type=int, default=20_000, help="the number of files of the large pair")
    options = parser.parse_args()
    os.chdir(os.environ.get("BUILD_WORKING_DIRECTORY", "."))
    with tempfile.TemporaryDirectory(prefix="image_diff-bench-") as temporary:
        work = pathlib.Path(options.work or temporary).resolve()
        work.mkdir(parents=True, exist_ok=True)
        programs = _find_programs(options)
        rows = []
        pairs = [pair for pair in make_pairs(work) if not options.only or options.only in pair.name]
        for number, pair in enumerate(pairs, 1):
            images = Images(pair, work / f"pair{number}")
            outcomes = [program.run(images) for program in programs]
            rows.append((pair.name, outcomes))
            print(f"{number}/{len(pairs)} {pair.name}: {', '.join(outcome.result for outcome in outcomes)}", file=sys.stderr)
        images = Images(make_large_pair(options.large_files), work / "large")
        times = [program.run(images) for program in programs]
        lines = [
            *_format_table(rows, programs, images, times, options.large_files),
            "",
            f"{datetime.date.today()}, {os.cpu_count()} cores, {platform.release()}.",
        ]
    text = "\n".join(lines) + "\n"
    print(text, end="")
    if options.output:
        options.output.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Measures what the images of many services cost in Bazel, by these rules and by others.

Usage: ./bazelw run //tests/bench:monorepo -- [--count N] [--rounds R] [--output DIR] [--rulesets DIR]

It writes a workspace with N services (monorepo_files.py) and the images of all of them by each contender (services/*.bzl). In
each round, every contender does the same with a Bazel that has no disk cache. The table has the medians of the rounds, and
the median of the ratios within a round. With --rulesets it also measures rules_img and rules_oci; docs/benchmarks.md says how.
"""

from __future__ import annotations

import argparse
import datetime
import os
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence

import page
import report
import results
from monorepo_files import Monorepo

from support.bazel import Workspace

_RULES_PKG = pathlib.Path("/usr/share/bazel/rules/pkg")
_TIMEOUT = 3600  # Seconds.
_REPETITIONS = 3  # Of what takes about a second.


def _find_contenders(workspace: Workspace, rulesets: pathlib.Path | None) -> list[str]:
    """Adds the modules of the contenders to the workspace, and returns the names of the contenders, ours first.

    Args:
      workspace: the workspace.
      rulesets: a directory with a folder for each module, and with lines for MODULE.bazel (module) and .bazelrc (bazelrc) if
        they need any.
    """
    names, module = ["rules_setcap", "genrules", "rules_pkg"], 'bazel_dep(name = "rules_pkg", version = "0.9.1")\n'
    if _RULES_PKG.exists():
        module += f'local_path_override(module_name = "rules_pkg", path = "{_RULES_PKG}")\n'
    flags = ""
    if rulesets:
        folders = sorted(path.parent for path in rulesets.glob("*/MODULE.bazel"))
        names += [folder.name for folder in folders if folder.name in ("rules_img", "rules_oci")]
        module += "".join(f'bazel_dep(name = "{name}", version = "")\n' for name in names[3:])
        flags = "".join(f"common --override_module={folder.name}={folder}\n" for folder in folders)
        for name in ("module", "bazelrc"):
            text = (rulesets / name).read_text() if (rulesets / name).exists() else ""
            module, flags = (module + text, flags) if name == "module" else (module, flags + text)
    workspace.write("MODULE.bazel", (workspace.directory / "MODULE.bazel").read_text() + module)
    workspace.write(".bazelrc", flags)
    return names


class Round:
    """One round: each method measures one contender.

    Attributes:
      values: seconds, or bytes of the heap for an image, by measurement and contender.
    """

    def __init__(self, workspace: Workspace, monorepo: Monorepo, number: int) -> None:
        """Removes everything that was built, and measures the heap without a contender.

        Args:
          workspace: the workspace.
          monorepo: its services.
          number: the number of the round.
        """
        self.values: dict[str, dict[str, float]] = {name: {} for name in results.MONOREPO_ROWS}
        self._workspace, self._monorepo, self._number = workspace, monorepo, number
        self._build("clean")
        self._build("build", "//services/...")
        self._build("shutdown")
        self._build("build", "--nobuild", "//services/...")
        self._heap = self._measure_heap()

    def measure_contender(self, name: str) -> None:
        """Measures everything for one contender, and adds it to `values`."""
        images = f"//{name}/..."
        self._build("shutdown")
        self._add("analysis, cold server", name, self._time("build", "--nobuild", images))
        self._add("heap for an image", name, (self._measure_heap() - self._heap) / self._monorepo.count)
        self._build("shutdown")
        self._build("build", "//services/...")
        self._add("cold build", name, self._time("build", images))
        self._add("nothing changed", name, self._repeat("build", images))
        changes = []
        for repetition in range(_REPETITIONS):
            # The same services for each contender, and each time another shape.
            service = (self._number * _REPETITIONS + repetition) * 7 % self._monorepo.count
            self._monorepo.change_program(service, f"{self._number} {repetition} {name}\n")
            changes.append(self._time("build", images))
        self._add("one program changed", name, statistics.median(changes))
        analyses = [self._time("build", "--nobuild", f"--define=round={self._number}.{n}", images) for n in range(_REPETITIONS)]
        self._add("analysis, packages loaded", name, statistics.median(analyses))

    def _add(self, row: str, name: str, value: float) -> None:
        self.values[row][name] = value
        text = f"{value / 1000:.1f} kB" if row.startswith("heap") else f"{value:.2f} s"
        print(f"  {name}: {row}: {text}", file=sys.stderr, flush=True)

    def _build(self, command: str, *arguments: str) -> str:
        return self._workspace.run(command, *arguments, timeout=_TIMEOUT).stdout

    def _time(self, *arguments: str) -> float:
        """Runs Bazel, and returns the seconds that it took."""
        start = time.monotonic()
        self._build(*arguments)
        return time.monotonic() - start

    def _repeat(self, *arguments: str) -> float:
        return statistics.median(self._time(*arguments) for _ in range(_REPETITIONS))

    def _measure_heap(self) -> int:
        """Returns the bytes of the heap of Bazel after a garbage collection."""
        return int(self._build("info", "used-heap-size-after-gc").strip().removesuffix("MB")) * 1_000_000


def main(arguments: Sequence[str]) -> int:
    """Measures all contenders, and prints and writes the results; returns the exit code."""
    parser = argparse.ArgumentParser(prog="monorepo", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=1000, metavar="N", help="the number of services; the default is 1000")
    parser.add_argument("--rounds", type=int, default=3, metavar="R", help="the number of rounds; the default is 3")
    parser.add_argument("--output", type=pathlib.Path, metavar="DIR", help="update benchmarks.md, .json and .svg there")
    parser.add_argument("--rulesets", type=pathlib.Path, metavar="DIR", help="a folder for each module of further contenders")
    options = parser.parse_args(arguments)
    started = pathlib.Path(os.environ.get("BUILD_WORKING_DIRECTORY", "."))
    rounds: list[dict[str, dict[str, float]]] = []
    with tempfile.TemporaryDirectory(prefix="monorepo.", ignore_cleanup_errors=True) as directory:
        workspace = Workspace(pathlib.Path(directory))
        try:
            names = _find_contenders(workspace, (started / options.rulesets).resolve() if options.rulesets else None)
            monorepo = Monorepo(workspace, options.count)
            for name in names:
                monorepo.write_contender(name)
            for number in range(1, options.rounds + 1):
                print(f"round {number} of {options.rounds}, {options.count} services", file=sys.stderr, flush=True)
                measurement = Round(workspace, monorepo, number)
                for name in names:
                    measurement.measure_contender(name)
                rounds.append(measurement.values)
        finally:
            workspace.stop()
    values = {row: {name: [round_[row][name] for round_ in rounds] for name in names} for row in results.MONOREPO_ROWS}
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    measured = results.Monorepo(date, results.describe_machine(), options.count, values)
    print("\n".join(report.write_monorepo(measured)))
    if options.output:
        page.update_page(started / options.output, monorepo=measured)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

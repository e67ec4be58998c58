"""Runs random docker and podman command lines, and compares what their processes have with `getcap explain`.

Usage: random_commands.py ENGINE COUNT [SEED]
"""

from __future__ import annotations

import concurrent.futures
import random
import sys
from dataclasses import replace

import comparison
import fixes
import samples
import settings
from support import commands, machine

_IMAGES = 16
_ENGINES = {"docker": commands.docker, "podman": commands.podman_client}


def compare(engine: str, count: int, seed: int) -> list[str]:
    """Compares random command lines.

    Args:
      engine: "docker" or "podman".
      count: how many.
      seed: of the source of chance.

    Returns:
      The differences, each with the command line.
    """
    draw = random.Random(seed)
    with machine.directory() as state:
        layouts = {f"image{number}:1": samples.draw_image(draw, state / f"image{number}") for number in range(_IMAGES)}
        (state / "engine").mkdir()
        drawn = [(image, settings.command_line(draw, engine, image)) for image in draw.choices(list(layouts), k=count)]
        cases = [fixes.Case(layouts[image], line) for image, line in drawn]
        with _ENGINES[engine](state / "engine") as client:
            client.load({f"docker.io/library/{image}": layout for image, layout in layouts.items()})
            found, reports = _run(client, cases)
            fixed = []
            for number, (case, report) in enumerate(zip(cases, reports)):
                if report.found.get("fix"):
                    changed = fixes.apply(case, report.found["fix"], state / f"fixed{number}")
                    if isinstance(changed, str):
                        found.append(f"{case.line}\n  unknown fix: {changed}")
                        continue
                    if changed.image != case.image:
                        changed = replace(changed, line=changed.line.replace(_name(case), f"fixed{number}:1", 1))
                        client.load({f"docker.io/library/fixed{number}:1": changed.image})
                    fixed.append((case, report, changed))
            again, reports = _run(client, [changed for _, _, changed in fixed])
            found += [f"after the fix: {text}" for text in again]
            for (case, before, changed), report in zip(fixed, reports):
                if report.status:
                    found.append(f"{case.line}\n  {samples.describe(case.image)}\n  fix {before.found['fix']}: {report.found.get('verdict')} {report.problems}")
        print(f"{len(cases)} command lines, {len(fixed)} fixes")
        return found


def _name(case: fixes.Case) -> str:
    return case.image.name + ":1"


def _run(client: commands.Client, cases: list[fixes.Case]) -> tuple[list[str], list[comparison.Report]]:
    """Runs command lines; returns how they differ from their reports, and the reports."""
    with concurrent.futures.ThreadPoolExecutor(3) as executor:
        outcomes = list(executor.map(lambda case: client.run_line(case.line), cases))
    reports = [comparison.explain(case.image, "--docker-run", case.line) for case in cases]
    found = []
    for case, report, outcome in zip(cases, reports, outcomes):
        if different := comparison.difference(report, outcome):
            found.append(f"{case.line}\n  {samples.describe(case.image)}\n  {different}\n  {report.problems}")
    return found, reports


if __name__ == "__main__":
    chosen = int(sys.argv[3]) if len(sys.argv) > 3 else random.SystemRandom().randrange(1 << 32)
    print(f"seed {chosen}", flush=True)
    differing = compare(sys.argv[1], int(sys.argv[2]), chosen)
    print("\n".join([*differing, f"{sys.argv[1]}: {sys.argv[2]} command lines, {len(differing)} differ"]))
    sys.exit(bool(differing))

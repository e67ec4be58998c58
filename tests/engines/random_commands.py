"""Runs random docker and podman command lines, and compares what their processes have with `getcap explain`.

Usage: random_commands.py ENGINE COUNT [SEED]
"""

from __future__ import annotations

import concurrent.futures
import json
import pathlib
import random
import sys
from dataclasses import replace

import comparison
import fixes
import samples
import settings

from support import commands, machine

_IMAGES = 16
ENGINES = {"docker": commands.docker, "podman": commands.podman_client}
"""Starts an engine, with an empty directory for its state, by name."""


def draw(client: commands.Client, count: int, seed: int, state: pathlib.Path) -> list[fixes.Case]:
    """Draws command lines, and loads their images.

    Args:
      client: of the engine.
      count: how many.
      seed: of the source of chance.
      state: an empty directory for images.
    """
    chance = random.Random(seed)
    layouts = {f"image{number}:1": samples.draw_image(chance, state / f"image{number}") for number in range(_IMAGES)}
    client.load({f"docker.io/library/{image}": layout for image, layout in layouts.items()})
    drawn = chance.choices(list(layouts), k=count)
    return [fixes.Case(layouts[image], settings.command_line(chance, client.name, image)) for image in drawn]


def run(client: commands.Client, cases: list[fixes.Case]) -> tuple[list[str], list[comparison.Report]]:
    """Runs command lines; returns how they differ from what `getcap explain` says, and what it says.

    Args:
      client: of the engine. It has the images, each as NAME:1 where NAME is that of its layout.
      cases: the command lines.
    """
    with concurrent.futures.ThreadPoolExecutor(3) as executor:
        outcomes = list(executor.map(lambda case: client.run_line(case.line), cases))
    reports = [comparison.explain(case.image, "--docker-run", case.line) for case in cases]
    problems = []
    for case, report, outcome in zip(cases, reports, outcomes):
        if different := comparison.difference(report, outcome):
            problems.append(f"{case.line}\n  {samples.describe(case.image)}\n  {different}\n  {report.errors}")
    return problems, reports


def run_services(client: commands.Client, count: int, seed: int, state: pathlib.Path) -> list[str]:
    """Draws Compose services, and runs the command lines that they stand for; returns how `getcap explain` differs.

    Args:
      client: of Docker.
      count: how many.
      seed: of the source of chance.
      state: an empty directory for images and Compose files.
    """
    chance = random.Random(seed)
    layouts = {f"service{number}:1": samples.draw_image(chance, state / f"service{number}") for number in range(_IMAGES)}
    client.load({f"docker.io/library/{image}": layout for image, layout in layouts.items()})
    drawn = [(image, *settings.service(chance, image)) for image in chance.choices(list(layouts), k=count)]
    with concurrent.futures.ThreadPoolExecutor(3) as executor:
        outcomes = list(executor.map(lambda each: client.run_line(each[2]), drawn))
    problems = []
    file = state / "compose.yaml"
    for (image, service, line), outcome in zip(drawn, outcomes):
        file.write_text(json.dumps({"services": {"app": service}}))
        report = comparison.explain(layouts[image], "--compose", str(file), "--service", "app")
        if different := comparison.difference(report, outcome):
            problems.append(f"{service}\n  {line}\n  {samples.describe(layouts[image])}\n  {different}\n  {report.errors}")
    return problems


def run_fixed(client: commands.Client, cases: list[fixes.Case], reports: list[comparison.Report], state: pathlib.Path) -> list[str]:
    """Applies the fixes that were printed, and runs the command lines again; returns what is wrong with them.

    Args:
      client: of the engine.
      cases: the command lines.
      reports: what `getcap explain` says of them.
      state: a directory for changed images.
    """
    problems, fixed = [], []
    for number, (case, report) in enumerate(zip(cases, reports)):
        if not report.content.get("fix"):
            continue
        changed = fixes.apply(case, report.content["fix"], state / f"fixed{number}")
        if isinstance(changed, str):
            problems.append(f"{case.line}\n  unknown fix: {changed}")
            continue
        if changed.image != case.image:
            changed = replace(changed, line=changed.line.replace(case.image.name + ":1", f"{changed.image.name}:1", 1))
            client.load({f"docker.io/library/{changed.image.name}:1": changed.image})
        fixed.append((case, report, changed))
    again, reports = run(client, [changed for _, _, changed in fixed])
    problems += again
    for (case, before, _), report in zip(fixed, reports):
        if report.status:
            text = f"fix {before.content['fix']}: {report.content.get('verdict')} {report.errors}"
            problems.append(f"{case.line}\n  {samples.describe(case.image)}\n  {text}")
    print(f"{len(fixed)} fixes")
    return problems


if __name__ == "__main__":
    chosen = int(sys.argv[3]) if len(sys.argv) > 3 else random.SystemRandom().randrange(1 << 32)
    print(f"seed {chosen}", flush=True)
    with machine.directory() as directory:
        (directory / "engine").mkdir()
        with ENGINES[sys.argv[1]](directory / "engine") as started:
            drawn_cases = draw(started, int(sys.argv[2]), chosen, directory)
            differing, said = run(started, drawn_cases)
            wrong = run_fixed(started, drawn_cases, said, directory)
    print("\n".join([*differing, "FIXES", *wrong]))
    print(f"{sys.argv[1]}: {sys.argv[2]} command lines, {len(differing)} differ, {len(wrong)} fixes are wrong")
    sys.exit(bool(differing or wrong))

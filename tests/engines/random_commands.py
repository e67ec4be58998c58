"""Runs random docker and podman command lines, and compares the credentials of their processes with `getcap explain`.

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
import random_settings
import samples

from support import commands, machine

_IMAGES = 16
ENGINES = {"docker": commands.docker, "podman": commands.podman_client}
"""The functions that start an engine, by its name; each takes an empty directory for the engine's state."""


def draw_cases(client: commands.Client, count: int, seed: int, state: pathlib.Path) -> list[fixes.RunCase]:
    """Draws command lines, and loads their images into an engine.

    Args:
      client: the client of the engine.
      count: the number of command lines.
      seed: the seed of the source of chance.
      state: an empty directory for images.
    """
    chance = random.Random(seed)
    layouts = {f"image{number}:1": samples.draw_image(chance, state / f"image{number}") for number in range(_IMAGES)}
    client.load({f"docker.io/library/{image}": layout for image, layout in layouts.items()})
    drawn = chance.choices(list(layouts), k=count)
    return [fixes.RunCase(layouts[image], random_settings.draw_command_line(chance, client.name, image)) for image in drawn]


def run_cases(client: commands.Client, cases: list[fixes.RunCase]) -> tuple[list[str], list[comparison.Report]]:
    """Runs command lines; returns their differences from the reports of `getcap explain`, and the reports.

    Args:
      client: the client of an engine that has the images, each as NAME:1 where NAME is the name of its layout.
      cases: the command lines.
    """
    with concurrent.futures.ThreadPoolExecutor(3) as executor:
        outcomes = list(executor.map(lambda case: client.run_line(case.line), cases))
    reports = [comparison.run_explain(case.image, "--docker-run", case.line) for case in cases]
    problems = []
    for case, report, outcome in zip(cases, reports, outcomes, strict=True):
        if difference := comparison.find_difference(report, outcome):
            problems.append(f"{case.line}\n  {samples.describe_image(case.image)}\n  {difference}\n  {report.errors}")
    return problems, reports


def run_services(client: commands.Client, count: int, seed: int, state: pathlib.Path) -> list[str]:
    """Draws Compose services, and runs command lines that make the same containers; returns their differences from the reports.

    Args:
      client: the client of Docker.
      count: the number of services.
      seed: the seed of the source of chance.
      state: an empty directory for images and Compose files.
    """
    chance = random.Random(seed)
    layouts = {f"service{number}:1": samples.draw_image(chance, state / f"service{number}") for number in range(_IMAGES)}
    client.load({f"docker.io/library/{image}": layout for image, layout in layouts.items()})
    drawn = [(image, *random_settings.draw_service(chance, image)) for image in chance.choices(list(layouts), k=count)]
    with concurrent.futures.ThreadPoolExecutor(3) as executor:
        outcomes = list(executor.map(lambda service: client.run_line(service[2]), drawn))
    problems = []
    file = state / "compose.yaml"
    for (image, service, line), outcome in zip(drawn, outcomes, strict=True):
        file.write_text(json.dumps({"services": {"app": service}}))
        report = comparison.run_explain(layouts[image], "--compose", str(file), "--service", "app")
        if difference := comparison.find_difference(report, outcome):
            problems.append(f"{service}\n  {line}\n  {samples.describe_image(layouts[image])}\n  {difference}\n  {report.errors}")
    return problems


def run_fixed_cases(
    client: commands.Client, cases: list[fixes.RunCase], reports: list[comparison.Report], state: pathlib.Path
) -> list[str]:
    """Applies the fixes of the reports, and runs the command lines again; returns the fixes that do not help.

    Args:
      client: the client of the engine.
      cases: the command lines.
      reports: their reports.
      state: a directory for changed images.
    """
    problems, fixed = [], []
    for number, (case, report) in enumerate(zip(cases, reports, strict=True)):
        if not report.content.get("fix"):
            continue
        changed = fixes.apply_fixes(case, report.content["fix"], state / f"fixed{number}")
        if isinstance(changed, str):
            problems.append(f"{case.line}\n  unknown fix: {changed}")
            continue
        if changed.image != case.image:
            changed = replace(changed, line=changed.line.replace(case.image.name + ":1", f"{changed.image.name}:1", 1))
            client.load({f"docker.io/library/{changed.image.name}:1": changed.image})
        fixed.append((case, report, changed))
    again, reports = run_cases(client, [changed for _, _, changed in fixed])
    problems += again
    for (case, before, _), report in zip(fixed, reports, strict=True):
        if report.status:
            text = f"fix {before.content['fix']}: {report.content.get('verdict')} {report.errors}"
            problems.append(f"{case.line}\n  {samples.describe_image(case.image)}\n  {text}")
    print(f"{len(fixed)} fixes")
    return problems


if __name__ == "__main__":
    chosen = int(sys.argv[3]) if len(sys.argv) > 3 else random.SystemRandom().randrange(1 << 32)
    print(f"seed {chosen}", flush=True)
    with machine.directory() as directory:
        (directory / "engine").mkdir()
        with ENGINES[sys.argv[1]](directory / "engine") as started:
            drawn_cases = draw_cases(started, int(sys.argv[2]), chosen, directory)
            differences, first_reports = run_cases(started, drawn_cases)
            wrong = run_fixed_cases(started, drawn_cases, first_reports, directory)
    print("\n".join([*differences, "FIXES", *wrong]))
    print(f"{sys.argv[1]}: {sys.argv[2]} command lines, {len(differences)} differ, {len(wrong)} fixes are wrong")
    sys.exit(bool(differences or wrong))

"""Runs random pods with a kubelet, and compares the credentials of their processes with `getcap explain`.

Usage: random_pods.py COUNT [SEED]
"""

from __future__ import annotations

import json
import pathlib
import random
import sys
from collections.abc import Sequence
from typing import Any

import comparison
import fixes
import random_settings
import samples

from support import kubelet as kubelets
from support import machine

Explained = tuple[fixes.RunCase, comparison.Report]
"""A container, and its report."""

_IMAGES = 16
_CONTAINERS = 5
"""The number of containers of a pod."""
_BATCH = 24
"""The number of pods that run at once."""


def draw_pods(count: int, seed: int, state: pathlib.Path) -> tuple[list[dict[str, Any]], dict[str, pathlib.Path]]:
    """Draws pods; returns them, and the layouts of their images by name.

    Args:
      count: the number of containers.
      seed: the seed of the source of chance.
      state: an empty directory for images.
    """
    chance = random.Random(seed)
    layouts = {
        f"docker.io/library/image{number}:1": samples.draw_image(chance, state / f"image{number}") for number in range(_IMAGES)
    }
    pods = [
        random_settings.draw_pod(chance, f"pod{number}", list(layouts), _CONTAINERS) for number in range(-(-count // _CONTAINERS))
    ]
    return pods, layouts


def run_pods(
    kubelet: kubelets.Kubelet, pods: Sequence[dict[str, Any]], layouts: dict[str, pathlib.Path], state: pathlib.Path
) -> tuple[list[str], list[Explained]]:
    """Runs pods; returns their differences from the reports of `getcap explain`, and the containers that have a report.

    Args:
      kubelet: a kubelet that has the images.
      pods: pods of any number of containers.
      layouts: the layouts of their images by name.
      state: a directory for manifests.
    """
    problems: list[str] = []
    reported: list[Explained] = []
    for start in range(0, len(pods), _BATCH):
        batch = {str(pod["metadata"]["name"]): pod for pod in pods[start : start + _BATCH]}
        outcomes = kubelet.run(batch)
        for name, pod in batch.items():
            file = state / f"{name}.json"
            file.write_text(json.dumps(pod))
            for container in pod["spec"]["containers"]:
                layout = layouts[container["image"]]
                report = comparison.run_explain(layout, "--kubernetes", str(file), "--container", container["name"])
                outcome = outcomes[name].get(container["name"]) or outcomes[name][""]
                alone = {**pod, "metadata": dict(pod["metadata"]), "spec": {**pod["spec"], "containers": [container]}}
                if difference := comparison.find_difference(report, outcome):
                    problems.append(
                        f"{json.dumps(alone['spec'])}\n  {samples.describe_image(layout)}\n  {difference}\n  {report.errors}"
                    )
                elif report.content:
                    reported.append((fixes.RunCase(layout, pod=alone), report))
    return problems, reported


def run_fixed_pods(kubelet: kubelets.Kubelet, explained: Sequence[Explained], state: pathlib.Path) -> list[str]:
    """Applies the fixes of the reports, and runs the containers again; returns the fixes that do not help.

    Args:
      kubelet: a kubelet that has the images.
      explained: the containers and their reports.
      state: a directory for manifests and changed images.
    """
    problems: list[str] = []
    pods, layouts, changed_layouts, before = [], {}, {}, {}
    for number, (case, report) in enumerate(explained):
        if not report.content.get("fix"):
            continue
        changed = fixes.apply_fixes(case, report.content["fix"], state / f"fixed{number}")
        if isinstance(changed, str):
            problems.append(f"unknown fix: {changed}")
            continue
        assert changed.pod
        changed.pod["metadata"]["name"] = name = f"fixed{number}"
        container = changed.pod["spec"]["containers"][0]
        if changed.image != case.image:
            container["image"] = f"docker.io/library/{changed.image.name}:1"
            changed_layouts[container["image"]] = changed.image
        layouts[container["image"]] = changed.image
        pods.append(changed.pod)
        before[name] = report
    if changed_layouts:
        kubelet.load(changed_layouts)
    again, reported = run_pods(kubelet, pods, layouts, state)
    problems += again
    for case, report in reported:
        assert case.pod
        if report.status:
            text = f"fix {before[case.pod['metadata']['name']].content['fix']}: {report.content.get('verdict')} {report.errors}"
            problems.append(f"{json.dumps(case.pod['spec'])}\n  {samples.describe_image(case.image)}\n  {text}")
    print(f"{len(pods)} fixes")
    return problems


if __name__ == "__main__":
    chosen = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(1 << 32)
    print(f"seed {chosen}", flush=True)
    with machine.directory() as directory:
        drawn, images = draw_pods(int(sys.argv[1]), chosen, directory)
        (directory / "kubelet").mkdir()
        with kubelets.kubelet(directory / "kubelet", samples.make_pause_image(directory / "pause")) as started:
            started.load(images)
            differences, reported_containers = run_pods(started, drawn, images, directory)
            wrong = run_fixed_pods(started, reported_containers, directory)
    print("\n".join([*differences, "FIXES", *wrong]))
    print(f"{sys.argv[1]} containers of pods, {len(differences)} differ, {len(wrong)} fixes are wrong")
    sys.exit(bool(differences or wrong))

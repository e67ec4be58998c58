"""Runs random pods with a kubelet, and compares what their processes have with `getcap explain`.

Usage: random_pods.py COUNT [SEED]
"""

from __future__ import annotations

import json
import pathlib
import random
import sys
from collections.abc import Sequence

import comparison
import fixes
import samples
import settings
from support import kubelet as kubelets
from support import machine

_IMAGES = 16
_CONTAINERS = 5  # Of a pod.
_BATCH = 24  # Pods at once.


def compare(count: int, seed: int) -> list[str]:
    """Compares random pods, and those that fixes make of them.

    Args:
      count: how many containers.
      seed: of the source of chance.

    Returns:
      The differences, each with the pod.
    """
    draw = random.Random(seed)
    with machine.directory() as state:
        layouts = {f"docker.io/library/image{number}:1": samples.draw_image(draw, state / f"image{number}") for number in range(_IMAGES)}
        pods = [settings.pod(draw, f"pod{number}", list(layouts), _CONTAINERS) for number in range(-(-count // _CONTAINERS))]
        (state / "kubelet").mkdir()
        with kubelets.kubelet(state / "kubelet", samples.pause(state / "pause")) as kubelet:
            kubelet.load(layouts)
            return run(kubelet, pods, layouts, state)


def run(kubelet: kubelets.Kubelet, pods: Sequence[dict[str, object]], layouts: dict[str, pathlib.Path], state: pathlib.Path) -> list[str]:
    """Runs pods, and those that fixes make of them; returns the differences.

    Args:
      kubelet: it has the images.
      pods: pods of any number of containers.
      layouts: their images, by name.
      state: where changed images are made.
    """
    found, reported = _run(kubelet, pods, layouts, state)
    changed_pods, changed_layouts, before = [], {}, {}
    for number, (case, report) in enumerate(reported):
        if not report.found.get("fix"):
            continue
        changed = fixes.apply(case, report.found["fix"], state / f"fixed{number}")
        if isinstance(changed, str):
            found.append(f"unknown fix: {changed}")
            continue
        assert changed.pod
        changed.pod["metadata"]["name"] = f"fixed{number}"
        container = changed.pod["spec"]["containers"][0]
        if changed.image != case.image:
            container["image"] = f"docker.io/library/fixed{number}:1"
        changed_layouts[container["image"]] = changed.image
        changed_pods.append(changed.pod)
        before[f"fixed{number}"] = report
    if new := {name: layout for name, layout in changed_layouts.items() if name not in layouts}:
        kubelet.load(new)
    again, reported = _run(kubelet, changed_pods, changed_layouts, state)
    found += [f"after the fix: {text}" for text in again]
    for case, report in reported:
        assert case.pod
        if report.status:
            fix = before[case.pod["metadata"]["name"]].found["fix"]
            found.append(f"{json.dumps(case.pod['spec'])}\n  {samples.describe(case.image)}\n  fix {fix}: {report.found.get('verdict')} {report.problems}")
    print(f"{sum(len(pod['spec']['containers']) for pod in pods)} containers, {len(changed_pods)} fixes")
    return found


def _run(kubelet: kubelets.Kubelet, pods: Sequence[dict], layouts: dict[str, pathlib.Path], state: pathlib.Path) -> tuple[list[str], list[tuple[fixes.Case, comparison.Report]]]:
    """Runs pods; returns how they differ from their reports, and for each container that could be explained its report."""
    found: list[str] = []
    reported: list[tuple[fixes.Case, comparison.Report]] = []
    for start in range(0, len(pods), _BATCH):
        batch = {str(pod["metadata"]["name"]): pod for pod in pods[start : start + _BATCH]}
        outcomes = kubelet.run(batch)
        for name, pod in batch.items():
            file = state / f"{name}.json"
            file.write_text(json.dumps(pod))
            for container in pod["spec"]["containers"]:
                layout = layouts[container["image"]]
                report = comparison.explain(layout, "--kubernetes", str(file), "--container", container["name"])
                outcome = outcomes[name].get(container["name"]) or outcomes[name][""]
                alone = {**pod, "metadata": dict(pod["metadata"]), "spec": {**pod["spec"], "containers": [container]}}
                if different := comparison.difference(report, outcome):
                    found.append(f"{json.dumps(alone['spec'])}\n  {samples.describe(layout)}\n  {different}\n  {report.problems}")
                elif report.found:
                    reported.append((fixes.Case(layout, pod=alone), report))
    return found, reported


if __name__ == "__main__":
    chosen = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(1 << 32)
    print(f"seed {chosen}", flush=True)
    differing = compare(int(sys.argv[1]), chosen)
    print("\n".join([*differing, f"{sys.argv[1]} containers of pods, {len(differing)} differ"]))
    sys.exit(bool(differing))

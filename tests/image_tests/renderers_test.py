"""The real Helm and Kustomize render the digests that the output groups of kubernetes_manifests have for them."""

from __future__ import annotations

import json
import pathlib
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from support import go_modules, require

HERE = pathlib.Path("tests/image_tests").absolute()
KUSTOMIZE = [["kustomize", "build"], ["kubectl", "kustomize"]]
# Kustomize replaces all images but that of the ephemeral container.
POD = """\
apiVersion: v1
kind: Pod
metadata: {name: pod}
spec:
  containers: [{name: a, image: "registry.example/web@sha256:DIGEST"}]
  initContainers: [{name: b, image: registry.example/web}]
  ephemeralContainers: [{name: c, image: registry.example/web}]
  volumes: [{name: d, image: {reference: registry.example/web}}]
"""


def _read_resolved() -> dict[str, Any]:
    """Returns the object that kubernetes_manifests wrote."""
    return yaml.safe_load((HERE / "resolved/manifests/right.yaml").read_text())


def _find_image(deployment: dict[str, Any]) -> str:
    return deployment["spec"]["template"]["spec"]["containers"][0]["image"]


def _run(command: list[str], home: pathlib.Path) -> list[Any]:
    """Runs a program, and returns the documents that it prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"HOME": str(home)})
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


@pytest.mark.parametrize("name, count", [("resolved", 1), ("values_at_paths", 2)])
def test_helm_renders_the_digests(tmp_path: pathlib.Path, name: str, count: int):
    """By default the values are by the key of images; with paths they are where the chart reads its own."""
    helm = go_modules.build_program("helm", HERE / "helm", "helm.sh/helm/v3/cmd/helm")
    command = [str(helm), "template", "web", str(HERE / "chart")]
    (pod,) = _run(command, tmp_path)
    assert [container["image"] for container in pod["spec"]["containers"]] == ["registry.example/web:1"]
    (pod,) = _run([*command, "--values", str(HERE / f"{name}.values.yaml")], tmp_path)
    assert [container["image"] for container in pod["spec"]["containers"]] == [_find_image(_read_resolved())] * count
    assert pod["spec"]["containers"][0]["imagePullPolicy"] == "IfNotPresent"


@pytest.mark.parametrize("command", KUSTOMIZE, ids=" ".join)
def test_kustomize_builds_what_the_rule_writes(tmp_path: pathlib.Path, command: list[str]):
    """Kustomize reads no links that leave a directory, so the files of the runfiles are copied."""
    resolved = _read_resolved()
    digest = _find_image(resolved).partition("@sha256:")[2]
    (tmp_path / "base").mkdir()
    shutil.copy(HERE / "manifests/right.yaml", tmp_path / "base/right.yaml")
    (tmp_path / "base/pod.yaml").write_text(POD.replace("DIGEST", "0" * 64))
    (tmp_path / "component").mkdir()
    shutil.copy(HERE / "resolved.kustomize/kustomization.yaml", tmp_path / "component/kustomization.yaml")
    kustomization = {"resources": ["right.yaml", "pod.yaml"], "components": ["../component"]}
    (tmp_path / "base/kustomization.yaml").write_text(json.dumps(kustomization))
    built = _run([require.tool(command[0]), *command[1:], str(tmp_path / "base")], tmp_path)
    pod = yaml.safe_load(POD.replace("DIGEST", digest).replace("registry.example/web@", "registry.example/team/web@"))
    pod["spec"]["initContainers"][0]["image"] = pod["spec"]["volumes"][0]["image"]["reference"] = _find_image(resolved)
    assert {each["kind"]: each for each in built} == {"Deployment": resolved, "Pod": pod}

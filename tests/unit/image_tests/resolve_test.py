"""The action of kubernetes_manifests writes all files, or none and reports all problems."""

from __future__ import annotations

import json
import pathlib

import pytest

from rules_setcap.image_tests import resolve

POD = "{apiVersion: v1, kind: Pod, metadata: {name: x}, spec: {containers: [{name: x, image: registry.example/app}]}}\n"
DIGEST = "sha256:" + "1" * 64
OUTPUTS = ("joined", "helm", "kustomize")


def _run(directory: pathlib.Path, *flags: str, manifest: str = POD) -> int:
    (directory / "pod.yaml").write_text(manifest)
    (directory / "descriptor.json").write_text(json.dumps({"digest": DIGEST}))
    arguments = [
        "--target=//:deploy",
        '--image=[0, "registry.example/app", "//:image"]',
        f"--descriptor=0={directory}/descriptor.json",
        f"--manifest={directory}/pod.yaml",
        f"--output={directory}/out.yaml",
        *(f"--{name}={directory}/{name}" for name in OUTPUTS),
    ]
    return resolve.main([*arguments, "--runtime=containerd", *flags])


def test_all_files_are_written(tmp_path: pathlib.Path):
    assert _run(tmp_path) == 0
    resolved = POD.replace("registry.example/app", f"registry.example/app@{DIGEST}")
    assert (tmp_path / "out.yaml").read_text() == resolved
    assert (tmp_path / "joined").read_text() == "---\n" + resolved
    for name in ("helm", "kustomize"):
        assert DIGEST in (tmp_path / name).read_text()


def test_problems_are_reported_at_once_and_nothing_is_written(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]):
    report = tmp_path / "report.txt"
    report.write_text("//:deploy: pod.yaml:1: a finding\n//:deploy: pod.yaml:1: a finding\n")
    flags = ["--problem=images: one of the rule", '--helm-values={"x": []}', "--runtime=dockr", f"--report=0={report}"]
    assert _run(tmp_path, *flags, manifest=POD.replace("kind: Pod", "kind: Pud")) == 1
    lines = capsys.readouterr().err.replace(f"{tmp_path}/", "").splitlines()
    assert [line.removeprefix("//:deploy: ").partition(": ")[0] for line in lines] == [
        "images",
        "runtime",
        "pod.yaml:1",
        "helm_values",
        "pod.yaml:1",
    ]
    assert lines[-1] == "//:deploy: pod.yaml:1: a finding"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["descriptor.json", "pod.yaml", "report.txt"]


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]):
    assert _run(tmp_path, f"--manifest={tmp_path}/missing.yaml") == 1
    assert capsys.readouterr().err == f"//:deploy: {tmp_path}/missing.yaml: No such file or directory\n"

"""The benchmarks that run Bazel work, with few targets, and measure every contender. No number counts."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess


def _run(program: str, *arguments: str) -> str:
    """Runs a benchmark, and returns what it prints to stdout."""
    done = subprocess.run([os.environ[program], *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_layers_are_measured_in_each_strategy() -> None:
    rows = [line for line in _run("IN_BAZEL", "--count", "3", "--rounds", "1").splitlines() if line.startswith("| ")]
    assert len(rows) == 2 * 5
    for row in rows[1:5] + rows[6:]:
        assert re.fullmatch(r"\| [^|]+ \| \d+\.\d\d s \| \d+\.\d\d × \| [+-]\d+\.\d ms \|", row), row


def test_images_of_every_shape_are_measured_for_each_contender(tmp_path: pathlib.Path) -> None:
    printed = _run("MONOREPO", "--count", "5", "--rounds", "1", "--output", str(tmp_path))
    monorepo = json.loads((tmp_path / "benchmarks.json").read_text())["monorepo"]
    assert monorepo["count"] == 5
    assert len(monorepo["values"]) == 6
    for row, contenders in monorepo["values"].items():
        assert list(contenders) == ["rules_setcap", "genrules", "rules_pkg"]
        assert f"| {row} |" in printed
        # The heap is rounded to megabytes.
        assert all(len(values) == 1 and (values[0] > 0 or row.startswith("heap")) for values in contenders.values())
    page = (tmp_path / "benchmarks.md").read_text()
    assert "| 5 images | rules_setcap | genrules |" in page
    assert "5 images in Bazel" in (tmp_path / "benchmarks.svg").read_text()

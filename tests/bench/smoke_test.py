"""The benchmarks of programs run, with small workloads, and measure everything that this machine has. No number counts."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import subprocess

from support import require

# Peers that no package has. Another peer that is not measured is a fault of the benchmark.
_WITHOUT_PACKAGE = {"ko": r"^no ko\b", "img": r"^no img\b"}
_PROGRAMS = ("tar", "bsdtar", "gzip", "pigz", "zstd", "umoci", "crane")


def _run(program: str, *arguments: str, **environment: str) -> str:
    """Runs a benchmark, and returns what it prints to stdout."""
    done = subprocess.run([os.environ[program], *arguments], capture_output=True, text=True, env={**os.environ, **environment})
    assert done.returncode == 0, done.stderr
    return done.stdout


def _list_cells(table: str) -> list[list[str]]:
    """Returns the cells of the tables in a text of Markdown, without the lines below their headings."""
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in table.splitlines() if line.startswith("|") and "|--" not in line]
    return [[cell.strip() for cell in row] for row in rows]


def test_packer_is_compared_with_every_peer_that_the_machine_has(tmp_path: pathlib.Path) -> None:
    for name in _PROGRAMS:
        require.tool(name)
    printed = _run("BENCH", "--divide", "1000", "--output", str(tmp_path), "--work", str(tmp_path))
    results = json.loads((tmp_path / "benchmarks.json").read_text())
    workloads = {group["workload"] for group in results["groups"]}
    assert workloads == {"binary-1g", "binary-120m", "small-files", "empty-files", "zeros", "layers", "base"}
    for group in results["groups"]:
        for name, peer in group["peers"].items():
            if isinstance(peer, str):
                program = next((program for program in _WITHOUT_PACKAGE if program in name), "")
                assert program and re.match(_WITHOUT_PACKAGE[program], peer), f"{group['workload']}: {name}: {peer}"
                assert not shutil.which(program)
            else:
                assert min(*peer["wall"], *peer["ratio"], *peer["memory"]) > 0
    page = (tmp_path / "benchmarks.md").read_text()
    goals = [row for row in _list_cells(printed) if len(row) == 3]
    assert len(goals) > 10
    for row in goals:
        assert re.search(r"\d", row[2]) or "rules_img" in row[0], row
        assert f"| {row[0]} |" in page
    for picture, text in (("benchmarks.svg", ">gzip 5<"), ("benchmarks-all.svg", ">rules_setcap (gzip 5)<")):
        assert f"]({picture})" in page
        assert text in (tmp_path / picture).read_text()


def test_a_workload_that_is_measured_again_replaces_only_its_own_results(tmp_path: pathlib.Path) -> None:
    _run("BENCH", "--divide", "1000", "--only", "zeros", "layers", "--output", str(tmp_path), "--work", str(tmp_path))
    file = tmp_path / "benchmarks.json"
    results = json.loads(file.read_text())
    for group in results["groups"]:
        group["date"] = "2001-01-01"
    file.write_text(json.dumps(results))
    _run("BENCH", "--divide", "1000", "--only", "layers", "--output", str(tmp_path), "--work", str(tmp_path))
    again = json.loads(file.read_text())["groups"]
    assert [group["workload"] for group in again] == [group["workload"] for group in results["groups"]]
    assert {group["workload"] for group in again if group["date"] == "2001-01-01"} == {"zeros"}


def test_image_diff_is_compared_with_every_program_that_the_machine_has(tmp_path: pathlib.Path) -> None:
    for name in ("gcc", "ar", "diff", "cmp"):
        require.tool(name)
    output = tmp_path / "table.md"
    _run("IMAGE_DIFF", "--only", "mode", "--large-files", "100", "--work", str(tmp_path / "work"), "--output", str(output))
    head, *rows = _list_cells(output.read_text())
    assert head[:2] == ["what differs", "image_diff"]
    assert {"tar and diff -r", "cmp"} <= set(head)
    assert len(rows) >= 4
    for row in rows:
        assert len(row) == len(head)
        assert "" not in row
    # The pair that differs in its mode is found by the program that this is about.
    assert rows[0][1] == "named"


def test_compression_is_measured_on_one_cpu_and_on_all(tmp_path: pathlib.Path) -> None:
    require.tool("zstd")
    printed = _run("THREADS", "--divide", "1000", "--rounds", "1", "--output", str(tmp_path))
    threads = json.loads((tmp_path / "benchmarks.json").read_text())["threads"]
    assert set(threads["times"]) >= {"rules_setcap (gzip 5)", "rules_setcap (gzip 1)", "rules_setcap (zstd 3)"}
    assert ("pgzip" in threads["times"]) == bool(shutil.which("pgzip"))
    for times in threads["times"].values():
        assert set(times) >= {"1", str(len(os.sched_getaffinity(0)))}
    head, *rows = _list_cells(printed)
    assert len(rows) == len(threads["times"])
    assert all(len(row) == len(head) and "" not in row for row in rows)
    assert "16 CPUs, computed" in (tmp_path / "benchmarks.md").read_text()

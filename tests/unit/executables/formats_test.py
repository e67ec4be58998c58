"""Programs of other operating systems are recognized, and the message says how to build for Linux."""

from __future__ import annotations

import json
import pathlib

import pytest

from rules_setcap.executables import formats
from support import go, packer

BUILD = 'build for Linux, with --platforms=LABEL of a platform that has the constraint "@platforms//os:linux"'
SYSTEMS = {"darwin": "macOS", "windows": "Windows"}


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pathlib.Path]:
    """Builds the same program for each operating system with Go."""
    folder = tmp_path_factory.mktemp("programs")
    (folder / "main.go").write_text("package main\n\nfunc main() {}\n")
    paths = {}
    for system in ("linux", *SYSTEMS):
        (folder / system).mkdir()
        paths[system] = go.build(folder / "main.go", folder / system, GOOS=system, GOARCH="amd64", CGO_ENABLED="0")
    return paths


def test_real_programs_are_recognized(programs):
    starts = {system: path.read_bytes()[: formats.START] for system, path in programs.items()}
    assert {system: formats.find_system(start) for system, start in starts.items()} == {"linux": "", **SYSTEMS}


@pytest.mark.parametrize(
    "start, system",
    [
        ("feedface00000012", "macOS"),
        ("feedfacf01000012", "macOS"),
        ("cefaedfe07000000", "macOS"),
        ("cffaedfe0c000001", "macOS"),
        ("cafebabe00000002", "macOS"),
        ("cafebabf00000002", "macOS"),
        ("cafebabe0000002d", ""),  # A class file of Java 1.1, and one of Java 25.
        ("cafebabe00000045", ""),
        ("cafebabe00000000", ""),
        ("cafebabe", ""),
        ("4d5a900003000000", "Windows"),
        ("4d", ""),
        ("7f454c4602010100", ""),
        ("2321202f62696e2f", ""),
        ("", ""),
    ],
)
def test_programs_are_recognized_by_their_first_bytes(start: str, system: str):
    assert formats.find_system(bytes.fromhex(start)) == system


@pytest.mark.parametrize("system", SYSTEMS)
def test_capabilities_for_a_program_of_another_system_are_refused(system, programs, tmp_path):
    """That holds for a layer, and for the tar of another rule."""
    message = f'//app:image: file_capabilities: "/server": a program for {SYSTEMS[system]}; capabilities are for programs of Linux: {BUILD}\n'
    layer = packer.Layer(tmp_path).add("/server", programs[system].read_bytes())
    assignment = packer.assign("/server", "bpf")
    assert layer.pack(assignment) == (1, message)
    assert layer.pack() == (0, "")
    flags = ["--tar=blob", "--output=out", "--metadata=out.json", "--compression=none", "--created-by=test"]
    assert packer.run("setcap", *flags, assignment, cwd=tmp_path) == (1, message)


@pytest.mark.parametrize("system", ["linux", *SYSTEMS])
def test_the_check_finds_a_binary_of_another_system(system, programs, tmp_path):
    """For example, a binary that was built on a Mac without --platforms."""
    layer = packer.Layer(tmp_path).add("/server", programs[system].read_bytes())
    assert layer.pack('--program="/server"') == (0, "")

    def check(os: str, *off: str) -> packer.Done:
        (tmp_path / "config").write_text(json.dumps({"os": os, "architecture": "amd64", "config": {"Entrypoint": ["/server"]}}))
        flags = [
            "--config=config",
            "--layer=metadata",
            '--binary="/server"',
            "--disabled-checks=" + json.dumps(off),
            "--output=checked",
        ]
        return packer.run(
            "check",
            *flags,
            "--layer-settings=" + json.dumps({"attribute": "binary", "disabled_checks": [], "is_checked": False}),
            cwd=tmp_path,
        )

    if system == "linux":
        assert check("linux") == (0, "")
        return
    end = '(disabled_checks = ["architecture"] turns this off)\n'
    assert check("linux") == (
        1,
        f'//app:image: binary: "/server": a program for {SYSTEMS[system]} in an image for linux; {BUILD} {end}',
    )
    assert check("linux", "architecture") == check(system) == (0, "")
    other = {"darwin": "windows", "windows": "darwin"}[system]
    assert check(other) == (
        1,
        f'//app:image: binary: "/server": a program for {SYSTEMS[system]} in an image for {other}; build both for one platform {end}',
    )

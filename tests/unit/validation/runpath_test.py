"""The check "runpath" agrees with the real loader, which each program runs with a capability and as a user other than root."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess

import pytest

from rules_setcap.diagnostics.problems import Problems
from rules_setcap.executables import elf
from rules_setcap.validation import checks
from support import require

USER = "65532:65532"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Returns a root file system that has the C library, and a library that the programs need."""
    require.root()
    base = tmp_path_factory.mktemp("root")
    for directory in (base, *base.parents[:2]):
        directory.chmod(0o755)  # So that the user of the programs can search it.
    (base / "proc").mkdir()
    (base / "f.c").write_text("int f(void) { return 0; }")
    (base / "main.c").write_text("int f(void); int main(void) { return f(); }")
    _gcc(base, "f.c", "-shared", "-fPIC", "-o", "libf.so")
    _gcc(base, "f.c", "main.c", "-o", "plain")
    for path in re.findall(
        r"(/\S+) \(", subprocess.run(["ldd", base / "plain"], check=True, capture_output=True, text=True).stdout
    ):
        (base / path[1:]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, base / path[1:])
    return base


def _gcc(directory: pathlib.Path, *arguments: str) -> None:
    subprocess.run([require.tool("gcc"), *arguments], cwd=directory, check=True)


def _starts(root: pathlib.Path, path: str) -> bool:
    """Returns whether a program starts as USER."""
    # The loader reads the program's path from /proc.
    script = f'mount --rbind /proc "$0/proc" && exec chroot --userspec={USER} "$0" "$1"'
    done = subprocess.run([require.tool("unshare"), "--mount", "sh", "-c", script, root, path], capture_output=True, text=True)
    assert done.returncode == 0 or "error while loading shared libraries: libf.so" in done.stderr, done
    return done.returncode == 0


# RUNPATH, the directory of the program, that of its library ({LIB} stands for what ld.so(8) replaces $LIB by), whether the
# program starts.
CASES = [
    ("$ORIGIN", "/opt/app", "/opt/app", False),
    ("$ORIGIN/lib", "/opt/app", "/opt/app/lib", False),
    ("${ORIGIN}/lib", "/opt/app", "/opt/app/lib", False),
    ("$ORIGIN/../lib", "/opt/app", "/opt/lib", False),
    ("$ORIGIN/$LIB", "/opt/app", "/opt/app/{LIB}", False),
    ("/opt/lib", "/opt/app", "/opt/lib", True),
    ("/opt/$LIB", "/opt/app", "/opt/{LIB}", True),
    ("$ORIGIN:/opt/lib", "/opt/app", "/opt/lib", True),
    ("$ORIGIN", "/usr/lib/app", "/usr/lib/app", True),
    ("${ORIGIN}/lib", "/usr/lib/app", "/usr/lib/app/lib", True),
    ("$ORIGIN/../lib", "/usr/lib/app", "/usr/lib/lib", True),
    ("$ORIGIN/$LIB", "/usr/lib/app", "/usr/lib/app/{LIB}", True),
    ("$ORIGIN/../../lib", "/usr/lib/app", "/usr/lib", True),
    ("$ORIGIN/../../private", "/usr/lib/app", "/usr/private", False),
    ("$ORIGIN/../library", "/usr/bin", "/usr/library", False),
    ("/opt/$ORIGIN", "/usr/lib/app", "/opt/usr/lib/app", False),
]


@pytest.mark.parametrize("kind", ["RUNPATH", "RPATH"])
@pytest.mark.parametrize("runpath, directory, library, starts", CASES)
def test_the_check_ignores_what_the_loader_ignores(
    root: pathlib.Path, kind: str, runpath: str, directory: str, library: str, starts: bool
):
    multiarch = subprocess.run(["gcc", "-print-multiarch"], check=True, capture_output=True, text=True).stdout.strip()
    library_path = root / library.replace("{LIB}", f"lib/{multiarch}")[1:] / "libf.so"
    program = root / directory[1:] / "program"
    for path in (library_path, program):
        path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(root / "libf.so", library_path)
    tags = "enable" if kind == "RUNPATH" else "disable"
    _gcc(root, "main.c", "-o", str(program), "-L.", "-lf", f"-Wl,--{tags}-new-dtags,-rpath,{runpath}")
    try:
        assert _starts(root, f"{directory}/program")  # Without capabilities.
        subprocess.run([require.tool("setcap"), "cap_net_bind_service=p", program], check=True)
        assert _starts(root, f"{directory}/program") == starts
        with open(program, "rb") as file:
            problems = Problems()
            checks.check_program(
                checks.Program("binary", f"{directory}/program", elf.describe_program(file), True, ()), None, problems
            )
    finally:
        os.unlink(library_path)
        os.unlink(program)
    # If the loader ignores only some directories, the check of one file cannot know which of them has the library.
    expected = runpath.startswith("$ORIGIN:") or not starts
    assert bool(problems) == expected, list(problems)
    assert all(f'in {kind} "' in problem for problem in problems)

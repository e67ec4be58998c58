"""The check "runpath" agrees with the real loader: each program runs with a capability, as a user other than root."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess

import pytest

from rules_setcap.executables import elf
from rules_setcap.validation import checks
from support import require

USER = "65532:65532"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A root file system with the C library, and a library that programs are linked with."""
    require.root()
    base = tmp_path_factory.mktemp("root")
    for folder in (base, *base.parents[:2]):
        folder.chmod(0o755)  # The programs' user looks for files in it.
    (base / "proc").mkdir()
    (base / "f.c").write_text("int f(void) { return 0; }")
    (base / "main.c").write_text("int f(void); int main(void) { return f(); }")
    _gcc(base, "f.c", "-shared", "-fPIC", "-o", "libf.so")
    _gcc(base, "f.c", "main.c", "-o", "plain")
    for path in re.findall(r"(/\S+) \(", subprocess.run(["ldd", base / "plain"], check=True, capture_output=True, text=True).stdout):
        (base / path[1:]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, base / path[1:])
    return base


def _gcc(folder: pathlib.Path, *arguments: str) -> None:
    subprocess.run([require.tool("gcc"), *arguments], cwd=folder, check=True)


def _starts(root: pathlib.Path, path: str) -> bool:
    # The loader reads the program's path from /proc.
    script = f'mount --rbind /proc "$0/proc" && exec chroot --userspec={USER} "$0" "$1"'
    done = subprocess.run([require.tool("unshare"), "--mount", "sh", "-c", script, root, path], capture_output=True, text=True)
    assert done.returncode == 0 or "error while loading shared libraries: libf.so" in done.stderr, done
    return done.returncode == 0


# RUNPATH, the directory of the program, that of its library ({LIB}: what ld.so(8) puts in place of $LIB), whether it starts.
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
@pytest.mark.parametrize("runpath, folder, library, starts", CASES)
def test_what_the_loader_ignores(root: pathlib.Path, kind: str, runpath: str, folder: str, library: str, starts: bool):
    multiarch = subprocess.run(["gcc", "-print-multiarch"], check=True, capture_output=True, text=True).stdout.strip()
    place = root / library.replace("{LIB}", f"lib/{multiarch}")[1:] / "libf.so"
    program = root / folder[1:] / "program"
    for path in (place, program):
        path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(root / "libf.so", place)
    tags = "enable" if kind == "RUNPATH" else "disable"
    _gcc(root, "main.c", "-o", str(program), "-L.", "-lf", f"-Wl,--{tags}-new-dtags,-rpath,{runpath}")
    try:
        assert _starts(root, f"{folder}/program")  # Without capabilities.
        subprocess.run([require.tool("setcap"), "cap_net_bind_service=p", program], check=True)
        assert _starts(root, f"{folder}/program") == starts
        with open(program, "rb") as file:
            messages = checks.check(checks.Program("binary", f"{folder}/program", elf.describe_program(file), True, ()), None)
    finally:
        os.unlink(place)
        os.unlink(program)
    # Where one part is ignored and another is not, the check of one file cannot know which has the library.
    expected = runpath.startswith("$ORIGIN:") or not starts
    assert bool(messages) == expected, messages
    assert all(f'in {kind} "' in text for text in messages)

"""docs/capabilities.md: its table is what the kernel does, its code does what it says."""

from __future__ import annotations

import difflib
import os
import pathlib
import re
import subprocess
import sys

import page
import pytest

from rules_setcap.capabilities import FileCapabilities
from support import require

_PAGE = pathlib.Path("docs/capabilities.md")
_NET_BIND_SERVICE = 1 << 10
_USER = 65532


def _code(language: str, word: str) -> str:
    """The page's example in a language that has `word` in it."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", _PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (found,) = [block for block in blocks if word in block]
    return found


def _sets(status: str) -> tuple[int, int]:
    """Permitted and effective of a /proc/PID/status."""
    found = dict(re.findall(r"^(Cap\w+):\s*(\w+)$", status, re.MULTILINE))
    return int(found["CapPrm"], 16), int(found["CapEff"], 16)


def test_the_table(tmp_path):
    require.root()
    found = _PAGE.read_text()
    made = page.renewed(found, tmp_path)
    if made != found:
        difference = "".join(difflib.unified_diff(found.splitlines(True), made.splitlines(True), str(_PAGE), "the kernel"))
        pytest.fail(f"{difference}\nIf this is meant: ./bazelw run //tests/runtime:update", pytrace=False)


def test_the_c_code_raises_what_is_permitted(tmp_path):
    require.root()
    main = "#include <stdlib.h>\nint main(void) { return raise_permitted() != 0 || system(\"cat /proc/$PPID/status\") != 0; }\n"
    (tmp_path / "raise.c").write_text(_code("c", "raise_permitted") + main)
    program = tmp_path / "raise"
    subprocess.run([require.tool("gcc"), "-Wall", "-Werror", "-o", str(program), f"{program}.c"], check=True)
    os.setxattr(program, "security.capability", FileCapabilities(_NET_BIND_SERVICE, 0, 0).to_xattr())
    with open(program, "rb") as file:  # By its descriptor: the directories above may be root's alone.
        path, options = f"/proc/self/fd/{file.fileno()}", {"pass_fds": [file.fileno()], "extra_groups": []}
        status = subprocess.check_output([path], user=_USER, group=_USER, text=True, **options)
    assert _sets(status) == (_NET_BIND_SERVICE, _NET_BIND_SERVICE)


def test_the_python_code_raises_what_is_permitted(tmp_path):
    """Permitted is what PR_SET_KEEPCAPS leaves: no interpreter with capabilities is needed."""
    require.root()
    become = (
        "import ctypes, os\n"
        "assert ctypes.CDLL(None).prctl(8, 1, 0, 0, 0) == 0  # PR_SET_KEEPCAPS\n"
        f"os.setresuid({_USER}, {_USER}, {_USER})\n"
        "print(open('/proc/self/status').read())\n"
    )
    show = "print(open('/proc/self/status').read())\n"
    output = subprocess.check_output([sys.executable, "-c", become + _code("python", "capset") + show], text=True)
    before, after = (_sets(status) for status in output.split("Name:")[1:])
    assert before[0] != 0 == before[1]
    assert after == (before[0], before[0])

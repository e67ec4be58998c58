"""Tests that the table of docs/capabilities.md shows what the kernel does, and that its examples of code work."""

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


def _find_example(language: str, word: str) -> str:
    """Returns the example of the page in a language that has a word in it."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", _PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (example,) = [block for block in blocks if word in block]
    return example


def _parse_sets(status: str) -> tuple[int, int]:
    """Returns the permitted and the effective set of a /proc/PID/status."""
    sets = dict(re.findall(r"^(Cap\w+):\s*(\w+)$", status, re.MULTILINE))
    return int(sets["CapPrm"], 16), int(sets["CapEff"], 16)


def test_the_table_shows_what_the_kernel_does(tmp_path):
    require.root()
    text = _PAGE.read_text()
    updated = page.update_table(text, tmp_path)
    if updated != text:
        difference = "".join(difflib.unified_diff(text.splitlines(True), updated.splitlines(True), str(_PAGE), "the kernel"))
        pytest.fail(f"{difference}\nTo update the page: ./bazelw run //tests/runtime:update", pytrace=False)


def test_the_c_example_raises_permitted_capabilities(tmp_path):
    require.root()
    main = '#include <stdlib.h>\nint main(void) { return raise_permitted() != 0 || system("cat /proc/$PPID/status") != 0; }\n'
    (tmp_path / "raise.c").write_text(_find_example("c", "raise_permitted") + main)
    program = tmp_path / "raise"
    subprocess.run([require.tool("gcc"), "-Wall", "-Werror", "-o", str(program), f"{program}.c"], check=True)
    os.setxattr(program, "security.capability", FileCapabilities(_NET_BIND_SERVICE, 0, 0).to_xattr())
    with open(program, "rb") as file:  # The user may not enter the directories above, but can use the descriptor.
        path, options = f"/proc/self/fd/{file.fileno()}", {"pass_fds": [file.fileno()], "extra_groups": []}
        status = subprocess.check_output([path], user=_USER, group=_USER, text=True, **options)
    assert _parse_sets(status) == (_NET_BIND_SERVICE, _NET_BIND_SERVICE)


def test_the_python_example_raises_permitted_capabilities():
    """PR_SET_KEEPCAPS leaves capabilities permitted, so that no interpreter with capabilities is needed."""
    require.root()
    become = (
        "import ctypes, os\n"
        "assert ctypes.CDLL(None).prctl(8, 1, 0, 0, 0) == 0  # PR_SET_KEEPCAPS\n"
        f"os.setresuid({_USER}, {_USER}, {_USER})\n"
        "print(open('/proc/self/status').read())\n"
    )
    show = "print(open('/proc/self/status').read())\n"
    output = subprocess.check_output([sys.executable, "-c", become + _find_example("python", "capset") + show], text=True)
    before, after = (_parse_sets(status) for status in output.split("Name:")[1:])
    assert before[0] != 0 == before[1]
    assert after == (before[0], before[0])

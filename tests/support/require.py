"""Finds programs, libraries and rights that a test needs.

If one is missing, the test is skipped, with a sentence that says what to install. With `RULES_SETCAP_REQUIRE_TOOLS=1` or `CI` in
the environment, it fails instead.
"""

from __future__ import annotations

import ctypes
import os
import shutil
from typing import NoReturn

import pytest

_SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"


def missing(what: str) -> NoReturn:
    """Skips the test, or fails it if the environment requires everything."""
    if os.environ.get("RULES_SETCAP_REQUIRE_TOOLS") == "1" or os.environ.get("CI"):
        pytest.fail(f"this test needs {what}")
    pytest.skip(f"needs {what}")


def tool(name: str) -> str:
    """Returns the path of a program, on PATH or in the directories of the system."""
    path = shutil.which(name) or shutil.which(name, path=_SYSTEM_PATH)
    return path or missing(f"the program {name}: install it, or run the tests by ./bazelw")


def library(soname: str) -> ctypes.CDLL:
    """Returns a shared library, which keeps errno for the caller."""
    try:
        return ctypes.CDLL(soname, use_errno=True)
    except OSError:
        missing(f"the shared library {soname}")


def root() -> None:
    """Requires uid 0, which runc and the setting of file capabilities need."""
    if os.geteuid() != 0:
        if os.environ.get("CI"):
            pytest.fail("this test needs to run as root")
        pytest.skip("needs root")

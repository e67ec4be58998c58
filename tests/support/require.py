"""Programs, libraries and rights that a test stands on.

Where one is missing the test is skipped on a developer's machine, with a
sentence that says what to install; where the environment says that all must be
there (`RULES_SETCAP_REQUIRE_TOOLS=1`, or `CI`), it fails instead.
"""

from __future__ import annotations

import ctypes
import os
import shutil
from typing import NoReturn

import pytest

_SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"


def missing(what: str) -> NoReturn:
    """Skips the test, or fails it where everything must be there."""
    if os.environ.get("RULES_SETCAP_REQUIRE_TOOLS") == "1" or os.environ.get("CI"):
        pytest.fail(f"this test needs {what}")
    pytest.skip(f"needs {what}")


def tool(name: str) -> str:
    """The path of the program `name`, on PATH or where the system keeps them."""
    found = shutil.which(name) or shutil.which(name, path=_SYSTEM_PATH)
    return found or missing(f"the program {name}: install it, or run the tests by ./bazelw")


def library(soname: str) -> ctypes.CDLL:
    """The shared library `soname`, with errno kept for the caller."""
    try:
        return ctypes.CDLL(soname, use_errno=True)
    except OSError:
        missing(f"the shared library {soname}")


def root() -> None:
    """Requires uid 0: setting file capabilities and runc need it. CI has it."""
    if os.geteuid() != 0:
        if os.environ.get("CI"):
            pytest.fail("this test needs to run as root")
        pytest.skip("needs root")

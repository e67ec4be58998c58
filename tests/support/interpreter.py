"""The Python interpreter of the test, for images."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig

from support import require

LIBRARY = pathlib.Path(sysconfig.get_path("stdlib"))


def copy_python(directory: pathlib.Path) -> None:
    """Copies this interpreter, its shared libraries, its standard library, and the programs that start it: sh and env.

    Args:
      directory: it gets the files interpreter, env and sh, and the directories libraries and python.
    """
    (directory / "libraries").mkdir(parents=True)
    interpreter = os.path.realpath(sys.executable)
    shutil.copy(interpreter, directory / "interpreter")
    for program in ("env", "sh"):
        shutil.copy(require.tool(program), directory / program)
    listed = subprocess.run([require.tool("ldd"), interpreter], check=True, capture_output=True, text=True).stdout
    for library in set(re.findall(r"(/\S+) \(0x", listed)):
        shutil.copy(library, directory / "libraries")
    unneeded = ("__pycache__", "config-*", "ensurepip", "idlelib", "*-packages", "test", "tkinter", "turtledemo")
    shutil.copytree(LIBRARY, directory / "python", ignore=shutil.ignore_patterns(*unneeded))

"""Completes command lines in bash by the completion files of programs."""

from __future__ import annotations

import pathlib
import re
import subprocess

from support import require


def complete_in_bash(file: pathlib.Path, *words: str) -> list[str]:
    """Returns the completions of the last word of a command line in bash, which splits it at `=`.

    Args:
      file: the completion of a program, whose name is that of the file.
      *words: the command line; the last word may be empty.
    """
    split = [part for word in words for part in (re.split("(=)", word) if word.startswith("--") else [word])]
    split = [part for position, part in enumerate(split) if part or position == len(split) - 1]
    code = f"""\
source {file}
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_{file.stem}_rules_setcap
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    command = [require.tool("bash"), "--norc", "-u", "-c", code, "bash", *split]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
    return done.stdout.split("\n")[:-1]

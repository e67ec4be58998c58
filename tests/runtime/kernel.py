"""Runs many cases of execve(2) on the running kernel, in one run of execve_probe, to check capabilities.execve."""

from __future__ import annotations

import itertools
import os
import pathlib
import re
import subprocess
from collections.abc import Sequence
from typing import NamedTuple

from rules_setcap.capabilities.execve import File, Outcome, Process, execve

_PROBE = pathlib.Path("tests/runtime/execve_probe")


class Case(NamedTuple):
    """A process and the file that it executes. The owner and group of the file are IDs of the initial user namespace."""

    process: Process
    file: File

    def compute_outcome(self) -> Outcome:
        """Returns the outcome by the library's rules, for the version of the running kernel."""
        file = self.file._replace(owner=self._map_id(self.file.owner), group=self._map_id(self.file.group))
        major, minor = re.findall(r"\d+", os.uname().release)[:2]
        return execve(self.process, file, (int(major), int(minor)))

    def _map_id(self, number: int | None) -> int | None:
        """Returns an ID as the process's user namespace maps it; None if it is not mapped."""
        assert number is not None
        *outer, root = self.process.roots
        count = 65536 >> len(outer) - 1 if outer else 1 << 32  # execve_probe maps so many.
        return number - root if root <= number < root + count else None

    def format_line(self) -> str:
        """Returns the case as a line for execve_probe."""
        process, file = self
        numbers = [*process[:6], len(process.groups), *process.groups]
        numbers += [process.permitted, process.inheritable, process.effective, process.bounding, process.ambient]
        numbers += [process.securebits, int(process.no_new_privs), len(process.roots) - 1]
        numbers += [inner - outer for outer, inner in itertools.pairwise(process.roots)]
        numbers += [file.owner, file.group, file.mode, int(file.nosuid)]
        attribute = "-" if file.capabilities is None else file.capabilities.to_xattr().hex()
        return " ".join(map(str, numbers)) + f" {attribute}\n"


class State(NamedTuple):
    """The state of a process that execve_probe prints: from /proc/self/status, the securebits, and AT_SECURE."""

    ruid: int
    euid: int
    suid: int
    fsuid: int
    rgid: int
    egid: int
    sgid: int
    fsgid: int
    inheritable: int
    permitted: int
    effective: int
    bounding: int
    ambient: int
    no_new_privs: int
    securebits: int
    secure: int


def make_state(process: Process, secure: bool) -> State:
    """Returns the state that execve_probe prints for a process."""
    ids = {"fsuid": process.euid, "fsgid": process.egid}  # credentials(7): they follow the effective IDs.
    fields = {name: int(value) for name, value in process._asdict().items() if name in State._fields}
    return State(**ids, **fields, secure=int(secure))


def expect_answer(outcome: Outcome) -> State | str:
    """Returns the answer of run_cases() that matches an outcome by the library's rules."""
    return "errno 1" if outcome.process is None else make_state(outcome.process, outcome.secure)


def run_cases(cases: Sequence[Case], directory: pathlib.Path) -> list[State | str]:
    """Runs cases on the running kernel.

    Args:
      cases: the cases. The state of each process before its execve is checked.
      directory: an empty directory to mount on. The mounts are private, and end with the call.

    Returns:
      For each case, the state of the process after its execve, or "errno N".
    """
    lines = "".join(case.format_line() for case in cases)
    finished = subprocess.run([str(_PROBE), str(directory)], input=lines, stdout=subprocess.PIPE, text=True, check=False)
    answers = finished.stdout.splitlines()
    assert finished.returncode == 0 and len(answers) == len(cases), (finished.returncode, len(answers), answers[-1:])
    return [_parse_answer(*pair) for pair in zip(cases, answers, strict=True)]


def _parse_answer(case: Case, line: str) -> State | str:
    """Parses the line that execve_probe prints for a case, and checks the state before the execve."""
    word, *words = line.split()
    assert word == "before", f"{line}\n{case}"
    before, after = words[: len(State._fields)], words[len(State._fields) :]
    assert State(*map(int, before))._replace(secure=0) == make_state(case.process, False), f"{line}\n{case}"
    return " ".join(after) if after[0] == "errno" else State(*map(int, after[1:]))


def read_bounding_set() -> int:
    """Returns the bounding set of this process: the capabilities that other processes can have."""
    status = pathlib.Path("/proc/self/status").read_text()
    match = re.search(r"^CapBnd:\s*(\S+)$", status, re.MULTILINE)
    assert match, status
    return int(match[1], 16)

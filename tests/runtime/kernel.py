"""The running kernel as the judge of capabilities.execve: many cases in one run of execve_probe."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
from typing import NamedTuple, Sequence

from rules_setcap.capabilities.execve import File, Outcome, Process, execve

_PROBE = pathlib.Path("tests/runtime/execve_probe")


class Case(NamedTuple):
    """A process, and the file that it executes; owner and group here are ids of the initial user namespace."""

    process: Process
    file: File

    def outcome(self) -> Outcome:
        """What the library says, of the kernel's version."""
        file = self.file._replace(owner=self._inside(self.file.owner), group=self._inside(self.file.group))
        major, minor = re.findall(r"\d+", os.uname().release)[:2]
        return execve(self.process, file, (int(major), int(minor)))

    def _inside(self, number: int | None) -> int | None:
        """An id as the process's user namespace has it."""
        assert number is not None
        *outer, root = self.process.roots
        count = 65536 >> len(outer) - 1 if outer else 1 << 32  # As execve_probe maps them.
        return number - root if root <= number < root + count else None

    def line(self) -> str:
        """The case as execve_probe reads it."""
        process, file = self
        numbers = [*process[:6], len(process.groups), *process.groups]
        numbers += [process.permitted, process.inheritable, process.effective, process.bounding, process.ambient]
        numbers += [process.securebits, int(process.no_new_privs), len(process.roots) - 1]
        numbers += [inner - outer for outer, inner in zip(process.roots, process.roots[1:])]
        numbers += [file.owner, file.group, file.mode, int(file.nosuid)]
        attribute = "-" if file.capabilities is None else file.capabilities.to_xattr().hex()
        return " ".join(map(str, numbers)) + f" {attribute}\n"


class State(NamedTuple):
    """What execve_probe prints: /proc/self/status, the securebits, and AT_SECURE."""

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


def state(process: Process, secure: bool) -> State:
    """What a process shows of itself."""
    ids = {"fsuid": process.euid, "fsgid": process.egid}  # credentials(7): they follow the effective ones.
    fields = {name: int(value) for name, value in process._asdict().items() if name in State._fields}
    return State(**ids, **fields, secure=int(secure))


def expected(outcome: Outcome) -> State | str:
    """What `run` returns if `outcome` is right."""
    return "errno 1" if outcome.process is None else state(outcome.process, outcome.secure)


def run(cases: Sequence[Case], directory: pathlib.Path) -> list[State | str]:
    """What the kernel makes of each case: the state after its execve, or "errno N".

    Args:
      cases: each process is checked to be the one that was asked for.
      directory: an empty one, to mount on; the mounts are private, and end with the call.
    """
    lines = "".join(case.line() for case in cases)
    done = subprocess.run([str(_PROBE), str(directory)], input=lines, stdout=subprocess.PIPE, text=True)
    answers = done.stdout.splitlines()
    assert done.returncode == 0 and len(answers) == len(cases), (done.returncode, len(answers), answers[-1:])
    return [_answer(*pair) for pair in zip(cases, answers)]


def _answer(case: Case, line: str) -> State | str:
    word, *words = line.split()
    assert word == "before", f"{line}\n{case}"
    before, after = words[: len(State._fields)], words[len(State._fields) :]
    assert State(*map(int, before))._replace(secure=0) == state(case.process, False), f"{line}\n{case}"
    return " ".join(after) if after[0] == "errno" else State(*map(int, after[1:]))


def held() -> int:
    """The capabilities that processes can be given: those that this one is bounded by."""
    status = pathlib.Path("/proc/self/status").read_text()
    match = re.search(r"^CapBnd:\s*(\S+)$", status, re.MULTILINE)
    assert match, status
    return int(match[1], 16)

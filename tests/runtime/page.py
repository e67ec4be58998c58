"""Writes the table of docs/capabilities.md by running each of its rows on the running kernel."""

from __future__ import annotations

import pathlib

import kernel

from rules_setcap.capabilities import FileCapabilities
from rules_setcap.capabilities.execve import File, Process

_NET, _BPF = 1 << 10, 1 << 39
_BOTH = _NET | _BPF
_WORDS = {0: "none", _NET: "net_bind_service", _BPF: "bpf", _BOTH: "both"}


def _make_user(bounding: int = _BOTH, **others) -> Process:
    """Returns a process of a user other than root."""
    return Process.with_ids(65532, 65532, bounding=bounding, **others)


def _make_root(bounding: int) -> Process:
    """Returns a process of root that has its bounding set permitted and effective."""
    return Process.with_ids(0, 0, bounding=bounding, permitted=bounding, effective=bounding)


_PERMITTED = File(FileCapabilities(_BOTH, 0, 0))
_EFFECTIVE = File(FileCapabilities(_BOTH, 0, _BOTH))
_INHERITABLE = File(FileCapabilities(0, _BOTH, _BOTH))
_EMPTY = File(FileCapabilities(0, 0, 0))
_NAMESPACED = File(FileCapabilities(_BOTH, 0, _BOTH, rootid=100000))
_PLAIN = File()
_SET_USER_ID = File(mode=0o4755)
_SET_USER_ID_PERMITTED = File(FileCapabilities(_NET, 0, 0), mode=0o4755)

ROWS = [
    kernel.Case(_make_user(), _PERMITTED),
    kernel.Case(_make_user(_NET), _PERMITTED),
    kernel.Case(_make_user(no_new_privs=True), _PERMITTED),
    kernel.Case(_make_user(no_new_privs=True, permitted=_BOTH), _PERMITTED),
    kernel.Case(_make_user(), _EFFECTIVE),
    kernel.Case(_make_user(_NET), _EFFECTIVE),
    kernel.Case(_make_user(no_new_privs=True), _EFFECTIVE),
    kernel.Case(_make_user(_NET, no_new_privs=True), _EFFECTIVE),
    kernel.Case(_make_user(no_new_privs=True, permitted=_NET), _EFFECTIVE),
    kernel.Case(_make_user(), _EFFECTIVE._replace(nosuid=True)),
    kernel.Case(_make_user(), _INHERITABLE),
    kernel.Case(_make_user(0, inheritable=_BOTH), _INHERITABLE),
    kernel.Case(_make_user(permitted=_BOTH), _PLAIN),
    kernel.Case(_make_user(permitted=_BOTH, inheritable=_BOTH, ambient=_BOTH), _PLAIN),
    kernel.Case(_make_user(permitted=_BOTH, inheritable=_BOTH, ambient=_BOTH), _EMPTY),
    kernel.Case(_make_user(), _SET_USER_ID),
    kernel.Case(_make_user(no_new_privs=True), _SET_USER_ID),
    kernel.Case(_make_user(), _SET_USER_ID_PERMITTED),
    kernel.Case(_make_root(_NET), _PLAIN),
    kernel.Case(_make_root(_NET), _EFFECTIVE),
    kernel.Case(_make_user(roots=(0, 100000)), _EFFECTIVE),
    kernel.Case(_make_user(roots=(0, 100000)), _NAMESPACED),
    kernel.Case(_make_user(), _NAMESPACED),
]

_FIRST = "<!-- What follows is what the kernel does. Made by: ./bazelw run //tests/runtime:update -->\n\n"
_LAST = "\n<!-- Up to here. -->\n"


def update_table(text: str, directory: pathlib.Path) -> str:
    """Returns the page with a new table.

    Args:
      text: the page.
      directory: an empty directory to mount on.
    """
    before, first, rest = text.partition(_FIRST)
    _, last, after = rest.partition(_LAST)
    assert first and last, "docs/capabilities.md has lost the comments around its table"
    return before + first + _make_table(directory) + last + after


def _make_table(directory: pathlib.Path) -> str:
    """Returns the table, and checks that the library agrees with the kernel about each row."""
    head = ("the file", "the process", "bounding", "`no_new_privs`", "becomes permitted", "effective", "`AT_SECURE`")
    rows = [head, ("---",) * len(head)]
    for case, answer in zip(ROWS, kernel.run_cases(ROWS, directory), strict=True):
        assert answer == kernel.expect_answer(case.compute_outcome()), case
        bounding, no_new_privs = _WORDS[case.process.bounding], "yes" if case.process.no_new_privs else ""
        rows.append((_format_file(case.file), _format_process(case.process), bounding, no_new_privs, *_format_answer(answer)))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _format_answer(answer: kernel.State | str) -> tuple[str, str, str]:
    """Returns the cells of the permitted set, the effective set and AT_SECURE."""
    if isinstance(answer, str):
        assert answer == "errno 1"
        return "does not start: `EPERM`", "", ""
    return _WORDS[answer.permitted], _WORDS[answer.effective], "yes" if answer.secure else ""


def _format_file(file: File) -> str:
    """Returns the cell of a file."""
    words = []
    if record := file.capabilities:
        flags = ("e" if record.effective else "") + ("i" if record.inheritable else "") + ("p" if record.permitted else "")
        assigned = record.permitted | record.inheritable
        words.append(f"`{_WORDS[assigned]}={flags}`" if assigned else "`=`, the empty set")
        if record.rootid:
            words.append(f"revision 3, rootid {record.rootid}")
    if file.mode & 0o4000:
        words.append("set-user-ID root")
    if file.nosuid:
        words.append("`nosuid` mount")
    return ", ".join(words) or "plain"


def _format_process(process: Process) -> str:
    """Returns the cell of a process."""
    words = ["root" if process.euid == 0 else f"uid {process.euid}"]
    if len(process.roots) > 1:
        words.append(f"user namespace of {process.roots[-1]}")
    if process.ambient:
        words.append(f"{_WORDS[process.ambient]} ambient")
    elif process.inheritable:
        words.append(f"{_WORDS[process.inheritable]} inheritable")
    elif process.permitted and process.euid:
        words.append(f"{_WORDS[process.permitted]} permitted")
    return ", ".join(words)

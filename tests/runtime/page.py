"""The table of docs/capabilities.md: each row is run on the kernel that makes the page."""

from __future__ import annotations

import pathlib

import kernel

from rules_setcap.capabilities import FileCapabilities
from rules_setcap.capabilities.execve import File, Process

_NET, _BPF = 1 << 10, 1 << 39
_BOTH = _NET | _BPF
_WORDS = {0: "none", _NET: "net_bind_service", _BPF: "bpf", _BOTH: "both"}


def _user(bounding: int = _BOTH, **others) -> Process:
    return Process.with_ids(65532, 65532, bounding=bounding, **others)


def _root(bounding: int) -> Process:
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
    kernel.Case(_user(), _PERMITTED),
    kernel.Case(_user(_NET), _PERMITTED),
    kernel.Case(_user(no_new_privs=True), _PERMITTED),
    kernel.Case(_user(no_new_privs=True, permitted=_BOTH), _PERMITTED),
    kernel.Case(_user(), _EFFECTIVE),
    kernel.Case(_user(_NET), _EFFECTIVE),
    kernel.Case(_user(no_new_privs=True), _EFFECTIVE),
    kernel.Case(_user(_NET, no_new_privs=True), _EFFECTIVE),
    kernel.Case(_user(no_new_privs=True, permitted=_NET), _EFFECTIVE),
    kernel.Case(_user(), _EFFECTIVE._replace(nosuid=True)),
    kernel.Case(_user(), _INHERITABLE),
    kernel.Case(_user(0, inheritable=_BOTH), _INHERITABLE),
    kernel.Case(_user(permitted=_BOTH), _PLAIN),
    kernel.Case(_user(permitted=_BOTH, inheritable=_BOTH, ambient=_BOTH), _PLAIN),
    kernel.Case(_user(permitted=_BOTH, inheritable=_BOTH, ambient=_BOTH), _EMPTY),
    kernel.Case(_user(), _SET_USER_ID),
    kernel.Case(_user(no_new_privs=True), _SET_USER_ID),
    kernel.Case(_user(), _SET_USER_ID_PERMITTED),
    kernel.Case(_root(_NET), _PLAIN),
    kernel.Case(_root(_NET), _EFFECTIVE),
    kernel.Case(_user(roots=(0, 100000)), _EFFECTIVE),
    kernel.Case(_user(roots=(0, 100000)), _NAMESPACED),
    kernel.Case(_user(), _NAMESPACED),
]

_FIRST = "<!-- What follows is what the kernel does. Made by: ./bazelw run //tests/runtime:update -->\n\n"
_LAST = "\n<!-- Up to here. -->\n"


def renewed(text: str, directory: pathlib.Path) -> str:
    """The page with its table made anew.

    Args:
      text: the page.
      directory: an empty one, to mount on.
    """
    before, first, rest = text.partition(_FIRST)
    _, last, after = rest.partition(_LAST)
    assert first and last, "docs/capabilities.md has lost the comments around its table"
    return before + first + _table(directory) + last + after


def _table(directory: pathlib.Path) -> str:
    head = ("the file", "the process", "bounding", "`no_new_privs`", "becomes permitted", "effective", "`AT_SECURE`")
    rows = [head, ("---",) * len(head)]
    for case, shown in zip(ROWS, kernel.run(ROWS, directory)):
        assert shown == kernel.expected(case.outcome()), case
        bounding, no_new_privs = _WORDS[case.process.bounding], "yes" if case.process.no_new_privs else ""
        rows.append((_file(case.file), _process(case.process), bounding, no_new_privs, *_becomes(shown)))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _becomes(shown: kernel.State | str) -> tuple[str, str, str]:
    if isinstance(shown, str):
        assert shown == "errno 1"
        return "does not start: `EPERM`", "", ""
    return _WORDS[shown.permitted], _WORDS[shown.effective], "yes" if shown.secure else ""


def _file(file: File) -> str:
    words = []
    if record := file.capabilities:
        flags = ("e" if record.effective else "") + ("i" if record.inheritable else "") + ("p" if record.permitted else "")
        every = record.permitted | record.inheritable
        words.append(f"`{_WORDS[every]}={flags}`" if every else "`=`, the empty set")
        if record.rootid:
            words.append(f"revision 3, rootid {record.rootid}")
    if file.mode & 0o4000:
        words.append("set-user-ID root")
    if file.nosuid:
        words.append("`nosuid` mount")
    return ", ".join(words) or "plain"


def _process(process: Process) -> str:
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

"""Finds what is dangerous in an image: files with capabilities, set-user-ID and set-group-ID files."""

from __future__ import annotations

import json
import posixpath
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from rules_setcap.archive.entry import DIRECTORY, FILE
from rules_setcap.capabilities import FileCapabilities, execve, xattr
from rules_setcap.capabilities.names import ALL, NAMES
from rules_setcap.containers.dangers import CRITICAL, DANGERS, HIGH, LOW, MEDIUM, RUNNER, SEVERITIES, find_program_kind, find_worst_severity
from rules_setcap.containers.engines import Engine
from rules_setcap.containers.process import InitialProcess, compute_initial_process, format_capabilities
from rules_setcap.containers.settings import Settings
from rules_setcap.diagnostics.errors import InputError
from rules_setcap.getcap import rules
from rules_setcap.getcap.rules import Rule
from rules_setcap.oci import image_reader

if TYPE_CHECKING:
    from rules_setcap.oci.nodes import Node

_XATTR = xattr.NAME.encode()
YES, PARTLY, NO, UNKNOWN = "yes", "partly", "no", "unknown"


@dataclass(frozen=True)
class Use:
    """The use that a process of a container with a runtime's defaults can make of the privileges of a file.

    Attributes:
      answer: YES, PARTLY (some of the capabilities), NO or UNKNOWN.
      capabilities: those that it has after it executed the file, as a mask.
      why: a sentence; "" for YES.
    """

    answer: str
    capabilities: int = 0
    why: str = ""


@dataclass(frozen=True)
class Privileged:
    """A file that gives privileges to whoever executes it.

    Attributes:
      path: without symbolic links.
      capabilities: None if it has none.
      mode: as stat(2) has it.
      uid, gid: its owner and group.
      script: whether it is one.
      severity: what its privileges are worth to an attacker, one of dangers.SEVERITIES.
      uses: by runtime.
    """

    path: str
    capabilities: FileCapabilities | None
    mode: int
    uid: int
    gid: int
    script: bool
    severity: str = LOW
    uses: dict[str, Use] = field(default_factory=dict)

    @property
    def set_user_id(self) -> int | None:
        """Returns the uid that it is executed with; None if that is the caller's."""
        return self.uid if self.mode & stat.S_ISUID else None

    @property
    def set_group_id(self) -> int | None:
        """Returns the gid that it is executed with; None if that is the caller's."""
        return self.gid if self.mode & stat.S_ISGID and self.mode & stat.S_IXGRP else None

    @property
    def asked(self) -> int:
        """Returns the capabilities of the file that kernels know, as a mask."""
        record = self.capabilities
        return (record.permitted | record.inheritable) & ALL if record else 0


@dataclass(frozen=True)
class Finding:
    """One thing to look at.

    Attributes:
      rule: its kind.
      severity: one of dangers.SEVERITIES.
      path: of the file in the image; "" if it is about none.
      message: a sentence.
    """

    rule: Rule
    severity: str
    path: str
    message: str


@dataclass(frozen=True)
class Review:
    """The result of reviewing an image.

    Attributes:
      user: who its process is: "uid 0: no user is named"; or why that is not known.
      files: those that give privileges, by path.
      findings: the most severe first.
    """

    user: str
    files: list[Privileged]
    findings: list[Finding]


def review(image: image_reader.Image, runtimes: Iterable[Engine]) -> Review:
    """Reviews an image.

    Args:
      image: the image.
      runtimes: whose defaults decide what a container can use.
    """
    processes: dict[str, InitialProcess | str] = {str(runtime): _process(image, runtime) for runtime in runtimes}
    files: list[Privileged] = []
    findings: list[Finding] = []
    invalid: set[str] = set()
    closed: dict[str, Node] = {}  # Directories that not everybody may enter.
    open_directories: dict[str, Node] = {}  # Directories in which others than the owner can replace files.
    names: dict[int, list[str]] = {}  # By node: hard links to one file are one node.
    for path, node in image.walk():
        if node.type == DIRECTORY:
            if not node.mode & stat.S_IXOTH:
                closed[path] = node
            if node.mode & (stat.S_IWGRP | stat.S_IWOTH) and not node.mode & stat.S_ISVTX:
                open_directories[path] = node
            continue
        if node.type != FILE:
            continue
        record = image.capabilities.get(path)
        if record is None and _XATTR in node.xattrs:
            invalid.add(path)
        made = Privileged(path, record, node.mode, node.uid, node.gid, image.is_script(node))
        if record is None and made.set_user_id is None and made.set_group_id is None:
            continue
        names.setdefault(id(node), []).append(path)
        uses = {name: _use(made, process, closed) for name, process in processes.items()}
        files.append(replace(made, severity=severity(made), uses=uses))
        findings += _inventory(files[-1])
        findings += _faults(files[-1])
        findings += _places(files[-1], open_directories)
    for paths in names.values():
        for path in paths[1:]:
            what = f"is the same file as {paths[0]}, a hard link"
            findings.append(Finding(rules.HARD_LINK, LOW, path, what))
    findings += _problems(image.problems, invalid)
    return Review(_user(processes), files, ordered(findings))


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """Returns findings in the order of reports: the most severe first, then by rule and path."""
    return sorted(findings, key=lambda each: (-SEVERITIES.index(each.severity), each.rule.id, each.path, each.message))


def describe_privileges(file: Privileged) -> str:
    """Returns what a file has, as allowlists and reports write it: "cap_net_raw=p set-user-ID=0"."""
    parts = []
    if file.capabilities is not None:
        parts.append(file.capabilities.to_text())
        if file.capabilities.rootid:
            parts.append(f"[rootid={file.capabilities.rootid}]")
    if file.set_user_id is not None:
        parts.append(f"set-user-ID={file.set_user_id}")
    if file.set_group_id is not None:
        parts.append(f"set-group-ID={file.set_group_id}")
    return " ".join(parts)


def severity(file: Privileged) -> str:
    """Returns what the privileges of a file are worth to an attacker who controls its process."""
    severities = [DANGERS[name].severity for bit, name in enumerate(NAMES) if file.asked >> bit & 1]
    if file.set_user_id is not None:
        severities.append(MEDIUM if file.uid else CRITICAL)
    if file.set_group_id is not None:
        severities.append(MEDIUM if file.gid else HIGH)
    return find_worst_severity(severities)


def _process(image: image_reader.Image, runtime: Engine) -> InitialProcess | str:
    """Returns the process that a runtime starts by default; why that is not known, if it is not."""
    found = image.config.get("config")
    config = found if isinstance(found, dict) else {}
    found = config.get("Labels")
    labels = {name: text for name, text in found.items() if isinstance(text, str)} if isinstance(found, dict) else {}
    settings = Settings(where=str(runtime), engine_name=runtime.name)
    try:
        return compute_initial_process(settings, runtime, str(config.get("User") or ""), image.users, labels)
    except InputError as error:
        return "; ".join(error.problems)


def _user(processes: dict[str, InitialProcess | str]) -> str:
    process = next(iter(processes.values()))
    return process if isinstance(process, str) else f"uid {process.uid}: {process.because['uid']}"


def _use(file: Privileged, process: InitialProcess | str, closed: dict[str, Node]) -> Use:
    """Returns whether the process of a container can use the privileges of a file."""
    if isinstance(process, str):
        return Use(UNKNOWN, 0, process)
    if file.script:
        return Use(NO, 0, "the kernel ignores them on a script")
    if not file.mode & 0o111:
        return Use(NO, 0, "nobody may execute the file")
    if process.uid and (barred := _barred(file, process.uid, closed)):
        return barred
    before = execve.Process.with_ids(
        process.uid,
        process.uid,
        permitted=process.permitted,
        inheritable=process.inheritable,
        effective=process.effective,
        bounding=process.bounding,
        ambient=process.ambient,
        no_new_privs=process.no_new_privs,
    )
    outcome = execve.execve(before, execve.File(file.capabilities, file.uid, file.gid, file.mode))
    after = outcome.process
    if after is None:
        missing = file.asked & ~process.bounding
        return Use(NO, 0, f"it does not start: its effective bit is set, and {format_capabilities(missing)} is not granted")
    if file.capabilities is None:
        return Use(YES, after.permitted if after.euid != process.uid else 0)
    gained = file.asked & after.permitted
    if gained == file.asked and gained or file.set_user_id is not None:
        return Use(YES, gained)
    if file.capabilities.rootid:
        return Use(NO, gained, f"its capabilities are for the user namespace whose root is uid {file.capabilities.rootid}")
    if not file.asked:
        return Use(NO, 0, "it asks for no capability")
    why = f"{format_capabilities(file.asked & ~gained)} is not granted"
    if not file.asked & ~process.bounding:
        why = "its capabilities are only inheritable, and the process has none so"
    return Use(PARTLY if gained else NO, gained, why)


def _barred(file: Privileged, uid: int, closed: dict[str, Node]) -> Use | None:
    """Returns the answer for a user whom permissions keep from executing a file; None if they do not."""
    way: list[tuple[str, str, Node | Privileged]] = [("enter", path, closed[path]) for path in _parents(file.path) if path in closed]
    for verb, path, node in [*way, ("execute", file.path, file)]:
        if node.mode & (stat.S_IXUSR if uid == node.uid else stat.S_IXOTH):
            continue
        if node.mode & stat.S_IXGRP and uid != node.uid:
            return Use(UNKNOWN, 0, f"only members of group {node.gid} may {verb} {path}")
        return Use(NO, 0, f"uid {uid} may not {verb} {path}")
    return None


def _parents(path: str) -> Iterator[str]:
    """Yields the directories above a path, the nearest first, without the root."""
    while (path := posixpath.dirname(path)) not in ("/", ""):
        yield path


def _inventory(file: Privileged) -> Iterator[Finding]:
    """Yields a finding for each kind of privilege."""
    if file.capabilities is not None:
        plain = replace(file, mode=0o755)  # Without set-ID bits.
        yield Finding(rules.CAPABILITIES, severity(plain), file.path, f"has {describe_privileges(plain)}")
    if file.set_user_id is not None:
        yield Finding(rules.SET_USER_ID, MEDIUM if file.uid else CRITICAL, file.path, f"is executed as uid {file.uid} (set-user-ID)")
    if file.set_group_id is not None:
        yield Finding(rules.SET_GROUP_ID, MEDIUM if file.gid else HIGH, file.path, f"is executed with gid {file.gid} (set-group-ID)")


def _faults(file: Privileged) -> Iterator[Finding]:
    """Yields what is wrong with the privileges themselves."""
    record, path = file.capabilities, file.path
    at_least_medium = find_worst_severity([file.severity, MEDIUM])
    if file.script:
        what = "is a script: the kernel ignores its capabilities and set-ID bits, and takes those of its interpreter"
        yield Finding(rules.SCRIPT, MEDIUM, path, what)
    elif not file.mode & 0o111:
        yield Finding(rules.NOT_EXECUTABLE, LOW, path, f"has mode {file.mode & 0o7777:04o}: nobody may execute it")
    kind = find_program_kind(posixpath.basename(path))
    if kind and not file.script and (kind != RUNNER or file.set_user_id is not None or file.set_group_id is not None):
        yield Finding(rules.INTERPRETER, at_least_medium, path, f"is {kind}: its privileges are those of whoever executes it")
    if record is None:
        return
    granted = (record.permitted | record.inheritable) & ALL
    roots = [name for bit, name in enumerate(NAMES) if record.permitted >> bit & 1 and DANGERS[name].severity == CRITICAL]
    if granted == ALL:
        yield Finding(rules.EVERYTHING, CRITICAL, path, "has every capability, as a set-user-ID root program does")
    elif roots:
        yield Finding(rules.ROOT, CRITICAL, path, f"has {','.join(roots)}: {'this alone' if len(roots) == 1 else 'each alone'} equals root")
    if unknown := (record.permitted | record.inheritable) & ~ALL:
        numbers = ",".join(str(bit) for bit in range(64) if unknown >> bit & 1)
        yield Finding(rules.UNKNOWN, MEDIUM, path, f"has capabilities that no kernel knows: {numbers}")
    if record.inheritable and not record.permitted:
        yield Finding(rules.INHERITABLE, LOW, path, "has inheritable capabilities alone, which give nothing to a process of a container")
    if record.rootid:
        what = f"has capabilities for the user namespace whose root is uid {record.rootid}, and for no other"
        yield Finding(rules.ROOTID, LOW, path, what)
    if file.set_user_id is not None:
        what = "has capabilities and a set-user-ID bit: for a caller who is not root, the capabilities limit the bit"
        yield Finding(rules.BOTH, MEDIUM, path, what)


def _places(file: Privileged, open_directories: dict[str, Node]) -> Iterator[Finding]:
    """Yields who can change a file."""
    worth = find_worst_severity([file.severity, MEDIUM])
    who = _writers(file.mode, file.gid)
    if who:
        what = f"has mode {file.mode & 0o7777:04o}: {who} can put code of their own in it and keep its privileges"
        yield Finding(rules.WRITABLE, worth, file.path, what)
    if file.uid and file.capabilities is not None:
        what = f"belongs to uid {file.uid}, who can put code of their own in it and keep its capabilities"
        yield Finding(rules.OWNER, worth, file.path, what)
    for path in _parents(file.path):
        if path in open_directories:
            node = open_directories[path]
            what = f"is below {path} with mode {node.mode & 0o7777:04o}, where {_writers(node.mode, node.gid)} can replace it"
            yield Finding(rules.WRITABLE_DIRECTORY, HIGH if node.mode & stat.S_IWOTH else MEDIUM, file.path, what)
            break


def _writers(mode: int, gid: int) -> str:
    """Returns who may write besides the owner; "" if nobody."""
    if mode & stat.S_IWOTH:
        return "everybody"
    return f"members of group {gid}" if mode & stat.S_IWGRP else ""


def _problems(problems: Iterable[str], invalid: set[str]) -> Iterator[Finding]:
    """Yields the problems that the reader of images found, each with the path that it begins with."""
    for text in problems:
        path = ""
        try:
            start, end = json.JSONDecoder().raw_decode(text)
            if isinstance(start, str) and start.startswith("/") and text[end : end + 2] == ": ":
                path, text = start, text[end + 2 :]
        except ValueError:
            pass
        rule = rules.INVALID if path in invalid else rules.PROBLEM
        yield Finding(rule, MEDIUM, path, text)

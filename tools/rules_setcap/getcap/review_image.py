"""Reviews an image: lists its files with capabilities or set-ID bits, and finds what is dangerous or wrong about them."""

from __future__ import annotations

import json
import posixpath
import stat
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rules_setcap.archive.entry import DIRECTORY, FILE
from rules_setcap.capabilities import xattr
from rules_setcap.capabilities.names import ALL, NAMES
from rules_setcap.containers.dangers import (
    CRITICAL,
    DANGERS,
    HIGH,
    LOW,
    MEDIUM,
    RUNNER,
    SEVERITIES,
    find_program_kind,
    find_worst_severity,
)
from rules_setcap.diagnostics.errors import escape
from rules_setcap.getcap import review_rules
from rules_setcap.getcap.privileges import PrivilegedFile, describe_privileges, rate_group_id, rate_privileges, rate_user_id
from rules_setcap.getcap.usability import compute_usability, list_parents, start_default_process

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rules_setcap.containers.engines import Engine
    from rules_setcap.containers.process import InitialProcess
    from rules_setcap.diagnostics.sarif import Rule
    from rules_setcap.oci.image_reader import Image
    from rules_setcap.oci.nodes import Node

_XATTR = xattr.NAME.encode()


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to look at in an image or in the allowlist.

    Attributes:
      rule: the rule that found it.
      severity: one of dangers.SEVERITIES.
      path: the path of the file in the image; "" if the finding is not about a file.
      message: a sentence; if `path` is not "", the file is its subject.
    """

    rule: Rule
    severity: str
    path: str
    message: str


@dataclass(frozen=True, slots=True)
class Review:
    """The result of reviewing an image.

    Attributes:
      user: the user of the image's process: "uid 0: no user is named"; or why it is unknown.
      files: the files that give privileges, by path.
      findings: the findings, the most severe first.
    """

    user: str
    files: list[PrivilegedFile]
    findings: list[Finding]


def review_image(image: Image, engines: Iterable[Engine]) -> Review:
    """Reviews an image.

    Args:
      image: the image.
      engines: the container engines whose defaults decide which privileges a container can use.
    """
    processes = {str(engine): start_default_process(image, engine) for engine in engines}
    files: list[PrivilegedFile] = []
    findings: list[Finding] = []
    invalid_paths: set[str] = set()
    closed_directories: dict[str, Node] = {}  # Not everybody may enter these.
    open_directories: dict[str, Node] = {}  # Users other than the owner can replace files in these.
    paths_by_node: dict[int, list[str]] = {}  # Hard links to one file are one node.
    for path, node in image.walk():
        if node.type == DIRECTORY:
            if not node.mode & stat.S_IXOTH:
                closed_directories[path] = node
            if node.mode & (stat.S_IWGRP | stat.S_IWOTH) and not node.mode & stat.S_ISVTX:
                open_directories[path] = node
            continue
        if node.type != FILE:
            continue
        record = image.capabilities.get(path)
        if record is None and _XATTR in node.xattrs:
            invalid_paths.add(path)
        file = PrivilegedFile(path, record, node.mode, node.uid, node.gid, image.is_script(node))
        if record is None and file.set_user_id is None and file.set_group_id is None:
            continue
        paths_by_node.setdefault(id(node), []).append(path)
        usability = {name: compute_usability(file, process, closed_directories) for name, process in processes.items()}
        file = replace(file, severity=rate_privileges(file), usability=usability)
        files.append(file)
        findings += _list_privileges(file)
        findings += _check_privileges(file)
        findings += _check_writers(file, open_directories)
    for first, *others in paths_by_node.values():
        findings += (
            Finding(review_rules.HARD_LINK, LOW, path, f"is a hard link to the same file as {escape(first)}") for path in others
        )
    findings += _convert_problems(image.problems, invalid_paths)
    return Review(_describe_user(processes), files, sort_findings(findings))


def sort_findings(findings: Iterable[Finding]) -> list[Finding]:
    """Returns findings in the order of reports: the most severe first, then by rule, path and message."""
    return sorted(
        findings, key=lambda finding: (-SEVERITIES.index(finding.severity), finding.rule.id, finding.path, finding.message)
    )


def describe_finding(finding: Finding) -> str:
    """Returns the sentence of a finding, with the path of its file."""
    return f"{escape(finding.path)} {finding.message}" if finding.path else finding.message


def _describe_user(processes: dict[str, InitialProcess | str]) -> str:
    """Returns the user of the image's process, which is the same for all engines."""
    process = next(iter(processes.values()))
    return process if isinstance(process, str) else f"uid {process.uid}: {process.because['uid']}"


def _list_privileges(file: PrivilegedFile) -> Iterator[Finding]:
    """Yields a finding for each kind of privilege that a file has."""
    if file.capabilities is not None:
        without_set_id = replace(file, mode=0o755)
        message = f"has {describe_privileges(without_set_id)}"
        yield Finding(review_rules.CAPABILITIES, rate_privileges(without_set_id), file.path, message)
    if file.set_user_id is not None:
        message = f"is executed as uid {file.uid} (set-user-ID)"
        yield Finding(review_rules.SET_USER_ID, rate_user_id(file.uid), file.path, message)
    if file.set_group_id is not None:
        message = f"is executed with gid {file.gid} (set-group-ID)"
        yield Finding(review_rules.SET_GROUP_ID, rate_group_id(file.gid), file.path, message)


def _check_privileges(file: PrivilegedFile) -> Iterator[Finding]:
    """Yields findings about the privileges of a file: they have no effect, or more effect than it seems."""
    path = file.path
    if file.script:
        message = "is a script: the kernel ignores its capabilities and set-ID bits, and takes those of its interpreter"
        yield Finding(review_rules.SCRIPT, MEDIUM, path, message)
    elif not file.mode & 0o111:
        yield Finding(review_rules.NOT_EXECUTABLE, LOW, path, f"has mode {file.mode & 0o7777:04o}: nobody may execute it")
    kind = find_program_kind(posixpath.basename(path))
    if kind and not file.script and (kind != RUNNER or file.set_user_id is not None or file.set_group_id is not None):
        message = f"is {kind}: its privileges are those of whoever executes it"
        yield Finding(review_rules.INTERPRETER, find_worst_severity([file.severity, MEDIUM]), path, message)
    if file.capabilities is not None:
        yield from _check_capabilities(file)


def _check_capabilities(file: PrivilegedFile) -> Iterator[Finding]:
    """Yields findings about the capabilities of a file that has some."""
    record, path = file.capabilities, file.path
    assert record is not None
    root_equivalents = [
        name for bit, name in enumerate(NAMES) if record.permitted >> bit & 1 and DANGERS[name].severity == CRITICAL
    ]
    if file.assigned == ALL:
        yield Finding(review_rules.EVERYTHING, CRITICAL, path, "has every capability, as a set-user-ID root program does")
    elif root_equivalents:
        which = "this alone" if len(root_equivalents) == 1 else "each alone"
        yield Finding(review_rules.EQUALS_ROOT, CRITICAL, path, f"has {','.join(root_equivalents)}: {which} equals root")
    if unknown := (record.permitted | record.inheritable) & ~ALL:
        numbers = ",".join(str(bit) for bit in range(64) if unknown >> bit & 1)
        yield Finding(review_rules.UNKNOWN_CAPABILITIES, MEDIUM, path, f"has capabilities that no kernel knows: {numbers}")
    if record.inheritable and not record.permitted:
        message = "has only inheritable capabilities, which give nothing to a process of a container"
        yield Finding(review_rules.INHERITABLE_ONLY, LOW, path, message)
    if record.rootid:
        message = f"has capabilities for the user namespace whose root is uid {record.rootid}, and for no other"
        yield Finding(review_rules.ROOTID, LOW, path, message)
    if file.set_user_id is not None:
        message = "has capabilities and a set-user-ID bit: for a caller who is not root, the capabilities limit the bit"
        yield Finding(review_rules.SET_USER_ID_AND_CAPABILITIES, MEDIUM, path, message)


def _check_writers(file: PrivilegedFile, open_directories: dict[str, Node]) -> Iterator[Finding]:
    """Yields findings about users other than root who can change or replace a file."""
    severity = find_worst_severity([file.severity, MEDIUM])
    if writers := _describe_writers(file.mode, file.gid):
        message = f"has mode {file.mode & 0o7777:04o}: {writers} can put code of their own in it and keep its privileges"
        yield Finding(review_rules.WRITABLE, severity, file.path, message)
    if file.uid and file.capabilities is not None:
        message = f"belongs to uid {file.uid}, who can put code of their own in it and keep its capabilities"
        yield Finding(review_rules.OWNER, severity, file.path, message)
    directory = next((path for path in list_parents(file.path) if path in open_directories), "")
    if directory:
        node = open_directories[directory]
        writers = _describe_writers(node.mode, node.gid)
        message = f"is below {escape(directory)} with mode {node.mode & 0o7777:04o}, where {writers} can replace it"
        yield Finding(review_rules.WRITABLE_DIRECTORY, HIGH if node.mode & stat.S_IWOTH else MEDIUM, file.path, message)


def _describe_writers(mode: int, gid: int) -> str:
    """Returns who may write to a file besides its owner; "" if nobody may."""
    if mode & stat.S_IWOTH:
        return "everybody"
    return f"members of group {gid}" if mode & stat.S_IWGRP else ""


def _convert_problems(problems: Iterable[str], invalid_paths: set[str]) -> Iterator[Finding]:
    """Yields the problems of the image as findings.

    Args:
      problems: the messages of the image reader. One about a file begins with its path as a JSON string, and a colon.
      invalid_paths: the paths of the files whose attribute is not valid.
    """
    for problem in problems:
        path, message = _split_path(problem)
        rule = review_rules.INVALID_ATTRIBUTE if path in invalid_paths else review_rules.IMAGE_PROBLEM
        yield Finding(rule, MEDIUM, path, message)


def _split_path(problem: str) -> tuple[str, str]:
    """Splits a problem into the path of the file that it is about, or "", and the rest of the message."""
    try:
        path, end = json.JSONDecoder().raw_decode(problem)
    except ValueError:
        return "", problem
    if isinstance(path, str) and path.startswith("/") and problem[end:].startswith(": "):
        return path, problem[end:].removeprefix(": ")
    return "", problem

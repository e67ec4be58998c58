"""The allowlist of `getcap --review`: what an image may have, one file a line, as getcap prints it.

    # Comments and empty lines are skipped.
    /usr/bin/ping cap_net_raw=p
    /usr/bin/passwd set-user-ID=0                       # users change their own password
    /usr/bin/python3.13 cap_net_bind_service=ep accept=RSC204
    problem "\\"/usr/bin/x\\": capabilities on a directory, which mean nothing"

A path with spaces, quotes, "#" or characters that cannot be printed is written as a JSON string. Several lines of one
path are alternatives.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from rules_setcap import capabilities
from rules_setcap.capabilities import CapabilityError, FileCapabilities
from rules_setcap.capabilities.names import NAMES
from rules_setcap.containers.dangers import LOW
from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import InputError, problem, quote
from rules_setcap.getcap import rules
from rules_setcap.getcap.review import Finding, Privileged, Review, describe_privileges, severity

_NUMBER = re.compile(r"(set-user-ID|set-group-ID)=([0-9]{1,10})", re.ASCII)
_ROOTID = re.compile(r"\[rootid=([0-9]{1,10})\]", re.ASCII)
_PLAIN = re.compile(r'/[^\s"#\\]*')
_COMMENT = re.compile(r"(?:^|\s)#\s?(.*)$")
_ACCEPTED = {rule.id for rule in rules.RULES if rule not in rules.BY_LINE and rule not in (rules.STALE, rules.PROBLEM)}


@dataclass
class Line:
    """A line of an allowlist.

    Attributes:
      where: file and line number.
      path: of the file in the image; "" of a problem.
      capabilities: at most these; None if the file may not have any.
      set_user_id: the uid that the file may be executed with; None if it may not be set-user-ID.
      set_group_id: likewise, the gid.
      accepted: ids of rules whose findings about the file are accepted.
      problem: the text of an accepted problem of the image; "" of a file.
      reason: the comment.
      used: what some image has of it: "line", "set-user-ID", "set-group-ID", ids of rules.
      used_capabilities: those that some image has of it, as a mask.
    """

    where: str
    path: str
    capabilities: FileCapabilities | None = None
    set_user_id: int | None = None
    set_group_id: int | None = None
    accepted: frozenset[str] = frozenset()
    problem: str = ""
    reason: str = ""
    used: set[str] = field(default_factory=set)
    used_capabilities: int = 0


class Allowlist:
    """An allowlist, and which of its lines something needed."""

    def __init__(self, lines: Iterable[Line] = ()) -> None:
        self.lines = list(lines)
        self._by_path: dict[str, list[Line]] = {}
        self._problems: dict[str, list[Line]] = {}
        for line in self.lines:
            at, key = (self._by_path, line.path) if line.path else (self._problems, line.problem)
            at.setdefault(key, []).append(line)

    def filter(self, review: Review) -> list[Finding]:
        """Returns the findings that no line allows, and marks the lines that allow the others."""
        allowed: set[tuple[str, str]] = set()
        left: list[Finding] = []
        for file in review.files:
            lines = self._by_path.get(file.path, [])
            line = next((line for line in lines if not _excess(file, line)), None)
            if line:
                _use(line, file)
                allowed |= {(rule.id, file.path) for rule in rules.BY_LINE}
            elif lines:
                # Of several, the line that the file exceeds least.
                line = min(lines, key=lambda line: len(_excess(file, line)))
                _use(line, file)
                allowed |= {(rule.id, file.path) for rule in rules.BY_LINE}
                what = f"has {describe_privileges(file)}; {line.where} allows {_describe(line)}: " + ", ".join(_excess(file, line))
                left.append(Finding(rules.MORE, severity(file), file.path, what))
        for finding in review.findings:
            if (finding.rule.id, finding.path) in allowed:
                continue
            lines = [line for line in self._by_path.get(finding.path, []) if finding.rule.id in line.accepted]
            lines += self._problems.get(problem_text(finding), [])
            for line in lines:
                line.used |= {"line", finding.rule.id}
            if not lines:
                left.append(finding)
        return left

    def stale(self) -> Iterator[Finding]:
        """Yields what no image needed, after filter() of all images."""
        for line in self.lines:
            if "line" not in line.used:
                what = f"{line.where}: no image has " + (f"{quote(line.path)} with {_describe(line)}" if line.path else "this problem")
                yield Finding(rules.STALE, LOW, line.path, what)
                continue
            allowed = line.capabilities or FileCapabilities(0, 0, 0)
            spare = (allowed.permitted | allowed.inheritable) & ~line.used_capabilities
            unused = [_names(spare)] if spare else []
            unused += ["set-user-ID"] if line.set_user_id is not None and "set-user-ID" not in line.used else []
            unused += ["set-group-ID"] if line.set_group_id is not None and "set-group-ID" not in line.used else []
            if unused:
                what = f"{line.where}: allows {', '.join(unused)}, which the file has in no image"
                yield Finding(rules.STALE, LOW, line.path, what)
            for rule_id in sorted(line.accepted - line.used):
                yield Finding(rules.STALE, LOW, line.path, f"{line.where}: accepts {rule_id}, which is found in no image")


def read(data: bytes, name: str) -> Allowlist:
    """Reads an allowlist.

    Args:
      data: its content.
      name: the file, for messages.

    Raises:
      InputError: with every line that is wrong.
    """
    if len(data) > limits.TEXT:
        raise InputError([problem("--allow", name, f"more than {limits.TEXT} bytes")])
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise InputError([problem("--allow", name, "not UTF-8 text")]) from None
    lines: list[Line] = []
    problems: list[str] = []
    for number, each in enumerate(text.split("\n"), 1):
        try:
            if line := _line(each.strip(), f"{name}:{number}"):
                lines.append(line)
        except (ValueError, CapabilityError) as error:
            problems += [f"{name}:{number}: {what}" for what in getattr(error, "problems", None) or [str(error)]]
    if problems:
        raise InputError(problems)
    return Allowlist(lines)


def write(reviews: Iterable[Review], known: Allowlist) -> str:
    """Returns an allowlist of all that images have.

    Args:
      reviews: of the images.
      known: an allowlist from which the reasons of lines that stay the same are taken.
    """
    reasons = {_key(line): line.reason for line in known.lines if line.reason}
    made: dict[str, str] = {}  # The path of each line.
    for review in reviews:
        accepted: dict[str, set[str]] = {}
        for finding in review.findings:
            if finding.rule.id in _ACCEPTED:
                accepted.setdefault(finding.path, set()).add(finding.rule.id)
        there = {file.path: describe_privileges(file) for file in review.files}
        for path in sorted({*there, *accepted}):
            words = [_write_path(path), there.get(path, "")]
            if path in accepted:
                words.append("accept=" + ",".join(sorted(accepted[path])))
            text = " ".join(filter(None, words))
            made[text] = path
        for finding in review.findings:
            if finding.rule is rules.PROBLEM:
                made["problem " + json.dumps(problem_text(finding))] = "~"  # After all paths.
    lines = []
    for text in sorted(made, key=lambda text: (made[text], text)):
        line = _line(text, "")
        assert line
        reason = reasons.get(_key(line), "")
        lines.append(text + (f"  # {reason}" if reason else "") + "\n")
    return "".join(lines)


def problem_text(finding: Finding) -> str:
    """Returns a problem of the image as allowlists write it; "" for other findings."""
    if finding.rule is not rules.PROBLEM:
        return ""
    return f"{quote(finding.path)}: {finding.message}" if finding.path else finding.message


def _line(text: str, where: str) -> Line | None:
    """Reads a line; None if there is nothing in it.

    Raises:
      ValueError: with what is wrong.
      CapabilityError: with every problem of a capability text.
    """
    if not text or text.startswith("#"):
        return None
    if text.startswith("problem "):
        message, rest = _json_string(text[len("problem ") :].lstrip())
        return Line(where, "", problem=message, reason=_reason(rest)[1])
    if text.startswith('"'):
        path, rest = _json_string(text)
    else:
        match = _PLAIN.match(text)
        path, rest = (match[0], text[match.end() :]) if match else ("", text)
    if not path.startswith("/") or rest[:1].strip():
        raise ValueError(f"{quote(text)}: must begin with the absolute path of a file; write a path with spaces or quotes as a JSON string")
    rest, reason = _reason(rest)
    line = Line(where, path, reason=reason)
    rootid, clauses = 0, []
    for word in rest.split():
        if match := _NUMBER.fullmatch(word):
            if match[1] == "set-user-ID":
                line.set_user_id = int(match[2])
            else:
                line.set_group_id = int(match[2])
        elif word.startswith(("set-user-ID", "set-group-ID")):
            raise ValueError(f"{quote(word)}: not valid; write {word[: word.index('ID') + 2]}= and a number")
        elif match := _ROOTID.fullmatch(word):
            rootid = int(match[1])
        elif word.startswith("accept="):
            line.accepted = frozenset(word.removeprefix("accept=").split(","))
            if unknown := sorted(line.accepted - _ACCEPTED):
                ids = ", ".join(sorted(_ACCEPTED))
                raise ValueError(f"{quote(word)}: {quote(unknown[0])} is not a rule that can be accepted; those are {ids}")
        else:
            clauses.append(word)
    if clauses:
        line.capabilities = capabilities.from_text(" ".join(clauses))._replace(rootid=rootid)
    elif rootid:
        raise ValueError(f"[rootid={rootid}] without capabilities")
    if line.capabilities is None and line.set_user_id is None and line.set_group_id is None and not line.accepted:
        raise ValueError(f"{quote(text)}: says nothing about the file; write its capabilities, set-user-ID=UID or set-group-ID=GID")
    return line


def _json_string(text: str) -> tuple[str, str]:
    try:
        value, end = json.JSONDecoder().raw_decode(text)
    except ValueError:
        value, end = None, 0
    if not isinstance(value, str):
        raise ValueError(f"{quote(text)}: not a JSON string")
    return value, text[end:]


def _reason(text: str) -> tuple[str, str]:
    """Splits a comment off."""
    match = _COMMENT.search(text)
    return (text[: match.start()], match[1].strip()) if match else (text, "")


def _write_path(path: str) -> str:
    plain = _PLAIN.fullmatch(path) and path.isprintable()
    return path if plain else json.dumps(path)


def _key(line: Line) -> tuple[object, ...]:
    return line.path, line.capabilities, line.set_user_id, line.set_group_id, line.problem


def _describe(line: Line) -> str:
    """Returns what a line allows."""
    parts = []
    if line.capabilities is not None:
        parts.append(line.capabilities.to_text() + (f" [rootid={line.capabilities.rootid}]" if line.capabilities.rootid else ""))
    if line.set_user_id is not None:
        parts.append(f"set-user-ID={line.set_user_id}")
    if line.set_group_id is not None:
        parts.append(f"set-group-ID={line.set_group_id}")
    return " ".join(parts) or "no privileges"


def _excess(file: Privileged, line: Line) -> list[str]:
    """Returns what a file has beyond what a line allows."""
    excess = []
    if file.capabilities is not None:
        allowed = line.capabilities
        if allowed is None:
            excess.append("capabilities")
        else:
            for name in "permitted", "inheritable", "effective":
                if more := getattr(file.capabilities, name) & ~getattr(allowed, name):
                    excess.append(f"{_names(more)} {name}")
            if allowed.rootid and file.capabilities.rootid != allowed.rootid:
                excess.append(f"rootid {file.capabilities.rootid}")
    for name in "set_user_id", "set_group_id":
        value = getattr(file, name)
        if value is not None and value != getattr(line, name):
            excess.append(f"{name.replace('_', '-').replace('id', 'ID')}={value}")
    return excess


def _use(line: Line, file: Privileged) -> None:
    line.used.add("line")
    if file.set_user_id is not None:
        line.used.add("set-user-ID")
    if file.set_group_id is not None:
        line.used.add("set-group-ID")
    if file.capabilities is not None:
        line.used_capabilities |= file.capabilities.permitted | file.capabilities.inheritable


def _names(mask: int) -> str:
    """Returns the names in a mask, numbers for those without."""
    return ",".join(NAMES[bit] if bit < len(NAMES) else str(bit) for bit in range(64) if mask >> bit & 1)

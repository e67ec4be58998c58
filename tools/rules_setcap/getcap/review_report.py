"""Writes reviews: as text for people, as JSON for programs, as SARIF 2.1.0 for code scanning."""

from __future__ import annotations

import hashlib
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote as quote_uri

from rules_setcap.capabilities.names import ALL, NAMES
from rules_setcap.containers.dangers import CRITICAL, DANGERS, HIGH, LOW, MEDIUM, SEVERITIES
from rules_setcap.diagnostics.errors import printable
from rules_setcap.getcap import rules
from rules_setcap.getcap.review import PARTLY, UNKNOWN, YES, Finding, Privileged, Review, describe_privileges, ordered

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {CRITICAL: "error", HIGH: "error", MEDIUM: "warning", LOW: "note"}
# CVSS 3.1, "Qualitative Severity Rating Scale": one number of each range, for programs that sort by number.
_SCORES = {CRITICAL: "9.0", HIGH: "7.0", MEDIUM: "4.0", LOW: "1.0"}
_LISTED = frozenset((rules.CAPABILITIES, rules.SET_USER_ID, rules.SET_GROUP_ID))  # The table has them.
_GAP = "  "


@dataclass(frozen=True)
class Reviewed:
    """An image with its review.

    Attributes:
      path: the image as the user calls it.
      platform: os/architecture[/variant]; "" if it is not known.
      review: the review.
      findings: those of the review that are reported: without the allowed ones.
    """

    path: str
    platform: str
    review: Review
    findings: list[Finding]


def text(images: Sequence[Reviewed], others: Sequence[Finding], width: int) -> Iterator[str]:
    """Yields the lines for people; none if nothing is found.

    Args:
      images: the images.
      others: findings about none of them.
      width: letters in a line.
    """
    merged: dict[tuple[str, ...], list[str]] = {}
    for image in images:
        if image.findings:
            name = image.path + (f" ({image.platform})" if image.platform else "")
            merged.setdefault(tuple(_body(image, width)), []).append(name)
    for body, names in merged.items():
        yield from _wrapped(", ".join(names) + ":", width, "", "  ")
        yield from body
        yield ""
    yield from _findings("the allowlist:", others, width)
    if others:
        yield ""
    total = [finding for image in images for finding in image.findings] + list(others)
    if total:
        counts = (f"{count} {name}" for name in SEVERITIES[::-1] if (count := sum(each.severity == name for each in total)))
        yield f"{len(total)} finding{'s' if len(total) > 1 else ''}: {', '.join(counts)}"


def _body(image: Reviewed, width: int) -> Iterator[str]:
    """Yields the lines about one image."""
    of_root = "; a process of root has what the runtime grants without these files" if image.review.user.startswith("uid 0:") else ""
    yield from _wrapped(f"user: {image.review.user}{of_root}", width)
    paths = {finding.path for finding in image.findings}
    files = [file for file in image.review.files if file.path in paths]
    files.sort(key=lambda file: (-SEVERITIES.index(file.severity), file.path))
    if files:
        yield ""
        head = ("SEVERITY", "FILE", "HAS", "USABLE BY DEFAULT")
        yield from _table([head, *((file.severity, printable(file.path), describe_privileges(file), _usable(file)) for file in files)], width)
        yield from _limits(files, width)
        yield ""
        yield from _dangers(files, width)
    rest = [finding for finding in ordered(image.findings) if finding.rule not in _LISTED]
    if rest:
        yield ""
        yield from _findings("findings:", rest, width)


def _findings(title: str, findings: Iterable[Finding], width: int) -> Iterator[str]:
    rows = [(each.severity, each.rule.id, f"{each.path} {each.message}" if each.path else each.message) for each in findings]
    if rows:
        yield title
        yield from _table([(severity, rule, printable(what)) for severity, rule, what in rows], width)


def _usable(file: Privileged) -> str:
    """Returns the runtimes by whose defaults a file's privileges can be used, in a few words."""
    answers = {name: use.answer for name, use in file.uses.items()}
    if len(set(answers.values())) == 1:
        return next(iter(answers.values()))
    parts = [", ".join(name for name, answer in answers.items() if answer == YES)]
    for answer in PARTLY, UNKNOWN:
        if names := [name for name, each in answers.items() if each == answer]:
            parts.append(f"{answer}: {', '.join(names)}")
    return "; ".join(filter(None, parts)) or "no"


def _limits(files: Iterable[Privileged], width: int) -> Iterator[str]:
    """Yields why privileges cannot be used: each reason once, with its runtimes and files."""
    reasons: dict[str, dict[str, list[str]]] = {}
    for file in files:
        for runtime, use in file.uses.items():
            if use.why:
                reasons.setdefault(use.why, {}).setdefault(file.path, []).append(runtime)
    if reasons:
        yield ""
    for why, paths in reasons.items():
        runtimes = list(dict.fromkeys(name for names in paths.values() for name in names))
        everywhere = all(len(names) == len(file.uses) for file in files if (names := paths.get(file.path)))
        prefix = "not usable" if everywhere else f"not usable in {', '.join(runtimes)}"
        yield from _wrapped(printable(f"{prefix}: {', '.join(paths)}: {why}"), width, "  ", "    ")


def _dangers(files: Sequence[Privileged], width: int) -> Iterator[str]:
    """Yields what an attacker gets, each privilege once."""
    rows: list[tuple[str, str, str]] = []
    mask = 0
    for file in files:
        if file.asked == ALL:
            rows.append((CRITICAL, f"all {len(NAMES)} capabilities", "does all that root may do"))
        else:
            mask |= file.asked
    rows += [(DANGERS[name].severity, name, _sentence(name)) for bit, name in enumerate(NAMES) if mask >> bit & 1]
    for uid in sorted({file.set_user_id for file in files if file.set_user_id is not None}):
        does = "runs as root, with every capability that the runtime grants" if uid == 0 else "runs as that user"
        rows.append((MEDIUM if uid else CRITICAL, f"set-user-ID={uid}", f"{does} [execve(2)]"))
    for gid in sorted({file.set_group_id for file in files if file.set_group_id is not None}):
        rows.append((MEDIUM if gid else HIGH, f"set-group-ID={gid}", "reads and writes what that group may [execve(2)]"))
    rows = sorted(dict.fromkeys(rows), key=lambda row: -SEVERITIES.index(row[0]))
    yield "what each gives an attacker who controls the program:"
    yield from _table(rows, width)


def _sentence(name: str) -> str:
    danger = DANGERS[name]
    more = danger.sources[1:]
    return danger.gives + (f" [{'; '.join(more)}]" if more else "")


def _table(rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    """Yields aligned lines; cells wrap within their columns."""
    count = len(rows[0])
    widths = [max(len(row[at]) for row in rows) for at in range(count)]
    room = max(width - len(_GAP) * count, 20 * count)
    # The widest columns give way until the line fits.
    while sum(widths) > room:
        at = max(range(count), key=widths.__getitem__)
        others = max(length for index, length in enumerate(widths) if index != at)
        widths[at] = max(widths[at] - (sum(widths) - room), min(others, widths[at] - 1), 1)
    for row in rows:
        cells = [textwrap.wrap(cell, length, break_on_hyphens=False) or [""] for cell, length in zip(row, widths)]
        for number in range(max(map(len, cells))):
            line = (cell[number] if number < len(cell) else "" for cell in cells)
            yield (_GAP + _GAP.join(each.ljust(length) for each, length in zip(line, widths))).rstrip()


def _wrapped(line: str, width: int, first: str = "", later: str = "  ") -> Iterator[str]:
    yield from textwrap.wrap(printable(line), max(width, 40), initial_indent=first, subsequent_indent=later, break_on_hyphens=False)


def to_json(images: Iterable[Reviewed], others: Iterable[Finding], errors: Sequence[str]) -> dict[str, Any]:
    """Returns what --json prints; docs/review.md describes the keys."""
    return {"images": [_image(image) for image in images], "findings": [_finding(each) for each in others], "errors": errors}


def _image(image: Reviewed) -> dict[str, Any]:
    files = image.review.files
    present = [name for bit, name in enumerate(NAMES) if any(file.asked >> bit & 1 for file in files)]
    reported = {finding.path for finding in image.findings}
    return {
        "path": image.path,
        "platform": image.platform,
        "user": image.review.user,
        "files": [{**_file(file), "allowed": file.path not in reported} for file in files],
        "findings": [_finding(each) for each in ordered(image.findings)],
        "dangers": {name: DANGERS[name]._asdict() for name in present},
    }


def _file(file: Privileged) -> dict[str, Any]:
    record = file.capabilities
    return {
        "path": file.path,
        "capabilities": record.to_text() if record else None,
        "rootid": record.rootid if record else 0,
        "set_user_id": file.set_user_id,
        "set_group_id": file.set_group_id,
        "mode": f"{file.mode & 0o7777:04o}",
        "uid": file.uid,
        "gid": file.gid,
        "script": file.script,
        "severity": file.severity,
        "usable": {
            runtime: {
                "answer": use.answer,
                "capabilities": [name for bit, name in enumerate(NAMES) if use.capabilities >> bit & 1],
                "why": use.why,
            }
            for runtime, use in file.uses.items()
        },
    }


def _finding(finding: Finding) -> dict[str, Any]:
    rule = {"rule": finding.rule.id, "name": finding.rule.name}
    return {**rule, "severity": finding.severity, "path": finding.path, "message": finding.message}


def to_sarif(images: Iterable[Reviewed], others: Iterable[Finding], errors: Sequence[str], allowlist: str) -> dict[str, Any]:
    """Returns a SARIF log (OASIS, "Static Analysis Results Interchange Format (SARIF) Version 2.1.0").

    Args:
      images: the images.
      others: findings about the allowlist.
      errors: why images cannot be read.
      allowlist: its path.
    """
    results = [
        _result(each, f"{image.path.rstrip('/')}{each.path}" if each.path else image.path, image.platform, image.path)
        for image in images
        for each in ordered(image.findings)
    ]
    results += [_result(each, allowlist, "", "") for each in others]
    invocation: dict[str, Any] = {"executionSuccessful": not errors}
    if errors:
        invocation["toolExecutionNotifications"] = [{"level": "error", "message": {"text": printable(each)}} for each in errors]
    driver = {"name": "getcap", "rules": [_rule(rule) for rule in rules.RULES]}
    run = {"tool": {"driver": driver}, "invocations": [invocation], "results": results}
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(rule: rules.Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "name": "".join(word.capitalize() for word in rule.name.split("-")),
        "shortDescription": {"text": rule.summary},
        "fullDescription": {"text": rule.summary + " " + rule.help},
        "help": {"text": rule.help},
        "properties": {"tags": ["security", "linux-capabilities"]},
    }


def _result(finding: Finding, location: str, platform: str, image: str) -> dict[str, Any]:
    path = printable(finding.path)
    message = printable(f"{finding.path} {finding.message}" if finding.path else finding.message)
    # The image's own path is left out: it differs from one checkout to the next.
    fingerprint = hashlib.sha256("\0".join((finding.rule.id, platform, path, message)).encode()).hexdigest()
    made: dict[str, Any] = {
        "physicalLocation": {"artifactLocation": {"uri": quote_uri(location.encode("utf-8", "surrogateescape"), safe="/")}},
    }
    if path and image:
        name = f"{printable(image)} {platform} {path}" if platform else f"{printable(image)} {path}"
        made["logicalLocations"] = [{"name": path, "fullyQualifiedName": name, "kind": "resource"}]
    return {
        "ruleId": finding.rule.id,
        "ruleIndex": rules.RULES.index(finding.rule),
        "level": _LEVELS[finding.severity],
        "message": {"text": message},
        "locations": [made],
        "partialFingerprints": {"getcap/v1": fingerprint},
        "properties": {"severity": finding.severity, "security-severity": _SCORES[finding.severity]},
    }

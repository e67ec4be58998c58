"""Reports reviews as text."""

from __future__ import annotations

import textwrap
from collections import Counter
from typing import TYPE_CHECKING

from rules_setcap.capabilities.names import ALL, NAMES
from rules_setcap.containers.dangers import CRITICAL, DANGERS, SEVERITIES
from rules_setcap.diagnostics.errors import escape, printable
from rules_setcap.getcap import review_rules
from rules_setcap.getcap.privileges import (
    PARTLY,
    UNKNOWN,
    YES,
    PrivilegedFile,
    describe_privileges,
    rate_group_id,
    rate_user_id,
)
from rules_setcap.getcap.review_image import Finding, describe_finding, sort_findings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rules_setcap.getcap.reviewed_image import ReviewedImage

# The table of files shows these findings.
_TABLE_RULES = frozenset((review_rules.CAPABILITIES, review_rules.SET_USER_ID, review_rules.SET_GROUP_ID))
_GAP = "  "


def format_report(images: Sequence[ReviewedImage], allowlist_findings: Sequence[Finding], width: int) -> Iterator[str]:
    """Yields the lines of the report; no line if there are no findings.

    Images with the same report share one, so that the platforms of an index do not repeat each other.

    Args:
      images: the images.
      allowlist_findings: findings about the allowlist.
      width: characters in a line.
    """
    image_counts = Counter(image.path for image in {(image.path, image.names): image for image in images}.values())
    names_by_body: dict[tuple[str, ...], list[str]] = {}
    for image in images:
        if image.findings:
            # An archive may have several images for one platform.
            shown = [*(image.names[:1] if image_counts[image.path] > 1 else ()), image.platform]
            name = escape(image.path) + (f" ({', '.join(map(escape, shown))})" if image.platform else "")
            names_by_body.setdefault(tuple(_format_image(image, width)), []).append(name)
    for body, names in names_by_body.items():
        yield from _wrap(", ".join(names) + ":", width)
        yield from body
        yield ""
    if allowlist_findings:
        yield from _format_findings("allowlist:", allowlist_findings, width)
        yield ""
    findings = [finding for image in images for finding in image.findings] + list(allowlist_findings)
    if findings:
        severities = [finding.severity for finding in findings]
        counts = [f"{severities.count(severity)} {severity}" for severity in SEVERITIES[::-1] if severity in severities]
        yield f"{len(findings)} finding{'s' if len(findings) > 1 else ''}: {', '.join(counts)}"


def _format_image(image: ReviewedImage, width: int) -> Iterator[str]:
    """Yields the lines about one image, without its name."""
    user = image.review.user
    if user.startswith("uid 0:"):
        user += "; a process of root has the capabilities that the runtime grants without these files"
    yield from _wrap(f"user: {user}", width)
    paths = {finding.path for finding in image.findings}
    files = [file for file in image.review.files if file.path in paths]
    files.sort(key=lambda file: (-SEVERITIES.index(file.severity), file.path))
    if files:
        yield ""
        rows = [("SEVERITY", "FILE", "HAS", "USABLE BY DEFAULT")]
        rows += [(file.severity, escape(file.path), describe_privileges(file), _format_usability(file)) for file in files]
        yield from _format_table(rows, width)
        yield from _format_usability_reasons(files, width)
        yield ""
        yield from _format_dangers(files, width)
    findings = [finding for finding in sort_findings(image.findings) if finding.rule not in _TABLE_RULES]
    if findings:
        yield ""
        yield from _format_findings("findings:", findings, width)


def _format_findings(title: str, findings: Iterable[Finding], width: int) -> Iterator[str]:
    """Yields a table of findings below a title."""
    yield title
    yield from _format_table(
        [(finding.severity, finding.rule.id, printable(describe_finding(finding))) for finding in findings], width
    )


def _format_usability(file: PrivilegedFile) -> str:
    """Returns the runtimes whose defaults let a container use the privileges of a file."""
    answers = {runtime: usability.answer for runtime, usability in file.usability.items()}
    if len(set(answers.values())) == 1:
        return next(iter(answers.values()))
    parts = [", ".join(runtime for runtime in answers if answers[runtime] == YES)]
    for answer in PARTLY, UNKNOWN:
        runtimes = ", ".join(runtime for runtime in answers if answers[runtime] == answer)
        parts.append(f"{answer}: {runtimes}" if runtimes else "")
    return "; ".join(filter(None, parts)) or "no"


def _format_usability_reasons(files: Iterable[PrivilegedFile], width: int) -> Iterator[str]:
    """Yields why privileges cannot be used: each reason once, with its runtimes and files."""
    runtimes_by_reason: dict[str, dict[str, list[str]]] = {}  # By reason and path.
    for file in files:
        for runtime, usability in file.usability.items():
            if usability.reason:
                runtimes_by_reason.setdefault(usability.reason, {}).setdefault(file.path, []).append(runtime)
    if runtimes_by_reason:
        yield ""
    for reason, runtimes_by_path in runtimes_by_reason.items():
        runtimes = list(dict.fromkeys(runtime for names in runtimes_by_path.values() for runtime in names))
        in_all = all(len(names) == len(file.usability) for file in files if (names := runtimes_by_path.get(file.path)))
        title = "not usable" if in_all else f"not usable in {', '.join(runtimes)}"
        paths = ", ".join(map(escape, runtimes_by_path))
        yield from _wrap(f"{title}: {paths}: {reason}", width, "  ", "    ")


def _format_dangers(files: Sequence[PrivilegedFile], width: int) -> Iterator[str]:
    """Yields a table of what an attacker gains from the privileges of files: each privilege once."""
    rows: list[tuple[str, str, str]] = []
    mask = 0
    for file in files:
        if file.assigned == ALL:
            rows.append((CRITICAL, f"all {len(NAMES)} capabilities", "does everything that root may do"))
        else:
            mask |= file.assigned
    rows += [(DANGERS[name].severity, name, _format_danger(name)) for bit, name in enumerate(NAMES) if mask >> bit & 1]
    for uid in sorted({file.set_user_id for file in files if file.set_user_id is not None}):
        gain = "runs as that user" if uid else "runs as root, with every capability that the runtime grants"
        rows.append((rate_user_id(uid), f"set-user-ID={uid}", f"{gain} [execve(2)]"))
    for gid in sorted({file.set_group_id for file in files if file.set_group_id is not None}):
        rows.append((rate_group_id(gid), f"set-group-ID={gid}", "reads and writes the files of that group [execve(2)]"))
    yield "an attacker who controls the program:"
    yield from _format_table(sorted(dict.fromkeys(rows), key=lambda row: -SEVERITIES.index(row[0])), width)


def _format_danger(name: str) -> str:
    """Returns what an attacker gains from a capability, with sources other than capabilities(7), which all have."""
    danger = DANGERS[name]
    sources = danger.sources[1:]
    return danger.gives + (f" [{'; '.join(sources)}]" if sources else "")


def _format_table(rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    """Yields the lines of a table with aligned columns, whose cells are wrapped."""
    count = len(rows[0])
    widths = [max(len(row[column]) for row in rows) for column in range(count)]
    available = max(width - len(_GAP) * count, 20 * count)
    while sum(widths) > available:
        # Narrow the widest column, at most to the width of the next.
        column = max(range(count), key=widths.__getitem__)
        next_width = max(length for other, length in enumerate(widths) if other != column)
        widths[column] = max(widths[column] - (sum(widths) - available), min(next_width, widths[column] - 1), 1)
    for row in rows:
        cells = [textwrap.wrap(cell, length, break_on_hyphens=False) or [""] for cell, length in zip(row, widths, strict=True)]
        for number in range(max(map(len, cells))):
            words = (cell[number] if number < len(cell) else "" for cell in cells)
            yield (_GAP + _GAP.join(word.ljust(length) for word, length in zip(words, widths, strict=True))).rstrip()


def _wrap(line: str, width: int, first_indent: str = "", indent: str = "  ") -> Iterator[str]:
    """Yields the lines of a wrapped text, of 40 characters at least."""
    width = max(width, 40)
    yield from textwrap.wrap(
        printable(line), width, initial_indent=first_indent, subsequent_indent=indent, break_on_hyphens=False
    )

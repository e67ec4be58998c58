"""The allowlist of `getcap --review`: removes the findings that it allows, and finds lines that no image needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rules_setcap.capabilities import FileCapabilities
from rules_setcap.capabilities.names import NAMES
from rules_setcap.containers.dangers import LOW
from rules_setcap.diagnostics.errors import quote
from rules_setcap.getcap import review_rules
from rules_setcap.getcap.privileges import PrivilegedFile, describe_privileges, format_privileges, rate_privileges
from rules_setcap.getcap.review_image import Finding, Review

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_SETS = "permitted", "inheritable", "effective"


@dataclass(slots=True)
class AllowlistLine:
    """A line of an allowlist: it allows privileges of a file, or a problem of the image.

    Attributes:
      location: the file and the number of the line, for messages.
      path: the path of the file in the image; "" in a line about a problem.
      capabilities: the most capabilities that the file may have; None if it may have none.
      set_user_id: the uid that a set-user-ID bit may give; None if the file may not be set-user-ID.
      set_group_id: the gid that a set-group-ID bit may give; None if the file may not be set-group-ID.
      accepted_ids: ids of rules whose findings about the file are accepted.
      problem: the message of an accepted problem of the image; "" in a line about a file.
      reason: the comment.
      used: the parts of the line that an image needed: "line", "set-user-ID", "set-group-ID", and ids of rules.
      used_capabilities: the capabilities of the line that an image needed, as a mask.
    """

    location: str
    path: str
    capabilities: FileCapabilities | None = None
    set_user_id: int | None = None
    set_group_id: int | None = None
    accepted_ids: frozenset[str] = frozenset()
    problem: str = ""
    reason: str = ""
    used: set[str] = field(default_factory=set)
    used_capabilities: int = 0

    def describe_allowed(self) -> str:
        """Returns the privileges that the line allows."""
        return format_privileges(self.capabilities, self.set_user_id, self.set_group_id) or "no privileges"

    def find_excess(self, file: PrivilegedFile) -> list[str]:
        """Returns the privileges that a file has beyond those that the line allows, a few words each."""
        excess = []
        if file.capabilities is not None and self.capabilities is None:
            excess.append("capabilities")
        elif file.capabilities is not None and self.capabilities is not None:
            extra = {name: getattr(file.capabilities, name) & ~getattr(self.capabilities, name) for name in _SETS}
            excess += [f"{_format_mask(mask)} {name}" for name, mask in extra.items() if mask]
            if self.capabilities.rootid and file.capabilities.rootid != self.capabilities.rootid:
                excess.append(f"rootid {file.capabilities.rootid}")
        if file.set_user_id is not None and file.set_user_id != self.set_user_id:
            excess.append(f"set-user-ID={file.set_user_id}")
        if file.set_group_id is not None and file.set_group_id != self.set_group_id:
            excess.append(f"set-group-ID={file.set_group_id}")
        return excess

    def mark_used(self, file: PrivilegedFile) -> None:
        """Records the parts of the line that a file needs."""
        self.used.add("line")
        if file.set_user_id is not None:
            self.used.add("set-user-ID")
        if file.set_group_id is not None:
            self.used.add("set-group-ID")
        if file.capabilities is not None:
            self.used_capabilities |= file.capabilities.permitted | file.capabilities.inheritable


class Allowlist:
    """The lines of an allowlist, with a record of which of them some image needed."""

    def __init__(self, lines: Iterable[AllowlistLine] = ()) -> None:
        """Creates an allowlist of which no line is used yet."""
        self.lines = list(lines)
        self._lines_by_path: dict[str, list[AllowlistLine]] = {}
        self._lines_by_problem: dict[str, list[AllowlistLine]] = {}
        for line in self.lines:
            index, key = (self._lines_by_path, line.path) if line.path else (self._lines_by_problem, line.problem)
            index.setdefault(key, []).append(line)

    def filter_findings(self, review: Review) -> list[Finding]:
        """Returns the findings about an image that the allowlist does not allow, and marks the lines that allow the others."""
        findings: list[Finding] = []
        listed_paths: set[str] = set()
        for file in review.files:
            if lines := self._lines_by_path.get(file.path):
                listed_paths.add(file.path)
                # The lines of one path are alternatives; the message is about the closest.
                line = min(lines, key=lambda line: len(line.find_excess(file)))
                line.mark_used(file)
                if excess := line.find_excess(file):
                    message = (
                        f"has {describe_privileges(file)}; {line.location} allows {line.describe_allowed()}: {', '.join(excess)}"
                    )
                    findings.append(Finding(review_rules.MORE_THAN_ALLOWED, rate_privileges(file), file.path, message))
        for finding in review.findings:
            if finding.path in listed_paths and finding.rule in review_rules.PRIVILEGE_RULES:
                continue
            lines = [line for line in self._lines_by_path.get(finding.path, []) if finding.rule.id in line.accepted_ids]
            lines += self._lines_by_problem.get(format_image_problem(finding), [])
            for line in lines:
                line.used |= {"line", finding.rule.id}
            if not lines:
                findings.append(finding)
        return findings

    def find_stale_lines(self) -> Iterator[Finding]:
        """Yields findings about lines that no image needed; filter_findings() must have seen all images."""
        for line in self.lines:
            if "line" not in line.used:
                subject = f"{quote(line.path)} with {line.describe_allowed()}" if line.path else "this problem"
                yield Finding(review_rules.STALE_ALLOWLIST, LOW, line.path, f"{line.location}: no image has {subject}")
                continue
            allowed = line.capabilities or FileCapabilities(0, 0, 0)
            unused_capabilities = (allowed.permitted | allowed.inheritable) & ~line.used_capabilities
            unused = [_format_mask(unused_capabilities)] if unused_capabilities else []
            unused += ["set-user-ID"] if line.set_user_id is not None and "set-user-ID" not in line.used else []
            unused += ["set-group-ID"] if line.set_group_id is not None and "set-group-ID" not in line.used else []
            if unused:
                message = f"{line.location}: allows {', '.join(unused)}, which the file has in no image"
                yield Finding(review_rules.STALE_ALLOWLIST, LOW, line.path, message)
            for rule_id in sorted(line.accepted_ids - line.used):
                yield Finding(
                    review_rules.STALE_ALLOWLIST,
                    LOW,
                    line.path,
                    f"{line.location}: accepts {rule_id}, which is found in no image",
                )


def format_image_problem(finding: Finding) -> str:
    """Returns a problem of the image as allowlists write it, with the path as a JSON string; "" for other findings."""
    if finding.rule is not review_rules.IMAGE_PROBLEM:
        return ""
    return f"{quote(finding.path)}: {finding.message}" if finding.path else finding.message


def _format_mask(mask: int) -> str:
    """Returns the names of the capabilities in a mask; numbers for those without a name."""
    return ",".join(NAMES[bit] if bit < len(NAMES) else str(bit) for bit in range(64) if mask >> bit & 1)

"""Reports reviews as JSON.

`getcap --review --json` prints one object:

    version   1
    images    a list of objects, one for each image and platform
    findings  a list of findings about the allowlist
    errors    a list of sentences: inputs that cannot be read

    An image:
    path, platform              the path, as on the command line; os/architecture[/variant], "" if it is not known
    names                       a list of the names of the image in its archive or layout
    user                        the user of its process, or why it is not known
    files                       a list of the files that give privileges, allowed ones too
    findings                    a list of the findings that the allowlist does not allow, the most severe first
    dangers                     by name, for each capability that a file has: `severity`, `gives` (what an attacker gains, a
                                sentence) and `sources` (a list)

    A file:
    path                        absolute, without symbolic links
    capabilities, rootid        text, null if it has none; the rootid, 0 without one
    set_user_id, set_group_id   the uid or gid of a process that executes it; null if execution does not change it
    mode, uid, gid, script      four octal digits; owner; group; whether it is a script
    severity                    "critical", "high", "medium" or "low"
    usable                      by runtime: `answer` ("yes", "partly", "no" or "unknown"), `capabilities` (a list of names) of a
                                process that executed the file, and `why`, "" for "yes"
    allowed                     whether no finding is about it

    A finding:
    rule, name                  id and name of the rule
    severity                    "critical", "high", "medium" or "low"
    path                        path of the file; "" if it is not about a file
    message                     a sentence
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rules_setcap.capabilities.names import NAMES
from rules_setcap.containers.dangers import DANGERS
from rules_setcap.getcap.output import JSON_VERSION
from rules_setcap.getcap.review_image import Finding, sort_findings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rules_setcap.getcap.privileges import PrivilegedFile
    from rules_setcap.getcap.reviewed_image import ReviewedImage


def make_json_report(
    images: Iterable[ReviewedImage], allowlist_findings: Iterable[Finding], errors: Sequence[str]
) -> dict[str, Any]:
    """Returns the JSON object.

    Args:
      images: the images.
      allowlist_findings: findings about the allowlist.
      errors: why inputs cannot be read, a sentence each.
    """
    return {
        "version": JSON_VERSION,
        "images": [_image_to_json(image) for image in images],
        "findings": [_finding_to_json(finding) for finding in allowlist_findings],
        "errors": list(errors),
    }


def _image_to_json(image: ReviewedImage) -> dict[str, Any]:
    """Returns the JSON object of an image."""
    files = image.review.files
    assigned = 0
    for file in files:
        assigned |= file.assigned
    paths_with_findings = {finding.path for finding in image.findings}
    return {
        "path": image.path,
        "names": list(image.names),
        "platform": image.platform,
        "user": image.review.user,
        "files": [{**_file_to_json(file), "allowed": file.path not in paths_with_findings} for file in files],
        "findings": [_finding_to_json(finding) for finding in sort_findings(image.findings)],
        "dangers": {name: DANGERS[name]._asdict() for name in _list_names(assigned)},
    }


def _file_to_json(file: PrivilegedFile) -> dict[str, Any]:
    """Returns the JSON object of a file, without the key `allowed`."""
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
            runtime: {"answer": usability.answer, "capabilities": _list_names(usability.capabilities), "why": usability.reason}
            for runtime, usability in file.usability.items()
        },
    }


def _finding_to_json(finding: Finding) -> dict[str, Any]:
    """Returns the JSON object of a finding."""
    return {
        "rule": finding.rule.id,
        "name": finding.rule.name,
        "severity": finding.severity,
        "path": finding.path,
        "message": finding.message,
    }


def _list_names(mask: int) -> list[str]:
    """Returns the names of the capabilities in a mask."""
    return [name for bit, name in enumerate(NAMES) if mask >> bit & 1]

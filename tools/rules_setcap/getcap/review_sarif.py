"""Reports reviews as SARIF, for code scanning.

The format is OASIS, "Static Analysis Results Interchange Format (SARIF) Version 2.1.0". `version` in the output is the
version of SARIF.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any
from urllib.parse import quote as quote_uri

from rules_setcap.containers.dangers import CRITICAL, HIGH, LOW, MEDIUM
from rules_setcap.diagnostics.errors import printable
from rules_setcap.getcap import review_rules
from rules_setcap.getcap.review_image import Finding, describe_finding, sort_findings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rules_setcap.getcap.reviewed_image import ReviewedImage

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {CRITICAL: "error", HIGH: "error", MEDIUM: "warning", LOW: "note"}
# One number of each range of CVSS 3.1, "Qualitative Severity Rating Scale", for programs that sort by number.
_SCORES = {CRITICAL: "9.0", HIGH: "7.0", MEDIUM: "4.0", LOW: "1.0"}


def make_sarif_log(
    images: Iterable[ReviewedImage], allowlist_findings: Iterable[Finding], errors: Sequence[str], allowlist_path: str
) -> dict[str, Any]:
    """Returns a SARIF log, as a JSON object.

    Args:
      images: the images.
      allowlist_findings: findings about the allowlist.
      errors: why inputs cannot be read, a sentence each.
      allowlist_path: the path of the allowlist.
    """
    results = [_make_image_result(finding, image) for image in images for finding in sort_findings(image.findings)]
    results += [_make_result(finding, "", _make_location(allowlist_path)) for finding in allowlist_findings]
    invocation: dict[str, Any] = {"executionSuccessful": not errors}
    if errors:
        invocation["toolExecutionNotifications"] = [{"level": "error", "message": {"text": printable(error)}} for error in errors]
    driver = {"name": "getcap", "rules": [_make_descriptor(rule) for rule in review_rules.RULES]}
    run = {"tool": {"driver": driver}, "invocations": [invocation], "results": results}
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _make_descriptor(rule: review_rules.Rule) -> dict[str, Any]:
    """Returns the reportingDescriptor of a rule."""
    return {
        "id": rule.id,
        "name": "".join(word.capitalize() for word in rule.name.split("-")),
        "shortDescription": {"text": rule.summary},
        "fullDescription": {"text": rule.summary + " " + rule.help},
        "help": {"text": rule.help},
        "properties": {"tags": ["security", "linux-capabilities"]},
    }


def _make_image_result(finding: Finding, image: ReviewedImage) -> dict[str, Any]:
    """Returns the result of a finding about an image; its location is the image's path, followed by that of the file."""
    location = _make_location(f"{image.path.rstrip('/')}{finding.path}" if finding.path else image.path)
    if finding.path:
        path = printable(finding.path)
        name = " ".join(filter(None, (printable(image.path), image.platform, path)))
        location["logicalLocations"] = [{"name": path, "fullyQualifiedName": name, "kind": "resource"}]
    return _make_result(finding, image.platform, location)


def _make_location(path: str) -> dict[str, Any]:
    """Returns the location of a path."""
    uri = quote_uri(path.encode("utf-8", "surrogateescape"), safe="/")
    return {"physicalLocation": {"artifactLocation": {"uri": uri}}}


def _make_result(finding: Finding, platform: str, location: dict[str, Any]) -> dict[str, Any]:
    """Returns the result of a finding."""
    message = printable(describe_finding(finding))
    # The fingerprint does not contain the path of the image, which differs between checkouts.
    identity = "\0".join((finding.rule.id, platform, printable(finding.path), message))
    return {
        "ruleId": finding.rule.id,
        "ruleIndex": review_rules.RULES.index(finding.rule),
        "level": _LEVELS[finding.severity],
        "message": {"text": message},
        "locations": [location],
        "partialFingerprints": {"getcap/v1": hashlib.sha256(identity.encode()).hexdigest()},
        "properties": {"severity": finding.severity, "security-severity": _SCORES[finding.severity]},
    }

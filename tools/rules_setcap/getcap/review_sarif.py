"""Reports reviews as SARIF, for code scanning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rules_setcap.diagnostics import sarif
from rules_setcap.getcap import review_rules
from rules_setcap.getcap.review_image import Finding, describe_finding, sort_findings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rules_setcap.getcap.reviewed_image import ReviewedImage

_PROGRAM = "getcap"


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
    results += [_make_result(finding, "", sarif.make_location(allowlist_path)) for finding in allowlist_findings]
    return sarif.make_log(_PROGRAM, review_rules.RULES, results, errors)


def _make_image_result(finding: Finding, image: ReviewedImage) -> dict[str, Any]:
    """Returns the result of a finding about an image or a file in it."""
    if finding.path:
        return _make_result(finding, image.platform, sarif.make_file_location(image.path, image.platform, finding.path))
    return _make_result(finding, image.platform, sarif.make_location(image.path))


def _make_result(finding: Finding, platform: str, location: dict[str, Any]) -> dict[str, Any]:
    """Returns the result of a finding."""
    message = describe_finding(finding)
    return sarif.make_result(
        _PROGRAM, review_rules.RULES, finding.rule, finding.severity, platform, finding.path, message, location
    )

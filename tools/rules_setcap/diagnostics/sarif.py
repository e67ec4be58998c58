"""Makes logs of findings in SARIF, for code scanning.

The format is OASIS, "Static Analysis Results Interchange Format (SARIF) Version 2.1.0". `version` in the output is the
version of SARIF.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote as quote_uri

from rules_setcap.diagnostics.errors import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {"critical": "error", "high": "error", "medium": "warning", "low": "note"}
# One number of each range of CVSS 3.1, "Qualitative Severity Rating Scale", for programs that sort by number.
_SCORES = {"critical": "9.0", "high": "7.0", "medium": "4.0", "low": "1.0"}


class Rule(NamedTuple):
    """A kind of finding.

    Attributes:
      id: "RSC" and three digits; the id of a removed rule is not used again.
      name: a short name, lower-case words with hyphens.
      summary: one sentence that describes the finding.
      help: sentences that tell why it matters and what to do.
    """

    id: str
    name: str
    summary: str
    help: str


def make_log(program: str, rules: Iterable[Rule], results: list[dict[str, Any]], errors: Sequence[str]) -> dict[str, Any]:
    """Returns a SARIF log, as a JSON object.

    Args:
      program: the name of the program that found the results.
      rules: all its rules.
      results: the results, from make_result().
      errors: why inputs cannot be read, a sentence each.
    """
    invocation: dict[str, Any] = {"executionSuccessful": not errors}
    if errors:
        invocation["toolExecutionNotifications"] = [{"level": "error", "message": {"text": printable(error)}} for error in errors]
    driver = {"name": program, "rules": [_make_descriptor(rule) for rule in rules]}
    run = {"tool": {"driver": driver}, "invocations": [invocation], "results": results}
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def make_result(
    program: str,
    rules: Sequence[Rule],
    rule: Rule,
    severity: str,
    platform: str,
    path: str,
    message: str,
    location: dict[str, Any],
) -> dict[str, Any]:
    """Returns the result of a finding.

    Args:
      program: the name of the program.
      rules: all its rules.
      rule: the rule of the finding.
      severity: "critical", "high", "medium" or "low".
      platform: the platform of the image; "" if it is not about an image.
      path: the path of a file in the image, or "".
      message: a sentence.
      location: the location, from make_location() or make_file_location().
    """
    message = printable(message)
    # The fingerprint does not contain the path of the image, which differs between checkouts.
    identity = "\0".join((rule.id, platform, printable(path), message))
    return {
        "ruleId": rule.id,
        "ruleIndex": rules.index(rule),
        "level": _LEVELS[severity],
        "message": {"text": message},
        "locations": [location],
        "partialFingerprints": {f"{program}/v1": hashlib.sha256(identity.encode()).hexdigest()},
        "properties": {"severity": severity, "security-severity": _SCORES[severity]},
    }


def make_location(path: str) -> dict[str, Any]:
    """Returns the location of a path."""
    uri = quote_uri(path.encode("utf-8", "surrogateescape"), safe="/")
    return {"physicalLocation": {"artifactLocation": {"uri": uri}}}


def make_file_location(image: str, platform: str, path: str) -> dict[str, Any]:
    """Returns the location of a file in an image: the path of the image, followed by that of the file.

    Args:
      image: the path of the image.
      platform: the platform of the image, or "".
      path: the absolute path of the file in the image.
    """
    location = make_location(f"{image.rstrip('/')}{path}")
    name = " ".join(filter(None, (printable(image), platform, printable(path))))
    location["logicalLocations"] = [{"name": printable(path), "fullyQualifiedName": name, "kind": "resource"}]
    return location


def _make_descriptor(rule: Rule) -> dict[str, Any]:
    """Returns the reportingDescriptor of a rule."""
    return {
        "id": rule.id,
        "name": "".join(word.capitalize() for word in rule.name.split("-")),
        "shortDescription": {"text": rule.summary},
        "fullDescription": {"text": rule.summary + " " + rule.help},
        "help": {"text": rule.help},
        "properties": {"tags": ["security", "linux-capabilities"]},
    }

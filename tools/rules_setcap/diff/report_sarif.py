"""Reports the capabilities that differ as SARIF, for code scanning. Other differences are not findings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rules_setcap.capabilities.file_capabilities import from_text
from rules_setcap.capabilities.names import NAMES
from rules_setcap.containers.dangers import DANGERS, LOW, find_worst_severity
from rules_setcap.diagnostics import sarif
from rules_setcap.diagnostics.sarif import Rule

if TYPE_CHECKING:
    from rules_setcap.diff.model import CapabilityChange, Difference, ImageDifference

_PROGRAM = "image_diff"
_MORE = Rule(
    "RSC301",
    "more-capabilities",
    "A file has capabilities in the second image that it does not have in the first.",
    "A process that executes the file gets these capabilities if the runtime grants them. Remove them, or approve the change.",
)
_OTHER_SETS = Rule(
    "RSC302",
    "other-capability-sets",
    "A file has the same capabilities in both images, but in other sets.",
    "Permitted, inheritable and effective capabilities act in different ways when the file is executed: capabilities(7). Approve "
    "the change if it is wanted.",
)
_FEWER = Rule(
    "RSC303",
    "fewer-capabilities",
    "A file does not have capabilities in the second image that it has in the first.",
    "The program may fail where it needs them. Add them again if the change is not wanted.",
)
RULES = (_MORE, _OTHER_SETS, _FEWER)
"""The rules. docs/image-diff.md has the same texts."""


def make_sarif_log(difference: Difference) -> dict[str, Any]:
    """Returns a SARIF log of the files whose capabilities differ in the merged root filesystem, as a JSON object."""
    name = difference.after.name
    return sarif.make_log(
        _PROGRAM, RULES, [_make_result(change, image, name) for image in difference.images for change in image.capabilities], ()
    )


def _make_result(change: CapabilityChange, image: ImageDifference, name: str) -> dict[str, Any]:
    """Returns the result of a file whose capabilities differ."""
    rule, severity = _rate_change(change.before, change.after)
    message = (
        f"{change.path}: {_describe_side(change.before, change.in_before)} -> {_describe_side(change.after, change.in_after)}"
    )
    location = sarif.make_file_location(name, image.platform, change.path)
    return sarif.make_result(_PROGRAM, RULES, rule, severity, image.platform, change.path, message, location)


def _describe_side(capabilities: str | None, has_file: bool) -> str:
    """Returns the capabilities of a file in one image."""
    return capabilities or ("none" if has_file else "no such file")


def _rate_change(before: str | None, after: str | None) -> tuple[Rule, str]:
    """Returns the rule and the severity of a change. The severity is that of the most dangerous new capability."""
    old, new = _read_names(before), _read_names(after)
    if more := new - old:
        return _MORE, find_worst_severity(DANGERS[name].severity if name in DANGERS else LOW for name in more)
    if old - new:
        return _FEWER, LOW
    return _OTHER_SETS, find_worst_severity(DANGERS[name].severity if name in DANGERS else LOW for name in new)


def _read_names(text: str | None) -> set[str]:
    """Returns the names of the capabilities in a text of FileCapabilities.to_getcap_text()."""
    if text is None:
        return set()
    assigned = from_text(text.partition(" [")[0])
    numbers = assigned.permitted | assigned.inheritable
    return {NAMES[number] if number < len(NAMES) else str(number) for number in range(64) if numbers >> number & 1}

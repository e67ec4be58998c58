"""Finds programs that get no capabilities under no_new_privs, because the container executes another program first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_setcap import capabilities
from rules_setcap.diagnostics.errors import quote

if TYPE_CHECKING:
    from rules_setcap.oci.merged_contents import MergedContents
    from rules_setcap.validation.checked_image import CheckedImage


def find_loss(first: str, path: str, image: CheckedImage) -> str:
    """Returns why a program would get no capabilities under no_new_privs; "" if it gets them.

    Args:
      first: the path of the program that the container executes first.
      path: the path of a program that is executed later.
      image: the image.
    """
    merged = image.merged
    script = merged.scripts.get(first)
    executed = first
    if script:
        interpreter = script.split(None, 1)[0]  # The kernel executes the interpreter of a script.
        executed = merged.find_file(interpreter) or interpreter
    permitted = _parse_permitted(path, merged)
    if not permitted & ~_parse_permitted(executed, merged):
        return ""
    what = (
        f"the container starts {quote(first)}, which does not have these capabilities. That works, unless no_new_privs is set (Kubernetes "
        f"allowPrivilegeEscalation: false): {quote(path)} then gets none. For such pods, start {quote(path)} itself"
    )
    if script:
        remark = f"its interpreter {quote(executed)} would give them to every script"
        return f"{what}; {quote(first)} is a script, which cannot have capabilities, and {remark}"
    text = capabilities.FileCapabilities(permitted, 0, 0).to_text()
    return f"{what}, or assign {quote(text)} to {quote(first)} by file_capabilities"


def _parse_permitted(path: str, merged: MergedContents) -> int:
    """Returns the permitted set of a file, as a bit mask."""
    return capabilities.from_text(merged.capabilities.get(path, "=")).permitted

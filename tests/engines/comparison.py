"""Compares the reports of `getcap explain` with containers that engines ran."""

from __future__ import annotations

import contextlib
import io
import json
import pathlib
import re
from typing import Any, NamedTuple

from rules_setcap.capabilities.names import NAMES
from rules_setcap.getcap import cli
from support.outcome import Outcome

SETS = {"permitted": "CapPrm", "effective": "CapEff", "inheritable": "CapInh", "bounding": "CapBnd", "ambient": "CapAmb"}
_UNKNOWN = 3
_EPERM = "operation not permitted"
_NON_ROOT = "non-root", "runasnonroot"


class Report(NamedTuple):
    """The output of `getcap explain --json`.

    Attributes:
      status: the exit status.
      content: the JSON document; empty if the status is 2.
      errors: the text on stderr.
    """

    status: int
    content: dict[str, Any]
    errors: str


def run_explain(image: pathlib.Path, *arguments: str) -> Report:
    """Runs `getcap explain` on an image.

    Args:
      image: the OCI layout.
      arguments: the settings of the container.
    """
    output, problems = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(problems):
        status = cli.main(["explain", "--json", str(image), *arguments])
    return Report(status, json.loads(output.getvalue()) if output.getvalue() else {}, problems.getvalue())


def read_bounding_set() -> int:
    """Returns the bounding set of this process, as a mask; the engines that it starts cannot grant more."""
    return _read_mask(pathlib.Path("/proc/self/status").read_text(), "CapBnd")


def find_difference(report: Report, outcome: Outcome) -> str:
    """Returns how a container differs from its report; "" if it does not.

    Args:
      report: the report.
      outcome: the outcome of the container.
    """
    ran = "Done:\t1" in outcome.output
    content = report.content
    if report.status == _UNKNOWN:
        # Whether a rootid counts in the container's own user namespace depends on how the runtime mounts the image.
        of_namespace = any("for the user namespace whose root is uid" in note for note in content["notes"])
        return "" if of_namespace else "unknown by getcap, which can follow these programs"
    if report.status == 2:
        # The engine has to refuse the container; that execve(2) refuses the program is not enough.
        refused = outcome.failure and not re.search(rf"exec.*: {_EPERM}", outcome.failure.lower())
        return "" if refused else f"refused by getcap, and not by the engine: {outcome}"
    if "permitted" not in content:
        if ran:
            return f"does not start by getcap, and ran: {outcome}"
        text = (outcome.failure + outcome.output).lower()
        expected = _NON_ROOT if any("runAsNonRoot" in reason for reason in content["why"]) else (_EPERM,)
        return (
            "" if any(message in text for message in expected) else f"did not start for another reason than {expected}: {outcome}"
        )
    if not ran:
        return f"runs by getcap, and did not: {outcome}"
    differing = []
    for name, line in SETS.items():
        expected, actual = (
            sum(1 << NAMES.index(capability) for capability in content[name]) & read_bounding_set(),
            _read_mask(outcome.output, line),
        )
        if expected != actual:
            differing.append(f"{name}: {expected:#x} by getcap, {actual:#x} in the container")
    match = re.search(r"^Uid:\s+\d+\s+(\d+)", outcome.output, re.MULTILINE)
    if not match or int(match[1]) != content["uid"]:
        differing.append(f"uid: {content['uid']} by getcap, {match and match[1]} in the container")
    if f"NoNewPrivs:\t{int(content['no_new_privs'])}" not in outcome.output:
        differing.append(f"no_new_privs: {content['no_new_privs']} by getcap")
    for line, is_unneeded in list_unneeded(content).items():
        if is_unneeded and f"{line}:\t1" not in outcome.output:
            differing.append(f"{line} needs no capability by getcap")
    return "; ".join(differing)


def list_unneeded(content: dict[str, Any]) -> dict[str, bool]:
    """Returns which actions need no capability according to a report, by the line of report.c about the action."""
    notes = "\n".join(content["notes"])
    ports = re.search(r"^cap_net_bind_service is not needed for ports(?: from (\d+) on)?:", notes, re.MULTILINE)
    return {
        "Port80": bool(ports) and int(ports[1] or 0) <= 80,
        "PingSocket": re.search("^cap_net_raw is not needed for ICMP echo", notes, re.MULTILINE) is not None,
    }


def _read_mask(text: str, line: str) -> int:
    """Returns the mask in a line of /proc/PID/status or of report.c."""
    match = re.search(rf"^{line}:\s*([0-9a-f]{{16}})$", text, re.MULTILINE)
    assert match, text
    return int(match[1], 16)

"""Compares the verdicts of `getcap explain` with what container engines do."""

from __future__ import annotations

import contextlib
import io
import json
import pathlib
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from rules_setcap.capabilities.names import NAMES
from rules_setcap.getcap import cli
from support.outcome import Outcome

SETS = {"permitted": "CapPrm", "effective": "CapEff", "inheritable": "CapInh", "bounding": "CapBnd", "ambient": "CapAmb"}
_UNKNOWN = 3
_EPERM = "operation not permitted"
_NON_ROOT = "non-root", "runasnonroot"


class Report(NamedTuple):
    """What `getcap explain --json` printed.

    Attributes:
      status: its exit status.
      content: the JSON; empty if the status is 2.
      errors: what it printed on stderr.
    """

    status: int
    content: dict[str, Any]
    errors: str


def explain(image: pathlib.Path, *arguments: str) -> Report:
    """Runs `getcap explain` on an image."""
    output, problems = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(problems):
        status = cli.main(["explain", "--json", str(image), *arguments])
    return Report(status, json.loads(output.getvalue()) if output.getvalue() else {}, problems.getvalue())


def limit() -> int:
    """Returns the bounding set of this process, which is that of the engines: they cannot grant more."""
    return _mask(pathlib.Path("/proc/self/status").read_text(), "CapBnd")


def difference(report: Report, outcome: Outcome) -> str:
    """Returns how an outcome differs from a report; "" if it does not."""
    ran = "Done:\t1" in outcome.output
    content = report.content
    if report.status == _UNKNOWN:
        # Whether a rootid counts in a user namespace of the container's own depends on how the runtime mounts the image.
        of_namespace = any("for the user namespace whose root is uid" in note for note in content["notes"])
        return "" if of_namespace else "unknown by getcap, which can follow these programs"
    if report.status == 2:
        # A program that execve refuses is another thing than a container that cannot be made.
        refused = outcome.failure and not re.search(rf"exec.*: {_EPERM}", outcome.failure.lower())
        return "" if refused else f"refused by getcap, and not by the engine: {outcome}"
    if "permitted" not in content:
        if ran:
            return f"does not start by getcap, and ran: {outcome}"
        text = (outcome.failure + outcome.output).lower()
        expected = _NON_ROOT if any("runAsNonRoot" in why for why in content["why"]) else (_EPERM,)
        return "" if any(each in text for each in expected) else f"did not start for another reason than {expected}: {outcome}"
    if not ran:
        return f"runs by getcap, and did not: {outcome}"
    differing = []
    for name, line in SETS.items():
        expected, actual = sum(1 << NAMES.index(each) for each in content[name]) & limit(), _mask(outcome.output, line)
        if expected != actual:
            differing.append(f"{name}: {expected:#x} by getcap, {actual:#x} in the container")
    match = re.search(r"^Uid:\s+\d+\s+(\d+)", outcome.output, re.MULTILINE)
    if not match or int(match[1]) != content["uid"]:
        differing.append(f"uid: {content['uid']} by getcap, {match and match[1]} in the container")
    if f"NoNewPrivs:\t{int(content['no_new_privs'])}" not in outcome.output:
        differing.append(f"no_new_privs: {content['no_new_privs']} by getcap")
    for line, needless in unneeded(content).items():
        if needless and f"{line}:\t1" not in outcome.output:
            differing.append(f"{line} needs no capability by getcap")
    return "; ".join(differing)


def unneeded(content: dict[str, Any]) -> dict[str, bool]:
    """Returns what needs no capability by a report: by line of the program that prints what its process can do."""
    notes = "\n".join(content["notes"])
    ports = re.search(r"^cap_net_bind_service is not needed for ports(?: from (\d+) on)?:", notes, re.MULTILINE)
    return {
        "Port80": bool(ports) and int(ports[1] or 0) <= 80,
        "PingSocket": re.search("^cap_net_raw is not needed for ICMP echo", notes, re.MULTILINE) is not None,
    }


def has_wanted(outcome: Outcome, wanted: Sequence[str]) -> bool:
    """Returns whether the process has capabilities permitted."""
    mask = sum(1 << NAMES.index(name) for name in wanted)
    return "Done:\t1" in outcome.output and _mask(outcome.output, "CapPrm") & mask == mask


def _mask(text: str, line: str) -> int:
    match = re.search(rf"^{line}:\s*([0-9a-f]{{16}})$", text, re.MULTILINE)
    assert match, text
    return int(match[1], 16)

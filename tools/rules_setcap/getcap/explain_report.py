"""Reports the verdict on a container, as text and as JSON.

`getcap explain --json` prints one object. A container that the runtime refuses to start has only the first five keys, and
keys about the process are absent if the process does not start or is unknown.

    version           1
    verdict           a sentence
    why               a list of sentences: the reasons
    fix               a list of sentences: the changes, all of which are needed
    notes             a list of sentences
    programs          a list of objects, one for each program in the order of execution: `path`, and `script`, the path of the
                      script if the program is its interpreter, else ""
    permitted, effective, inheritable, bounding, ambient
                      lists of names: the capability sets of the process
    uid               the effective uid of the process
    no_new_privs      whether it has no_new_privs
    secure_execution  whether the kernel starts the program in secure-execution mode (AT_SECURE of getauxval(3))
    problems          a list of sentences: problems of the image, as `getcap` prints them
    unknown           if a program cannot be followed: an object with `after`, the last known program, and `why`
    candidates        if a program cannot be followed: a list of objects with the keys from `verdict` to `secure_execution`,
                      one for each file of the image that has capabilities, as if that were the program
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rules_setcap.capabilities.names import NAMES
from rules_setcap.containers.process import format_capabilities
from rules_setcap.diagnostics.console import format_json
from rules_setcap.diagnostics.errors import escape, printable
from rules_setcap.getcap.output import JSON_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rules_setcap.containers.verdict import Verdict

_SETS = "permitted", "effective", "inheritable", "bounding", "ambient"


def make_refusal_report(reasons: Sequence[str], fix: Sequence[str], notes: Sequence[str]) -> dict[str, Any]:
    """Returns the report on a container that the runtime refuses to start.

    Args:
      reasons: why it refuses, a sentence each.
      fix: what to change, a sentence each.
      notes: notes on the settings, a sentence each.
    """
    return {"version": JSON_VERSION, "verdict": "does not start", "why": list(reasons), "fix": list(fix), "notes": list(notes)}


def make_report(verdict: Verdict, notes: Sequence[str], problems: Sequence[str], candidates: Sequence[Verdict]) -> dict[str, Any]:
    """Returns the report on a container.

    Args:
      verdict: the verdict on it.
      notes: notes on the settings, a sentence each.
      problems: problems of the image, a sentence each.
      candidates: the verdicts on the programs that it may run, if the program is unknown.
    """
    report = {"version": JSON_VERSION, **_verdict_to_json(verdict, notes), "problems": list(problems)}
    if verdict.chain.unknown_reason:
        report["unknown"] = {"after": verdict.hop.name, "why": verdict.chain.unknown_reason}
        report["candidates"] = [_verdict_to_json(candidate) for candidate in candidates]
    return report


def _verdict_to_json(verdict: Verdict, notes: Sequence[str] = ()) -> dict[str, Any]:
    """Returns the JSON object of one verdict."""
    result: dict[str, Any] = {
        "verdict": _describe_verdict(verdict),
        "why": list(verdict.reasons),
        "fix": list(verdict.fixes),
        "notes": [*notes, *verdict.notes],
        "programs": [{"path": hop.path, "script": hop.script} for hop in verdict.chain.hops],
    }
    process = verdict.after
    if process is not None and not verdict.chain.unknown_reason:
        result |= {name: _list_names(getattr(process, name)) for name in _SETS}
        result |= {"uid": process.euid, "no_new_privs": process.no_new_privs, "secure_execution": verdict.hop.outcome.secure}
    return result


def _describe_verdict(verdict: Verdict) -> str:
    """Returns the verdict in one sentence."""
    if verdict.chain.unknown_reason:
        return f"unknown: {verdict.hop.name} {verdict.chain.unknown_reason}"
    if verdict.chain.failure:
        return "does not start: " + verdict.chain.failure
    process = verdict.after
    if process is None:
        return "does not start: execve of it fails with EPERM, operation not permitted"
    effective, permitted = verdict.requested & process.effective, verdict.requested & process.permitted
    parts = []
    if effective:
        parts.append(f"with {format_capabilities(effective)} effective")
    if permitted & ~effective:
        parts.append(
            f"with {format_capabilities(permitted & ~effective)} permitted, and not effective until the program makes it so"
        )
    if verdict.requested & ~permitted:
        parts.append(f"without {format_capabilities(verdict.requested & ~permitted)}")
    if not verdict.requested:
        parts.append(
            f"with {format_capabilities(process.effective)} effective"
            if process.effective
            else "without capabilities, and asks for none"
        )
    return ("may run " if verdict.doubt else "runs ") + ", ".join(parts)


def _list_names(mask: int) -> list[str]:
    """Returns the names of the capabilities in a mask."""
    return [name for bit, name in enumerate(NAMES) if mask >> bit & 1]


def print_report(report: dict[str, Any], as_json: bool) -> None:
    """Prints a report.

    Args:
      report: the report.
      as_json: whether to print JSON, not text.
    """
    if as_json:
        print(format_json(report))
        return
    for line in _format_report(report):
        print(printable(line))


def _format_report(report: dict[str, Any]) -> Iterator[str]:
    """Yields the lines of a report."""
    yield from _format_verdict(report, "")
    if "candidates" not in report:
        return
    if not report["candidates"]:
        yield "  note: no file of the image has capabilities; --program names the program"
        return
    yield "  note: the verdict for each file of the image that has capabilities, if that is the program (--program names it):"
    for candidate in report["candidates"]:
        yield from _format_verdict(candidate, "    ")


def _format_verdict(report: dict[str, Any], indent: str) -> Iterator[str]:
    """Yields the lines of one verdict; characters that are not printable are not escaped yet."""
    programs = [
        f"{escape(program['script'])} ({escape(program['path'])})" if program["script"] else escape(program["path"])
        for program in report.get("programs", [])
    ]
    if "unknown" in report:
        programs.append("?")
    yield f"{indent}{' -> '.join(programs) or 'the container'}: {report['verdict']}"
    for title, key in (("problem", "problems"), ("why", "why"), ("fix", "fix"), ("note", "notes")):
        for sentence in report.get(key, []):
            yield f"{indent}  {title}: {sentence}"
    if "permitted" in report:
        for name in _SETS:
            yield f"{indent}  {name}: {','.join(report[name]) or 'none'}"

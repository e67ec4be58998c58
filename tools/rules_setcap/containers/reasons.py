"""Puts a verdict into sentences: the rules that decided, and notes.

All functions take a verdict of compute_verdict(); the sentences name the setting, the default or the program behind a rule.
"""

from __future__ import annotations

from collections.abc import Iterator

from rules_setcap.capabilities import FileCapabilities, execve
from rules_setcap.capabilities.names import ALL
from rules_setcap.containers.chain import Hop
from rules_setcap.containers.loader import list_ignored_variables
from rules_setcap.containers.process import format_capabilities
from rules_setcap.containers.verdict import Plan, Verdict
from rules_setcap.diagnostics.errors import escape


def list_reasons(plan: Plan, verdict: Verdict) -> Iterator[str]:
    """Yields a sentence for each rule that decided, with the setting or program behind it."""
    because = verdict.before.because
    yield f"the process has uid {verdict.before.uid}: {because['uid']}"
    yield from _list_changes_between_programs(verdict)
    if verdict.chain.failure or verdict.chain.unknown_reason:
        return
    hop = verdict.hop
    outcome = hop.outcome
    assigned = hop.file.capabilities
    if hop.loaded:
        yield f"{escape(hop.script)} is loaded by {escape(hop.path)} and not executed: the capabilities of {escape(hop.path)} count"
    elif hop.script:
        yield f"{escape(hop.script)} is a script: the capabilities of its interpreter, {escape(hop.path)}, count"
    yield f"{escape(hop.path)} has {assigned.to_text() if assigned else 'no file capabilities'}"
    masks_by_rule: dict[str, int] = {}
    for step in outcome.steps:
        masks_by_rule[step.rule] = masks_by_rule.get(step.rule, 0) | step.capabilities
    asked = verdict.requested | ((assigned.permitted | assigned.inheritable) & ALL if assigned else 0)
    for rule, capabilities in masks_by_rule.items():
        mask = capabilities & asked
        if mask or rule in _RULES_WITHOUT_CAPABILITIES:
            yield from _describe_rule(verdict, rule, mask)
    missing = verdict.requested & ~(outcome.process.permitted if outcome.process else 0)
    unasked = missing & ~(assigned.permitted | assigned.inheritable if assigned else 0)
    if unasked and hop.before.euid:
        yield f"{format_capabilities(unasked)}: granted to the container, but a process that is not root gets them from its file alone"
    elif unasked:
        yield f"{format_capabilities(unasked)}: not in the bounding set, which {_describe_bounding(verdict)}"


_RULES_WITHOUT_CAPABILITIES = frozenset(
    (
        execve.OTHER_NAMESPACE,
        execve.UNKNOWN,
        execve.NOSUID,
        execve.SET_USER_ID,
        execve.SET_GROUP_ID,
        execve.SET_ID_NO_NEW_PRIVS,
    )
)
"""The rules that are reported even if they are about none of the requested capabilities."""


def _describe_rule(verdict: Verdict, rule: str, mask: int) -> Iterator[str]:
    """Yields the sentences about one rule of execve(2).

    Args:
      verdict: the verdict.
      rule: a rule of capabilities.execve.
      mask: the capabilities that the rule is about.
    """
    because = verdict.before.because
    hop = verdict.hop
    names = format_capabilities(mask)
    assigned = hop.file.capabilities
    match rule:
        case execve.SET_USER_ID:
            yield _describe_set_user_id(hop)
        case execve.SET_GROUP_ID:
            yield f"{escape(hop.path)} is a set-group-ID file: the process becomes gid {hop.file.gid}"
        case execve.SET_ID_NO_NEW_PRIVS:
            yield f"{escape(hop.path)} is a set-user-ID or set-group-ID file, which does not count: no_new_privs is set ({_describe_no_new_privs(verdict)})"
        case execve.FILE_PERMITTED:
            yield f"{names}: permitted of the file, and in the bounding set, which {_describe_bounding(verdict)}"
        case execve.NOT_BOUNDING:
            yield f"{names}: permitted of the file, but not in the bounding set, which {_describe_bounding(verdict)}"
        case execve.NOT_INHERITABLE:
            yield f"{names}: inheritable of the file, but not of the process, whose inheritable set {because['inheritable']}"
        case execve.REFUSED:
            yield "the file's effective bit is set, so the kernel refuses to run it with less than it asks for (EPERM)"
        case execve.NO_NEW_PRIVS:
            yield f"{names}: no_new_privs is set ({_describe_no_new_privs(verdict)}), so execve gives nothing that was not permitted before"
            if verdict.before.permitted & mask and len(verdict.chain.hops) > 1:
                yield f"{names}: lost by {_find_dropping_program(verdict, mask)}"
            else:
                yield f"the permitted set before {because['permitted']}"
        case execve.NOSUID:
            where = hop.mount.where if hop.mount else ""
            yield f"{escape(hop.path)} is on a nosuid mount, where file capabilities do not count: {where}"
        case execve.OTHER_NAMESPACE:
            rootid = assigned.rootid if assigned else 0
            yield f"the file's capabilities count only in a user namespace whose root is uid {rootid}"
        case execve.UNKNOWN:
            yield "the file has capabilities that no kernel knows; they are ignored"
        case execve.ROOT:
            yield f"{names}: the process is root, which has all of its bounding set, which {_describe_bounding(verdict)}"
        case execve.AMBIENT:
            yield f"{names}: ambient, {_describe_ambient(verdict)}"
        case execve.NOT_EFFECTIVE:
            yield f"{names}: not effective until the program makes them so itself (cap_set_proc(3), capset(2))"


def _describe_set_user_id(hop: Hop) -> str:
    """Returns the sentence about the set-user-ID bit of a program."""
    return f"{escape(hop.path)} is a set-user-ID file: the process becomes uid {hop.file.uid}"


def _list_hop_pairs(verdict: Verdict) -> Iterator[tuple[Hop, Hop]]:
    """Yields each hop of the chain but the last, with the one after it."""
    return zip(verdict.chain.hops[:-1], verdict.chain.hops[1:], strict=True)


def _list_changes_between_programs(verdict: Verdict) -> Iterator[str]:
    """Yields what each program changes about the process before it executes the next one."""
    for hop, following in _list_hop_pairs(verdict):
        old, new = hop.outcome.process, following.before
        if old is None:
            continue
        for step in hop.outcome.steps:
            if step.rule == execve.SET_USER_ID:
                yield _describe_set_user_id(hop)
        parts = []
        if old.euid != new.euid or old.ruid != new.ruid:
            parts.append(f"changes the uid from {old.euid} to {new.euid}")
        if dropped := old.bounding & ~new.bounding:
            parts.append(
                f"takes {format_capabilities(dropped)} out of the bounding set" if new.bounding else "empties the bounding set"
            )
        if new.no_new_privs and not old.no_new_privs:
            parts.append("sets no_new_privs")
        if raised := new.ambient & ~old.ambient:
            parts.append(f"raises {format_capabilities(raised)} as ambient")
        if inherited := new.inheritable & ~old.inheritable:
            parts.append(f"makes {format_capabilities(inherited)} inheritable")
        if new.securebits & ~execve.SECBIT_KEEP_CAPS != old.securebits & ~execve.SECBIT_KEEP_CAPS:
            parts.append(f"sets securebits {new.securebits & ~execve.SECBIT_KEEP_CAPS:#x}")
        if parts:
            yield f"{hop.name} {', and '.join(parts)}"


def _find_dropping_program(verdict: Verdict, mask: int) -> str:
    """Returns the program after which capabilities that were permitted are not, and how it loses them."""
    permitted = verdict.before.permitted
    for at, hop in enumerate(verdict.chain.hops):
        if permitted & mask & ~hop.before.permitted:
            return f"{verdict.chain.hops[at - 1].name}, which changes to another user"
        after = hop.outcome.process
        if after is None or mask & ~after.permitted:
            return f"{escape(hop.path)}, which runs before and does not have them in its file"
        permitted = after.permitted
    return "a program before"


def _describe_bounding(verdict: Verdict) -> str:
    """Returns the clause about the bounding set, as follows "the bounding set, which"."""
    text = verdict.before.because["bounding"]
    for hop, following in _list_hop_pairs(verdict):
        if hop.outcome.process and hop.outcome.process.bounding != following.before.bounding:
            text += f", before {hop.name} changes it"
    return text


def _describe_no_new_privs(verdict: Verdict) -> str:
    """Returns the setting or the program that sets no_new_privs."""
    if verdict.before.no_new_privs:
        return verdict.before.because["no_new_privs"]
    for hop, following in _list_hop_pairs(verdict):
        if following.before.no_new_privs:
            return f"by {hop.name}"
    return ""


def _describe_ambient(verdict: Verdict) -> str:
    """Returns the program that raises ambient capabilities, or why the engine grants them."""
    for hop, following in _list_hop_pairs(verdict):
        if hop.outcome.process and following.before.ambient & ~hop.outcome.process.ambient:
            return f"raised by {hop.name}"
    return f"and so is granted: the ambient set {verdict.before.because['ambient']}"


def list_notes(plan: Plan, verdict: Verdict) -> Iterator[str]:
    """Yields a sentence for each limit of the verdict and each fact of use beyond it."""
    chain = verdict.chain
    if chain.assumed and len(chain.hops) > 1:
        yield f"{chain.hops[-2].name} is assumed to execute {verdict.hop.name} with its own credentials"
    if verdict.doubt:
        yield verdict.doubt
    for hop in chain.hops:
        if hop.mount:
            assumption = "the same file" + ("" if hop.mount.value.nosuid else ", on a file system without nosuid")
            yield f"{escape(hop.path)} is hidden by a mount ({hop.mount.where}): the file of the mount runs, which is assumed to be {assumption}"
    if verdict.before.user_namespace:
        yield f"the capabilities count only in the container's own user namespace ({verdict.before.because['user_namespace']})"
    if not chain.unknown_reason:
        yield from _list_notes_on_program(plan, verdict)
        yield from verdict.unneeded


def _list_notes_on_program(plan: Plan, verdict: Verdict) -> Iterator[str]:
    """Yields the notes on the program that the container is about."""
    hop = verdict.hop
    assigned = hop.file.capabilities
    if verdict.after is None and not verdict.chain.failure and assigned and assigned.effective:
        text = FileCapabilities(assigned.permitted, assigned.inheritable, 0, assigned.rootid).to_text()
        yield f"with {text} it would start with the capabilities that it gets, and would have to make them effective itself"
    if verdict.after is not None:
        yield from list_ignored_variables(plan.image, hop, plan.settings)
    others = sorted(path for path in plan.image.capabilities if path not in [hop.path for hop in verdict.chain.hops])
    if verdict.after is not None and not assigned and others and not plan.program:
        listed = ", ".join(map(escape, others[:5])) + (", and more" if len(others) > 5 else "")
        yield f"this is not about files that {hop.name} may execute later: {listed}; --program names one of them"

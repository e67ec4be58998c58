"""Puts a verdict into sentences: the rules that decided, and notes."""

from __future__ import annotations

from collections.abc import Iterator

from rules_setcap.capabilities import FileCapabilities, execve
from rules_setcap.capabilities.names import ALL
from rules_setcap.containers import loader
from rules_setcap.containers.chain import Hop
from rules_setcap.containers.process import format_capabilities
from rules_setcap.containers.verdict import Plan, Verdict
from rules_setcap.diagnostics.errors import escape


def why(plan: Plan, verdict: Verdict) -> Iterator[str]:
    """Yields the rules that decided, each with the setting or program behind it."""
    because = verdict.before.because
    yield f"the process has uid {verdict.before.uid}: {because['uid']}"
    yield from _changes(verdict)
    if verdict.chain.failed or verdict.chain.lost:
        return
    hop = verdict.hop
    outcome = hop.outcome
    known = hop.file.capabilities
    if hop.loaded:
        yield f"{escape(hop.script)} is loaded by {escape(hop.path)} and not executed: the capabilities of {escape(hop.path)} count"
    elif hop.script:
        yield f"{escape(hop.script)} is a script: the capabilities of its interpreter, {escape(hop.path)}, count"
    yield f"{escape(hop.path)} has {known.to_text() if known else 'no file capabilities'}"
    about: dict[str, int] = {}
    for step in outcome.steps:
        about[step.rule] = about.get(step.rule, 0) | step.capabilities
    asked = verdict.wanted | ((known.permitted | known.inheritable) & ALL if known else 0)
    for rule, capabilities in about.items():
        mask = capabilities & asked
        if mask or rule in _WITHOUT_CAPABILITIES:
            yield from _rule(verdict, rule, mask)
    missing = verdict.wanted & ~(outcome.process.permitted if outcome.process else 0)
    unasked = missing & ~(known.permitted | known.inheritable if known else 0)
    if unasked and hop.before.euid:
        yield f"{format_capabilities(unasked)}: granted to the container, but a process that is not root gets them from its file alone"
    elif unasked:
        yield f"{format_capabilities(unasked)}: not in the bounding set, which {_bounding(verdict)}"


_WITHOUT_CAPABILITIES = frozenset(
    (
        execve.OTHER_NAMESPACE,
        execve.UNKNOWN,
        execve.NOSUID,
        execve.SET_USER_ID,
        execve.SET_GROUP_ID,
        execve.SET_ID_NO_NEW_PRIVS,
    )
)


def _rule(verdict: Verdict, rule: str, mask: int) -> Iterator[str]:
    because = verdict.before.because
    hop = verdict.hop
    names = format_capabilities(mask)
    known = hop.file.capabilities
    match rule:
        case execve.SET_USER_ID:
            yield _changes_uid(hop)
        case execve.SET_GROUP_ID:
            yield f"{escape(hop.path)} is a set-group-ID file: the process becomes gid {hop.file.gid}"
        case execve.SET_ID_NO_NEW_PRIVS:
            yield f"{escape(hop.path)} is a set-user-ID or set-group-ID file, which does not count: no_new_privs is set ({_no_new_privs(verdict)})"
        case execve.FILE_PERMITTED:
            yield f"{names}: permitted of the file, and in the bounding set, which {_bounding(verdict)}"
        case execve.NOT_BOUNDING:
            yield f"{names}: permitted of the file, but not in the bounding set, which {_bounding(verdict)}"
        case execve.NOT_INHERITABLE:
            yield f"{names}: inheritable of the file, but not of the process, whose inheritable set {because['inheritable']}"
        case execve.REFUSED:
            yield "the file's effective bit is set, so the kernel refuses to run it with less than it asks for (EPERM)"
        case execve.NO_NEW_PRIVS:
            yield f"{names}: no_new_privs is set ({_no_new_privs(verdict)}), so execve gives nothing that was not permitted before"
            if verdict.before.permitted & mask and len(verdict.chain.hops) > 1:
                yield f"{names}: lost by {_loser(verdict, mask)}"
            else:
                yield f"the permitted set before {because['permitted']}"
        case execve.NOSUID:
            where = hop.mount.where if hop.mount else ""
            yield f"{escape(hop.path)} is on a nosuid mount, where file capabilities do not count: {where}"
        case execve.OTHER_NAMESPACE:
            rootid = known.rootid if known else 0
            yield f"the file's capabilities count only in a user namespace whose root is uid {rootid}"
        case execve.UNKNOWN:
            yield "the file has capabilities that no kernel knows; they are ignored"
        case execve.ROOT:
            yield f"{names}: the process is root, which has all of its bounding set, which {_bounding(verdict)}"
        case execve.AMBIENT:
            yield f"{names}: ambient, {_ambient(verdict)}"
        case execve.NOT_EFFECTIVE:
            yield f"{names}: not effective until the program makes them so itself (cap_set_proc(3), capset(2))"


def _changes_uid(hop: Hop) -> str:
    """Returns what the set-user-ID bit of a program does."""
    return f"{escape(hop.path)} is a set-user-ID file: the process becomes uid {hop.file.uid}"


def _changes(verdict: Verdict) -> Iterator[str]:
    """Yields what each program does to the process before it executes the next one."""
    for hop, following in zip(verdict.chain.hops, verdict.chain.hops[1:]):
        old, new = hop.outcome.process, following.before
        if old is None:
            continue
        for step in hop.outcome.steps:
            if step.rule == execve.SET_USER_ID:
                yield _changes_uid(hop)
        parts = []
        if old.euid != new.euid or old.ruid != new.ruid:
            parts.append(f"changes the uid from {old.euid} to {new.euid}")
        if lost := old.bounding & ~new.bounding:
            parts.append(f"takes {format_capabilities(lost)} out of the bounding set" if new.bounding else "empties the bounding set")
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


def _loser(verdict: Verdict, mask: int) -> str:
    """Returns which program lost capabilities that were permitted, and how."""
    held = verdict.before.permitted
    for at, hop in enumerate(verdict.chain.hops):
        if held & mask & ~hop.before.permitted:
            return f"{verdict.chain.hops[at - 1].name}, which changes to another user"
        after = hop.outcome.process
        if after is None or mask & ~after.permitted:
            return f"{escape(hop.path)}, which runs before and does not have them in its file"
        held = after.permitted
    return "a program before"


def _bounding(verdict: Verdict) -> str:
    text = verdict.before.because["bounding"]
    for hop, following in zip(verdict.chain.hops, verdict.chain.hops[1:]):
        if hop.outcome.process and hop.outcome.process.bounding != following.before.bounding:
            text += f", before {hop.name} changes it"
    return text


def _no_new_privs(verdict: Verdict) -> str:
    if verdict.before.no_new_privs:
        return verdict.before.because["no_new_privs"]
    for hop, following in zip(verdict.chain.hops, verdict.chain.hops[1:]):
        if following.before.no_new_privs:
            return f"by {hop.name}"
    return ""


def _ambient(verdict: Verdict) -> str:
    for hop, following in zip(verdict.chain.hops, verdict.chain.hops[1:]):
        if hop.outcome.process and following.before.ambient & ~hop.outcome.process.ambient:
            return f"raised by {hop.name}"
    return f"and so is granted: the ambient set {verdict.before.because['ambient']}"


def notes(plan: Plan, verdict: Verdict) -> Iterator[str]:
    """Yields what is not known, or of use beyond the verdict."""
    chain = verdict.chain
    if chain.named and len(chain.hops) > 1:
        yield f"{chain.hops[-2].name} is taken to execute {verdict.hop.name} with the credentials that it has itself"
    if verdict.doubt:
        yield verdict.doubt
    for hop in chain.hops:
        if hop.mount:
            taken = "the same file" + ("" if hop.mount.value.nosuid else ", on a file system without nosuid")
            yield f"{escape(hop.path)} is hidden by a mount ({hop.mount.where}): what runs is what that holds, here taken to be {taken}"
    if verdict.before.user_namespace:
        yield f"they count in the container's own user namespace alone ({verdict.before.because['user_namespace']})"
    if not chain.lost:
        yield from _of_last(plan, verdict.hop, verdict)
        yield from verdict.unneeded


def _of_last(plan: Plan, hop: Hop, verdict: Verdict) -> Iterator[str]:
    known = hop.file.capabilities
    if verdict.after is None and not verdict.chain.failed and known and known.effective:
        text = FileCapabilities(known.permitted, known.inheritable, 0, known.rootid).to_text()
        yield f"with {text} it would start with what there is, and have to make it effective itself"
    if verdict.after is not None:
        yield from loader.notes(plan.image, hop, plan.settings)
    others = sorted(path for path in plan.image.capabilities if path not in [each.path for each in verdict.chain.hops])
    if verdict.after is not None and not known and others and not plan.program:
        listed = ", ".join(map(escape, others[:5])) + (", and more" if len(others) > 5 else "")
        yield f"this is not about files that {hop.name} may execute later: {listed}; --program names one of them"

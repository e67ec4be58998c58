"""What a container's process has of the capabilities that its file asks for, why, and what would give it the rest.

A fix is found by trying: of the changes that one could make, the fewest that lead to all that is wanted.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from capabilities import FileCapabilities, execve
from capabilities.names import ALL, NAMES
from packer.errors import escape, quote
from runtimes import Process, Runtime, Said, Settings, before_execve
from runtimes.process import describe

from .chain import Hop
from .images import Image


@dataclass(frozen=True)
class Plan:
    """A container that one could run."""

    settings: Settings
    hops: tuple[Hop, ...]


@dataclass(frozen=True)
class Verdict:
    """What comes of a plan.

    Attributes:
      wanted: the capabilities that it is about, as a mask.
      before: the process that executes the first program.
      steps: what each execve makes of it; one that fails is the last.
      why: sentences.
      fixes: what to change, a sentence each; all of them together.
      notes: what is not known, or of use beyond that.
    """

    wanted: int
    before: Process
    steps: tuple[execve.Outcome, ...]
    why: tuple[str, ...] = ()
    fixes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def after(self) -> execve.Process | None:
        """The process in the end; None if there is none."""
        return self.steps[-1].process

    @property
    def good(self) -> bool:
        """Whether it has all that is wanted."""
        return self.after is not None and not self.wanted & ~self.after.permitted


def judge(image: Image, settings: Settings, hops: Sequence[Hop], runtime: Runtime) -> Verdict:
    """The verdict on a container.

    Raises:
      InputError: the runtime would refuse to start it, or its user is not known.
    """
    plan = Plan(settings, tuple(hops))
    wanted = _wanted(plan)
    before, steps = _run(image, plan, runtime)
    verdict = Verdict(wanted, before, steps)
    why = tuple(_why(plan, verdict))
    fixes = () if verdict.good else _fixes(image, plan, runtime, verdict)
    return replace(verdict, why=why, fixes=fixes, notes=tuple(_notes(plan, verdict)))


def _wanted(plan: Plan) -> int:
    """What the last program's file asks for; of one that asks for nothing, what somebody granted by name."""
    known = plan.hops[-1].file.capabilities
    mask = (known.permitted | known.inheritable) & ALL if known else 0
    if not mask:
        mask = sum({1 << NAMES.index(one.value) for one in plan.settings.added if one.value != "all"})
    return mask


def _run(image: Image, plan: Plan, runtime: Runtime) -> tuple[Process, tuple[execve.Outcome, ...]]:
    config = image.config.get("config") or {}
    labels = {name: text for name, text in (config.get("Labels") or {}).items() if isinstance(text, str)}
    # An image without /etc/passwd has no users; of a tar that is one layer, the others are not known.
    users, groups = (known if known is not None or not image.config else {} for known in (image.users, image.groups))
    before = before_execve(plan.settings, runtime, str(config.get("User") or ""), users, labels, gids=groups)
    process = execve.Process.of(
        before.uid,
        0,
        permitted=before.permitted,
        inheritable=before.inheritable,
        effective=before.effective,
        bounding=before.bounding,
        ambient=before.ambient,
        no_new_privs=before.no_new_privs,
    )
    steps: list[execve.Outcome] = []
    for hop in plan.hops:
        nosuid = bool(hop.mount and hop.mount.value.nosuid)
        # Set-user-ID bits aside: uids of another user namespace are not known here.
        steps.append(execve.execve(process, execve.File(hop.file.capabilities, hop.file.uid, hop.file.gid, hop.file.mode, nosuid)))
        after = steps[-1].process
        if after is None:
            break
        process = after
    return before, tuple(steps)


def _why(plan: Plan, verdict: Verdict) -> Iterator[str]:
    """The rules that decided, each with who is behind it."""
    because = verdict.before.because
    yield f"the process has uid {verdict.before.uid}: {because['uid']}"
    last = len(verdict.steps) - 1
    hop, outcome = plan.hops[last], verdict.steps[last]
    known = hop.file.capabilities
    if hop.script:
        yield f"{escape(hop.script)} is a script: what counts are the capabilities of its interpreter, {escape(hop.path)}"
    yield f"{escape(hop.path)} has {known.to_text() if known else 'no file capabilities'}"
    about: dict[str, int] = {}
    for step in outcome.steps:
        about[step.rule] = about.get(step.rule, 0) | step.capabilities
    asked = verdict.wanted | ((known.permitted | known.inheritable) & ALL if known else 0)
    for rule, capabilities in about.items():
        mask = capabilities & asked
        if not mask and rule not in (execve.OTHER_NAMESPACE, execve.UNKNOWN, execve.NOSUID):
            continue
        names = describe(mask)
        match rule:
            case execve.FILE_PERMITTED:
                yield f"{names}: permitted of the file, and in the bounding set: {because['bounding']}"
            case execve.NOT_BOUNDING:
                yield f"{names}: permitted of the file, and not in the bounding set: {because['bounding']}"
            case execve.NOT_INHERITABLE:
                yield f"{names}: inheritable of the file, and not of the process, whose inheritable set is {because['inheritable']}"
            case execve.REFUSED:
                yield "the file's effective bit is set, so the kernel refuses to run it with less than it asks for (EPERM)"
            case execve.NO_NEW_PRIVS:
                yield f"{names}: no_new_privs is set ({because['no_new_privs']}), so execve gives nothing that was not permitted before"
                if last and verdict.before.permitted & mask:
                    lost = next(at for at, step in enumerate(verdict.steps) if step.process and mask & ~step.process.permitted)
                    yield f"{names}: lost by {escape(plan.hops[lost].path)}, which runs before and does not have them in its file"
                else:
                    yield f"permitted before: {because['permitted']}"
            case execve.NOSUID:
                where = hop.mount.where if hop.mount else ""
                yield f"{escape(hop.path)} is on a nosuid mount, where file capabilities do not count: {where}"
            case execve.OTHER_NAMESPACE:
                rootid = known.rootid if known else 0
                yield f"the file's capabilities are for the user namespace whose root is uid {rootid}, not for this one"
            case execve.UNKNOWN:
                yield "the file has capabilities that no kernel knows; they are passed over"
            case execve.ROOT:
                yield f"{names}: the process is root, which has all of its bounding set: {because['bounding']}"
            case execve.AMBIENT:
                yield f"{names}: ambient: {because['ambient']}"
            case execve.NOT_EFFECTIVE:
                yield f"{names}: not effective until the program makes them so itself (cap_set_proc(3), capset(2))"
    missing = verdict.wanted & ~(outcome.process.permitted if outcome.process else 0)
    unasked = missing & ~(known.permitted | known.inheritable if known else 0)
    if unasked and verdict.before.uid:
        yield f"{describe(unasked)}: granted to the container, but a process that is not root gets them from its file alone"
    elif unasked:
        yield f"{describe(unasked)}: not in the bounding set: {because['bounding']}"


def _notes(plan: Plan, verdict: Verdict) -> Iterator[str]:
    for hop in plan.hops:
        if hop.mount:
            taken = "the same file" + ("" if hop.mount.value.nosuid else ", on a file system without nosuid")
            yield f"{escape(hop.path)} is hidden by a mount ({hop.mount.where}): what runs is what that holds, here taken to be {taken}"
    if verdict.before.user_namespace:
        yield f"they count in the container's own user namespace alone ({verdict.before.because['user_namespace']})"
    known = plan.hops[-1].file.capabilities
    if verdict.after is None and known and known.effective:
        text = FileCapabilities(known.permitted, known.inheritable, 0, known.rootid).to_text()
        yield f"with {text} it would start with what there is, and have to make it effective itself"


def _fixes(image: Image, plan: Plan, runtime: Runtime, verdict: Verdict) -> tuple[str, ...]:
    """The fewest changes that give all that is wanted."""
    changes = list(_changes(plan, verdict))
    for count in range(1, len(changes) + 1):
        for chosen in itertools.combinations(changes, count):
            changed = plan
            for _, change in chosen:
                changed = change(changed)
            before, steps = _run(image, changed, runtime)
            if Verdict(verdict.wanted, before, steps).good:
                return tuple(text for text, _ in chosen)
    return ()


def _changes(plan: Plan, verdict: Verdict) -> Iterator[tuple[str, Callable[[Plan], Plan]]]:
    """What one could change, the likelier first."""
    wanted = verdict.wanted
    settings = plan.settings
    kubernetes = settings.runtime in ("containerd", "cri-o")
    compose = not kubernetes and not settings.where.startswith(("docker ", "podman "))
    missing = wanted & ~verdict.before.bounding or wanted & ~verdict.before.permitted
    names = [NAMES[bit] for bit in range(len(NAMES)) if missing >> bit & 1]
    short = [name.removeprefix("cap_").upper() for name in names]
    if wanted & ~verdict.before.bounding:
        if kubernetes:
            text = f"add to securityContext.capabilities: add: [{', '.join(short)}]"
        elif compose:
            text = f"add to the service: cap_add: [{', '.join(short)}]"
        else:
            text = "add " + " ".join(f"--cap-add={name}" for name in short)
        if kubernetes and any(one.value in names for one in settings.dropped):
            text += ", and take them out of drop"
        yield text, lambda old: replace(old, settings=_grant(old.settings, names))
    if settings.no_new_privs and settings.no_new_privs.value:
        text = "set allowPrivilegeEscalation: true" if kubernetes else f"leave out no-new-privileges ({settings.no_new_privs.where})"
        yield text, lambda old: replace(old, settings=replace(old.settings, no_new_privs=None))
    last = plan.hops[-1]
    known = last.file.capabilities or FileCapabilities(0, 0, 0)
    if wanted & ~known.permitted or known.rootid:
        sets = known.permitted | wanted, known.inheritable
        granted = FileCapabilities(*sets, sets[0] | sets[1] if known.effective else 0)
        of_script = f", not {escape(last.script)}: a script cannot have any" if last.script else ""
        text = f'give {escape(last.path)} the capabilities{of_script}: file_capabilities = {{{quote(last.path)}: "{granted.to_text()}"}}'
        yield text, partial(_granted, path=last.path, capabilities=granted)
    earlier = {hop.path: hop for hop in plan.hops[:-1] if hop.file.path and hop.path != last.path}
    for path, hop in earlier.items():
        mine = hop.file.capabilities or FileCapabilities(0, 0, 0)
        if wanted & ~mine.permitted:
            more = FileCapabilities(mine.permitted | wanted, mine.inheritable, 0)
            text = f'give {escape(path)}, which runs before, the same: file_capabilities = {{{quote(path)}: "{more.to_text()}"}}'
            yield text, partial(_granted, path=path, capabilities=more)
    if settings.init and settings.init.value:
        text = f"leave out {settings.init.where}: the runtime's init has no file capabilities"
        yield text, _without_init
    if last.mount and last.mount.value.nosuid:
        text = f"keep {escape(last.path)} out of the nosuid mount of {last.mount.where}"
        yield text, lambda old: replace(old, hops=(*old.hops[:-1], replace(old.hops[-1], mount=None)))


def _grant(settings: Settings, names: Sequence[str]) -> Settings:
    kept = tuple(one for one in settings.dropped if one.value not in names)
    return replace(settings, added=(*settings.added, *(Said(name, "the fix") for name in names)), dropped=kept)


def _granted(plan: Plan, path: str, capabilities: FileCapabilities) -> Plan:
    """A plan in which a file has other capabilities."""

    def changed(hop: Hop) -> Hop:
        return replace(hop, file=replace(hop.file, capabilities=capabilities)) if hop.path == path else hop

    return replace(plan, hops=tuple(map(changed, plan.hops)))


def _without_init(plan: Plan) -> Plan:
    hops = tuple(hop for hop in plan.hops if hop.file.path)
    return replace(plan, settings=replace(plan.settings, init=None), hops=hops)

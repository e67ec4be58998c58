"""Finds the changes after which a container's process has all that its program's file asks for.

A fix is found by trying: the changed plan is judged like any other. The sentences are made from the difference between the
two plans, so that what is printed is what was tried.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from rules_setcap.capabilities import FileCapabilities
from rules_setcap.capabilities.names import ALL, NAMES
from rules_setcap.containers.chain import Hop
from rules_setcap.containers.dangers import program_kind
from rules_setcap.containers.fix_texts import describe
from rules_setcap.containers.settings import Setting, Settings
from rules_setcap.containers.verdict import Plan, Verdict, bare
from rules_setcap.diagnostics.errors import InputError

_NONE = FileCapabilities(0, 0, 0)
_MAX_PROGRAMS = 3  # Programs of a chain that may lack something one after the other.
_MAX_CHANGES = 10  # That are tried in combination,
_AT_ONCE = 4  # and of these at most so many at once.
_MANY = 10
"""More capabilities of one file than this are asked for by mistake, rather than needed (`=ep` is all of them)."""
_UID = 1000  # For a container that must not run as root.


@dataclass(frozen=True)
class _Change:
    """A change of a plan.

    Attributes:
      cost: of several changes that help, those of the lowest sum are printed. Changes that give more privilege cost more.
      apply: returns the changed plan.
    """

    cost: int
    apply: Callable[[Plan], Plan]


def find(plan: Plan, verdict: Verdict) -> tuple[str, ...]:
    """Returns the changes that give all that is wanted, a sentence each; () if none is known.

    Args:
      plan: the container. The changes are within plan.standard.
      verdict: the verdict on it, which is not good.
    """
    if plan.standard:
        conforming = replace(plan, settings=plan.standard(plan.settings))
        if conforming.settings != plan.settings:
            try:
                verdict = replace(bare(conforming), wanted=verdict.wanted)
            except InputError:
                return ()
            plan = conforming
    count = verdict.wanted.bit_count()
    known = verdict.hop.file.capabilities
    if not known or count <= _MANY:
        changed = _search(plan, verdict, _MAX_PROGRAMS)
        return describe(plan, changed, verdict) if changed else ()
    if fewer := verdict.wanted & verdict.before.bounding:
        less = _assign(verdict.hop.path, _combined(known.permitted & fewer, known.inheritable & fewer, bool(known.effective)))(plan)
        judged = bare(less)
        changed = less if judged.good and judged.known else _search(less, judged, _MAX_PROGRAMS)
        if changed:
            return describe(plan, changed, verdict)
    changed = _search(plan, verdict, _MAX_PROGRAMS)
    advice = f"let {verdict.hop.path} ask for fewer: it asks for {count} capabilities, and needs all of them granted"
    return (advice, *describe(plan, changed, verdict)) if changed else (advice,)


def of_refused(plan: Plan, error: InputError) -> tuple[str, ...]:
    """Returns the changes for a container that the runtime refuses to start because of runAsNonRoot.

    Args:
      plan: the container.
      error: what bare() raised; () is returned if that is about something else, or no fix is known.
    """
    said = plan.settings.run_as_non_root
    if not said or not all(text.startswith(said.where) for text in error.problems):
        return ()
    user = (plan.settings.user.value if plan.settings.user else str((plan.image.config.get("config") or {}).get("User") or "")).partition(":")
    uid = (plan.image.users or {}).get(user[0]) or _UID
    changed = replace(plan, settings=replace(plan.settings, user=Setting("".join((str(uid), *user[1:])), "the fix")))
    try:
        verdict = bare(changed)
    except InputError:
        return ()
    if verdict.good or verdict.chain.lost:
        return describe(plan, changed, verdict)
    return (*describe(plan, changed, verdict), *more) if (more := find(changed, verdict)) else ()


def _search(plan: Plan, verdict: Verdict, programs: int) -> Plan | None:
    """Returns the changed plan of the lowest cost that is good; None if there is none."""
    changes = sorted(_changes(plan, verdict), key=lambda change: change.cost)[:_MAX_CHANGES]
    sets = [chosen for count in range(1, _AT_ONCE + 1) for chosen in itertools.combinations(changes, count)]
    for chosen in sorted(sets, key=lambda chosen: sum(change.cost for change in chosen)):
        changed = plan
        try:
            for change in chosen:
                changed = change.apply(changed)
            if _is_good(plan, changed, verdict):
                return changed
        except InputError:
            continue
    if not verdict.chain.needs & ~verdict.before.bounding or not programs:
        return None
    # What the next programs need shows once this one does not fail.
    for change in changes:
        try:
            changed = change.apply(plan)
            judged = bare(changed)
        except InputError:
            continue
        if not judged.chain.needs or judged.chain.needs != verdict.chain.needs:
            return _search(changed, judged, programs - 1)
    return None


def _is_good(plan: Plan, changed: Plan, verdict: Verdict) -> bool:
    if plan.standard and plan.standard(changed.settings) != changed.settings:
        return False
    judged = bare(changed)
    if judged.hop.path == verdict.hop.path:
        # Of the same program the same is wanted, whatever the change grants by name.
        judged = replace(judged, wanted=verdict.wanted)
    return judged.known and judged.good


def _changes(plan: Plan, verdict: Verdict) -> Iterator[_Change]:
    """Yields what one could change."""
    wanted, settings, last = verdict.wanted, plan.settings, verdict.hop
    needed = wanted | verdict.chain.needs
    names = _names(needed)
    if any(one.value in names for one in settings.dropped):
        yield _Change(1, lambda old: replace(old, settings=_without_drops(old.settings, names)))
    if needed & ~verdict.before.bounding:
        yield _Change(1, lambda old: _grant(old, needed & ~bare(old).before.bounding))
    elif settings.engine_name == "podman" and wanted & ~verdict.before.permitted:
        # For a user other than root, podman makes permitted and ambient what --cap-add names, and nothing else.
        yield _Change(1, lambda old: _grant(old, wanted & ~bare(old).before.permitted))
    known = last.file.capabilities or _NONE
    if last.file.path and (wanted & ~known.permitted or known.rootid):
        # A program without capabilities is not known to raise any itself.
        effective = bool(known.effective) or not known.permitted | known.inheritable
        given = _combined(known.permitted | wanted, known.inheritable, effective)
        yield _Change(6 if _is_interpreter(last) else 2, _assign(last.path, given))
    earlier = {hop.path: hop for hop in verdict.chain.hops[:-1] if hop.file.path and hop.path != last.path}
    for path, hop in earlier.items():
        own = hop.file.capabilities or _NONE
        if wanted & ~own.permitted:
            given = _combined(own.permitted | wanted, own.inheritable, bool(own.effective))
            yield _Change(6 if _is_interpreter(hop) else 2, _assign(path, given))
    if settings.init and settings.init.value:
        yield _Change(2, lambda old: replace(old, settings=replace(old.settings, init=None)))
    if last.mount and last.mount.value.nosuid:
        mounts = tuple(each for each in settings.mounts if each is not last.mount)
        yield _Change(2, lambda old: replace(old, settings=replace(old.settings, mounts=mounts)))
    if settings.no_new_privs and settings.no_new_privs.value:
        yield _Change(3, lambda old: replace(old, settings=replace(old.settings, no_new_privs=None)))


def _names(mask: int) -> list[str]:
    return [NAMES[bit] for bit in range(len(NAMES)) if mask >> bit & 1]


def _is_interpreter(hop: Hop) -> bool:
    """Returns whether the capabilities of a program are those of everybody who can execute it."""
    return bool(hop.script) or bool(program_kind(hop.path.rpartition("/")[2]))


def _combined(permitted: int, inheritable: int, effective: bool) -> FileCapabilities:
    return FileCapabilities(permitted & ALL, inheritable & ALL, (permitted | inheritable) & ALL if effective else 0)


def _without_drops(settings: Settings, names: Sequence[str]) -> Settings:
    return replace(settings, dropped=tuple(one for one in settings.dropped if one.value not in names))


def _grant(plan: Plan, mask: int) -> Plan:
    added = (*plan.settings.added, *(Setting(name, "the fix") for name in _names(mask)))
    return replace(plan, settings=replace(plan.settings, added=added))


def _assign(path: str, capabilities: FileCapabilities) -> Callable[[Plan], Plan]:
    """Returns a change that gives a file of the image other capabilities."""

    def change(plan: Plan) -> Plan:
        return replace(plan, image=replace(plan.image, capabilities={**plan.image.capabilities, path: capabilities}))

    return change

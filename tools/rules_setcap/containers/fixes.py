"""Finds the changes after which a container's process has all capabilities that its program's file asks for.

Fixes are found by trying: compute_verdict() is called on the changed plan. The sentences are made from the difference
between the two plans, so that a printed fix is one that was tried.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from rules_setcap.capabilities import FileCapabilities
from rules_setcap.capabilities.names import ALL, NAMES
from rules_setcap.containers.chain import Hop
from rules_setcap.containers.dangers import find_program_kind
from rules_setcap.containers.fix_texts import describe_changes
from rules_setcap.containers.settings import Setting, Settings
from rules_setcap.containers.verdict import Plan, Verdict, compute_verdict
from rules_setcap.diagnostics.errors import InputError, escape

_NO_CAPABILITIES = FileCapabilities(0, 0, 0)
_MAX_PROGRAMS = 3
"""The number of programs of a chain that may fail one after the other for want of a capability."""
_MAX_CHANGES = 10
"""The number of changes that are tried in combination."""
_MAX_COMBINED = 4
"""The number of changes in one combination."""
_MAX_NEEDED = 10
"""A file with more capabilities than this is taken to ask for them by mistake (`=ep` asks for all of them)."""
_NON_ROOT_UID = 1000
"""The uid that is proposed for a container that must not run as root."""


@dataclass(frozen=True)
class _Change:
    """A change of a plan.

    Attributes:
      cost: of several combinations that help, the one with the lowest sum is printed. Changes that give more privilege cost
        more.
      apply: returns the changed plan.
    """

    cost: int
    apply: Callable[[Plan], Plan]


def find_fixes(plan: Plan, verdict: Verdict) -> tuple[str, ...]:
    """Returns the changes that, made together, give all requested capabilities, a sentence each; () if none are found.

    Args:
      plan: the container. The changed settings conform to plan.standard.
      verdict: the verdict on the container, which is not good.
    """
    if plan.standard:
        conforming = replace(plan, settings=plan.standard(plan.settings))
        if conforming.settings != plan.settings:
            try:
                verdict = replace(compute_verdict(conforming), requested=verdict.requested)
            except InputError:
                return ()
            plan = conforming
    count = verdict.requested.bit_count()
    assigned = verdict.hop.file.capabilities
    if not assigned or count <= _MAX_NEEDED:
        changed = _search(plan, verdict, _MAX_PROGRAMS)
        return describe_changes(plan, changed, verdict) if changed else ()
    if fewer := verdict.requested & verdict.before.bounding:
        capabilities = _make_capabilities(assigned.permitted & fewer, assigned.inheritable & fewer, bool(assigned.effective))
        reduced = _make_assignment(verdict.hop.path, capabilities)(plan)
        new_verdict = compute_verdict(reduced)
        changed = reduced if new_verdict.is_good and new_verdict.is_proven else _search(reduced, new_verdict, _MAX_PROGRAMS)
        if changed:
            return describe_changes(plan, changed, verdict)
    changed = _search(plan, verdict, _MAX_PROGRAMS)
    advice = (
        f"assign fewer capabilities to {escape(verdict.hop.path)}: it asks for {count}, and all of them would have to be granted"
    )
    return (advice, *describe_changes(plan, changed, verdict)) if changed else (advice,)


def find_fixes_of_refusal(plan: Plan, error: InputError) -> tuple[str, ...]:
    """Returns the changes for a container that the kubelet refuses to start because of runAsNonRoot, a sentence each.

    Args:
      plan: the container.
      error: the exception of compute_verdict().

    Returns:
      The changes; () if the exception has another reason, or no fix is found.
    """
    refusal = plan.settings.run_as_non_root
    if not refusal or not all(text.startswith(refusal.where) for text in error.problems):
        return ()
    user = (
        plan.settings.user.value if plan.settings.user else str((plan.image.config.get("config") or {}).get("User") or "")
    ).partition(":")
    uid = (plan.image.users or {}).get(user[0]) or _NON_ROOT_UID
    changed = replace(plan, settings=replace(plan.settings, user=Setting("".join((str(uid), *user[1:])), "the fix")))
    try:
        verdict = compute_verdict(changed)
    except InputError:
        return ()
    if verdict.is_good or verdict.chain.unknown_reason:
        return describe_changes(plan, changed, verdict)
    return (*describe_changes(plan, changed, verdict), *more) if (more := find_fixes(changed, verdict)) else ()


def _search(plan: Plan, verdict: Verdict, programs: int) -> Plan | None:
    """Returns the changed plan of the lowest cost whose verdict is good and proven; None if there is none.

    Args:
      plan: the container.
      verdict: the verdict on it.
      programs: the number of programs after the first failing one that may fail as well.
    """
    changes = sorted(_list_changes(plan, verdict), key=lambda change: change.cost)[:_MAX_CHANGES]
    combinations = [chosen for count in range(1, _MAX_COMBINED + 1) for chosen in itertools.combinations(changes, count)]
    for combination in sorted(combinations, key=lambda combination: sum(change.cost for change in combination)):
        changed = plan
        try:
            for change in combination:
                changed = change.apply(changed)
            if _is_fix(plan, changed, verdict):
                return changed
        except InputError:
            continue
    if not verdict.chain.needed & ~verdict.before.bounding or not programs:
        return None
    # The needs of the next programs are known only once this one does not fail.
    for change in changes:
        try:
            changed = change.apply(plan)
            new_verdict = compute_verdict(changed)
        except InputError:
            continue
        if not new_verdict.chain.needed or new_verdict.chain.needed != verdict.chain.needed:
            return _search(changed, new_verdict, programs - 1)
    return None


def _is_fix(plan: Plan, changed: Plan, verdict: Verdict) -> bool:
    """Returns whether a changed plan conforms to the standard, and has a good and proven verdict."""
    if plan.standard and plan.standard(changed.settings) != changed.settings:
        return False
    new_verdict = compute_verdict(changed)
    if new_verdict.hop.path == verdict.hop.path:
        # The request of the program stays the same if the change grants more capabilities by name.
        new_verdict = replace(new_verdict, requested=verdict.requested)
    return new_verdict.is_proven and new_verdict.is_good


def _list_changes(plan: Plan, verdict: Verdict) -> Iterator[_Change]:
    """Yields the changes that may help."""
    requested, settings, last = verdict.requested, plan.settings, verdict.hop
    needed = requested | verdict.chain.needed
    names = _list_names(needed)
    if any(dropped.value in names for dropped in settings.dropped):
        yield _Change(1, lambda old: replace(old, settings=_remove_drops(old.settings, names)))
    if needed & ~verdict.before.bounding:
        yield _Change(1, lambda old: _add_grants(old, needed & ~compute_verdict(old).before.bounding))
    elif settings.engine_name == "podman" and requested & ~verdict.before.permitted:
        # For a user other than root, podman makes the capabilities of --cap-add permitted and ambient, and no others.
        yield _Change(1, lambda old: _add_grants(old, requested & ~compute_verdict(old).before.permitted))
    assigned = last.file.capabilities or _NO_CAPABILITIES
    if last.file.path and (requested & ~assigned.permitted or assigned.rootid):
        # A program without capabilities is not known to raise any itself, so the fix makes them effective.
        effective = bool(assigned.effective) or not assigned.permitted | assigned.inheritable
        capabilities = _make_capabilities(assigned.permitted | requested, assigned.inheritable, effective)
        yield _Change(6 if _executes_any_program(last) else 2, _make_assignment(last.path, capabilities))
    earlier = {hop.path: hop for hop in verdict.chain.hops[:-1] if hop.file.path and hop.path != last.path}
    for path, hop in earlier.items():
        assigned = hop.file.capabilities or _NO_CAPABILITIES
        if requested & ~assigned.permitted:
            capabilities = _make_capabilities(assigned.permitted | requested, assigned.inheritable, bool(assigned.effective))
            yield _Change(6 if _executes_any_program(hop) else 2, _make_assignment(path, capabilities))
    if settings.init and settings.init.value:
        yield _Change(2, lambda old: replace(old, settings=replace(old.settings, init=None)))
    if last.mount and last.mount.value.nosuid:
        mounts = tuple(mount for mount in settings.mounts if mount is not last.mount)
        yield _Change(2, lambda old: replace(old, settings=replace(old.settings, mounts=mounts)))
    if settings.no_new_privs and settings.no_new_privs.value:
        yield _Change(3, lambda old: replace(old, settings=replace(old.settings, no_new_privs=None)))


def _list_names(mask: int) -> list[str]:
    """Returns the names of the capabilities in a mask."""
    return [NAMES[bit] for bit in range(len(NAMES)) if mask >> bit & 1]


def _executes_any_program(hop: Hop) -> bool:
    """Returns whether everybody who can execute the program can do anything with its capabilities."""
    return bool(hop.script) or bool(find_program_kind(hop.path.rpartition("/")[2]))


def _make_capabilities(permitted: int, inheritable: int, effective: bool) -> FileCapabilities:
    """Returns the capabilities of a file, which the kernel makes effective all or none."""
    return FileCapabilities(permitted & ALL, inheritable & ALL, (permitted | inheritable) & ALL if effective else 0)


def _remove_drops(settings: Settings, names: Sequence[str]) -> Settings:
    """Returns settings that do not drop some capabilities."""
    return replace(settings, dropped=tuple(dropped for dropped in settings.dropped if dropped.value not in names))


def _add_grants(plan: Plan, mask: int) -> Plan:
    """Returns a plan whose settings grant more capabilities."""
    added = (*plan.settings.added, *(Setting(name, "the fix") for name in _list_names(mask)))
    return replace(plan, settings=replace(plan.settings, added=added))


def _make_assignment(path: str, capabilities: FileCapabilities) -> Callable[[Plan], Plan]:
    """Returns a function that assigns capabilities to a file of a plan's image."""

    def change(plan: Plan) -> Plan:
        return replace(plan, image=replace(plan.image, capabilities={**plan.image.capabilities, path: capabilities}))

    return change

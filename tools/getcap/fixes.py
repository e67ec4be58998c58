"""Finds the changes after which a container's process has all that its program's file asks for.

A fix is found by trying: the changed plan is judged like any other.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from capabilities import FileCapabilities
from capabilities.names import NAMES
from packer.errors import InputError, escape, quote
from runtimes import Said, Settings

from .verdict import Plan, Verdict, bare

Change = tuple[str, Callable[[Plan], Plan]]


_MAX_PROGRAMS = 3
"""Programs of a chain that may lack something one after the other."""


def find(plan: Plan, verdict: Verdict, programs: int = _MAX_PROGRAMS) -> tuple[str, ...]:
    """Returns the fewest changes that give all that is wanted, a sentence each; () if none is known."""
    changes = list(_changes(plan, verdict))
    for count in range(1, len(changes) + 1):
        for chosen in itertools.combinations(changes, count):
            changed = plan
            for _, change in chosen:
                changed = change(changed)
            try:
                judged = bare(changed)
            except InputError:
                continue
            if judged.hop.path == verdict.hop.path:
                # Of the same program the same is wanted, whatever the change grants by name.
                judged = replace(judged, wanted=verdict.wanted)
            if judged.known and judged.good:
                return tuple(text for text, _ in chosen)
    if verdict.chain.needs & ~verdict.before.bounding and programs:
        # What the next programs need shows once this one does not fail.
        text, change = changes[0]
        changed = change(plan)
        more = find(changed, bare(changed), programs - 1)
        return (text, *more) if more else ()
    return ()


def _changes(plan: Plan, verdict: Verdict) -> Iterator[Change]:
    """Yields what one could change, the likelier first."""
    wanted = verdict.wanted
    settings = plan.settings
    kubernetes, compose = settings.form == "kubernetes", settings.form == "compose"
    missing = (wanted | verdict.chain.needs) & ~verdict.before.bounding or wanted & ~verdict.before.permitted
    names = [NAMES[bit] for bit in range(len(NAMES)) if missing >> bit & 1]
    short = [name.removeprefix("cap_").upper() for name in names]
    if (wanted | verdict.chain.needs) & ~verdict.before.bounding:
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
    last = verdict.hop
    known = last.file.capabilities or FileCapabilities(0, 0, 0)
    if last.file.path and (wanted & ~known.permitted or known.rootid):
        sets = known.permitted | wanted, known.inheritable
        granted = FileCapabilities(*sets, sets[0] | sets[1] if known.effective else 0)
        of_script = f", not {escape(last.script)}: a script cannot have any" if last.script and not last.loaded else ""
        text = f'give {escape(last.path)} the capabilities{of_script}: file_capabilities = {{{quote(last.path)}: "{granted.to_text()}"}}'
        yield text, _assign(last.path, granted)
    earlier = {hop.path: hop for hop in verdict.chain.hops[:-1] if hop.file.path and hop.path != last.path}
    for path, hop in earlier.items():
        mine = hop.file.capabilities or FileCapabilities(0, 0, 0)
        if wanted & ~mine.permitted:
            more = FileCapabilities(mine.permitted | wanted, mine.inheritable, 0)
            text = f'give {escape(path)}, which runs before, the same: file_capabilities = {{{quote(path)}: "{more.to_text()}"}}'
            yield text, _assign(path, more)
    if settings.init and settings.init.value:
        text = f"leave out {settings.init.where}: the runtime's init has no file capabilities"
        yield text, lambda old: replace(old, settings=replace(old.settings, init=None))
    if last.mount and last.mount.value.nosuid:
        mount = last.mount
        text = f"keep {escape(last.path)} out of the nosuid mount of {mount.where}"
        yield text, lambda old: replace(old, settings=_without_mount(old.settings, mount))


def _grant(settings: Settings, names: Sequence[str]) -> Settings:
    kept = tuple(one for one in settings.dropped if one.value not in names)
    return replace(settings, added=(*settings.added, *(Said(name, "the fix") for name in names)), dropped=kept)


def _without_mount(settings: Settings, mount: object) -> Settings:
    return replace(settings, mounts=tuple(each for each in settings.mounts if each is not mount))


def _assign(path: str, capabilities: FileCapabilities) -> Callable[[Plan], Plan]:
    """Returns a change that gives a file of the image other capabilities."""

    def change(plan: Plan) -> Plan:
        return replace(plan, image=replace(plan.image, capabilities={**plan.image.capabilities, path: capabilities}))

    return change

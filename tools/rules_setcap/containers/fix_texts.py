"""Puts the difference between two plans into words: a fix."""

from __future__ import annotations

from rules_setcap.capabilities import FileCapabilities
from rules_setcap.containers.settings import Setting, Settings
from rules_setcap.containers.verdict import Plan, Verdict
from rules_setcap.diagnostics.errors import escape, quote

_NONE = FileCapabilities(0, 0, 0)


def describe(old: Plan, new: Plan, verdict: Verdict) -> tuple[str, ...]:
    """Returns what to do so that one plan becomes another, a sentence for each change.

    Args:
      old: the plan.
      new: the plan with changes that fixes.py makes.
      verdict: the verdict on `old`.
    """
    before, after = old.settings, new.settings
    kubernetes = before.form == "kubernetes"
    made = []
    if before.user != after.user and after.user:
        uid = after.user.value.partition(":")[0]
        name = str((old.image.config.get("config") or {}).get("User") or "").partition(":")[0]
        of_image = before.user is None and str((old.image.users or {}).get(name)) == uid
        made.append(f"set runAsUser: {uid}" if of_image else f"set runAsUser to a uid that is not 0, such as {uid}")
    made += _capabilities(before, after)
    if before.no_new_privs and not after.no_new_privs:
        made.append("set allowPrivilegeEscalation: true" if kubernetes else f"leave out no-new-privileges ({before.no_new_privs.where})")
    if before.init and not after.init:
        made.append(f"leave out {before.init.where}: the runtime's init has no file capabilities")
    for mount in before.mounts:
        if mount not in after.mounts:
            made.append(f"keep {escape(verdict.hop.path)} out of the nosuid mount of {mount.where}")
    for path, capabilities in new.image.capabilities.items():
        if old.image.capabilities.get(path) != capabilities:
            made.append(_file(old, path, capabilities, verdict))
    return tuple(made)


def _capabilities(before: Settings, after: Settings) -> list[str]:
    kept = after.dropped
    removed = _names(tuple(one for one in before.dropped if one not in kept))
    added = _names(after.added[len(before.added) :])
    made = []
    if removed:
        made.append(
            {
                "kubernetes": f"take {', '.join(removed)} out of securityContext.capabilities.drop",
                "compose": f"take {', '.join(removed)} out of the service's cap_drop",
                "flags": "remove " + " ".join(f"--cap-drop={name}" for name in removed),
            }[before.form]
        )
    if added:
        made.append(
            {
                "kubernetes": f"add to securityContext.capabilities: add: [{', '.join(added)}]",
                "compose": f"add to the service: cap_add: [{', '.join(added)}]",
                "flags": "add " + " ".join(f"--cap-add={name}" for name in added),
            }[before.form]
        )
    return made


def _names(said: tuple[Setting[str], ...]) -> list[str]:
    return list(dict.fromkeys(one.value.removeprefix("cap_").upper() for one in said))


def _file(old: Plan, path: str, given: FileCapabilities, verdict: Verdict) -> str:
    own = old.image.capabilities.get(path) or _NONE
    last = verdict.hop
    assigned = f'file_capabilities = {{{quote(path)}: "{given.to_text()}"}}'
    if own.permitted & ~given.permitted or own.inheritable & ~given.inheritable:
        asked = (own.permitted | own.inheritable).bit_count()
        return f"let {escape(path)} ask for fewer: of the {asked} capabilities that it asks for, these are granted: {assigned}"
    if path != last.path:
        return f"give {escape(path)}, which runs before, the same: {assigned}"
    of_script = f", not {escape(last.script)}: a script cannot have any" if last.script and not last.loaded else ""
    text = f"give {escape(path)} the capabilities{of_script}: {assigned}"
    if given.effective and not own.permitted | own.inheritable:
        text += "; effective, because the program is not known to raise them itself (if it does, =p is enough)"
    return text

"""Puts the difference between two plans into words, as the text of a fix."""

from __future__ import annotations

from rules_setcap.capabilities import FileCapabilities
from rules_setcap.containers.settings import Setting, Settings
from rules_setcap.containers.verdict import Plan, Verdict
from rules_setcap.diagnostics.errors import escape, quote

_NO_CAPABILITIES = FileCapabilities(0, 0, 0)


def describe_changes(old: Plan, new: Plan, verdict: Verdict) -> tuple[str, ...]:
    """Returns a sentence for each change that turns one plan into another.

    Args:
      old: the plan.
      new: the plan with changes of fixes.py.
      verdict: the verdict on `old`.
    """
    before, after = old.settings, new.settings
    kubernetes = before.form == "kubernetes"
    sentences = []
    if before.user != after.user and after.user:
        uid = after.user.value.partition(":")[0]
        name = str((old.image.config.get("config") or {}).get("User") or "").partition(":")[0]
        is_user_of_image = before.user is None and str((old.image.users or {}).get(name)) == uid
        sentences.append(f"set runAsUser: {uid}" if is_user_of_image else f"set runAsUser to a uid that is not 0, such as {uid}")
    sentences += _describe_grants(before, after)
    if before.no_new_privs and not after.no_new_privs:
        sentences.append(
            "set allowPrivilegeEscalation: true" if kubernetes else f"leave out no-new-privileges ({before.no_new_privs.where})"
        )
    if before.init and not after.init:
        sentences.append(f"leave out {before.init.where}: the runtime's init has no file capabilities")
    for mount in before.mounts:
        if mount not in after.mounts:
            sentences.append(f"keep {escape(verdict.hop.path)} out of the nosuid mount of {mount.where}")
    for path, capabilities in new.image.capabilities.items():
        if old.image.capabilities.get(path) != capabilities:
            sentences.append(_describe_assignment(old, path, capabilities, verdict))
    return tuple(sentences)


def _describe_grants(before: Settings, after: Settings) -> list[str]:
    """Returns a sentence for the capabilities that are not dropped any more, and one for those that are added."""
    removed = _list_names(tuple(dropped for dropped in before.dropped if dropped not in after.dropped))
    added = _list_names(after.added[len(before.added) :])
    sentences = []
    if removed:
        sentences.append(
            {
                "kubernetes": f"take {', '.join(removed)} out of securityContext.capabilities.drop",
                "compose": f"take {', '.join(removed)} out of the service's cap_drop",
                "flags": "remove " + " ".join(f"--cap-drop={name}" for name in removed),
            }[before.form]
        )
    if added:
        sentences.append(
            {
                "kubernetes": f"add to securityContext.capabilities: add: [{', '.join(added)}]",
                "compose": f"add to the service: cap_add: [{', '.join(added)}]",
                "flags": "add " + " ".join(f"--cap-add={name}" for name in added),
            }[before.form]
        )
    return sentences


def _list_names(settings: tuple[Setting[str], ...]) -> list[str]:
    """Returns the names of capabilities as flags and manifests spell them, each once."""
    return list(dict.fromkeys(setting.value.removeprefix("cap_").upper() for setting in settings))


def _describe_assignment(old: Plan, path: str, capabilities: FileCapabilities, verdict: Verdict) -> str:
    """Returns the sentence about a file of the image to which other capabilities are assigned.

    Args:
      old: the plan before the change.
      path: the path of the file.
      capabilities: the new capabilities.
      verdict: the verdict on `old`.
    """
    present = old.image.capabilities.get(path) or _NO_CAPABILITIES
    last = verdict.hop
    assigned = f'file_capabilities = {{{quote(path)}: "{capabilities.to_text()}"}}'
    if present.permitted & ~capabilities.permitted or present.inheritable & ~capabilities.inheritable:
        asked = (present.permitted | present.inheritable).bit_count()
        return f"assign fewer capabilities to {escape(path)}: of the {asked} that it asks for, these are granted: {assigned}"
    if path != last.path:
        return f"assign the same capabilities to {escape(path)}, which runs before: {assigned}"
    not_script = (
        f", not to {escape(last.script)}, because those of a script do not count" if last.script and not last.loaded else ""
    )
    text = f"assign the capabilities to {escape(path)}{not_script}: {assigned}"
    if capabilities.effective and not present.permitted | present.inheritable:
        text += "; effective, because the program is not known to raise them itself (if it does, =p is enough)"
    return text

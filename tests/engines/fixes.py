"""Applies the fixes that `getcap explain` prints to the container that it explained."""

from __future__ import annotations

import copy
import pathlib
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import samples

from rules_setcap.capabilities import from_text


@dataclass(frozen=True)
class RunCase:
    """A container that an engine runs.

    Attributes:
      image: the OCI layout of the image.
      line: the docker or podman command line; "" for a pod.
      pod: the pod, whose only container this is; None for a command line.
    """

    image: pathlib.Path
    line: str = ""
    pod: dict[str, Any] | None = None


def apply_fixes(case: RunCase, fixes: Sequence[str], directory: pathlib.Path) -> RunCase | str:
    """Returns the case with all fixes applied, or the text of a fix that cannot be applied here.

    Args:
      case: the case that was explained.
      fixes: the texts of the fixes.
      directory: where a changed image is made.
    """
    for number, fix in enumerate(fixes):
        changed = _apply_fix(case, fix, directory.with_name(f"{directory.name}-{number}"))
        if changed is None:
            return fix
        case = changed
    return case


def _apply_fix(case: RunCase, fix: str, directory: pathlib.Path) -> RunCase | None:
    """Returns the case with one fix applied; None if it cannot be applied here."""
    if match := re.search(r'file_capabilities = \{"(.*?)": "(.*?)"\}', fix):
        return replace(case, image=samples.copy_with_capabilities(case.image, match[1], from_text(match[2]), directory))
    if case.pod is None:
        line = _apply_to_words(shlex.split(case.line), fix)
        return replace(case, line=shlex.join(line)) if line else None
    pod = copy.deepcopy(case.pod)
    (container,) = pod["spec"]["containers"]
    context = container.setdefault("securityContext", {})
    capabilities = context.setdefault("capabilities", {})
    if match := re.fullmatch(r"add to securityContext\.capabilities: add: \[(.*)\]", fix):
        capabilities["add"] = [*capabilities.get("add", ()), *match[1].split(", ")]
    elif match := re.fullmatch(r"take (.*) out of securityContext\.capabilities\.drop", fix):
        capabilities["drop"] = [name for name in capabilities.get("drop", ()) if name not in match[1].split(", ")]
    elif fix == "set allowPrivilegeEscalation: true":
        context["allowPrivilegeEscalation"] = True
    elif match := re.fullmatch(r"set runAsUser(: | to a uid that is not 0, such as )(\d+)", fix):
        context["runAsUser"] = int(match[2])
    else:
        return None
    return replace(case, pod=pod)


def _apply_to_words(words: list[str], fix: str) -> list[str] | None:
    """Returns the words of a command line with a fix applied; None if it cannot be applied here."""
    if re.fullmatch(r"add (--cap-add=\w+ ?)+", fix):
        return [*words[:2], *fix.split()[1:], *words[2:]]
    if re.fullmatch(r"remove (--cap-drop=\w+ ?)+", fix):
        names = {flag.removeprefix("--cap-drop=") for flag in fix.split()[1:]}
        return _remove_drops(words, names)
    if fix.startswith("leave out no-new-privileges"):
        return [word for word in words if not word.startswith("--security-opt=no-new-privileges")]
    if re.match(r"leave out (docker|podman) run --init", fix):
        return [word for word in words if word != "--init"]
    return None


def _remove_drops(words: list[str], names: set[str]) -> list[str]:
    """Returns the words without the --cap-drop of some capabilities, in all spellings."""
    kept: list[str] = []
    for word in words:
        flag, _, name = word.rpartition("=")
        if kept[-1:] == ["--cap-drop"]:
            flag, name = kept[-1], word
        if flag != "--cap-drop" or name.upper().removeprefix("CAP_") not in names:
            kept.append(word)
        elif kept[-1:] == ["--cap-drop"]:
            kept.pop()
    return kept

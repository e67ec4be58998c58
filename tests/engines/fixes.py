"""Applies the fixes that `getcap explain` prints to what was explained."""

from __future__ import annotations

import copy
import pathlib
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import samples
from capabilities import from_text


@dataclass(frozen=True)
class Case:
    """A container that an engine runs.

    Attributes:
      image: its image's OCI layout.
      line: its docker or podman command line; "" for a pod.
      pod: the pod, which has this container alone; None for a command line.
    """

    image: pathlib.Path
    line: str = ""
    pod: dict[str, Any] | None = None


def apply(case: Case, fixes: Sequence[str], directory: pathlib.Path) -> Case | str:
    """Returns the case with all fixes applied, or the fix whose text is not known here.

    Args:
      case: what was explained.
      fixes: the texts that were printed.
      directory: where a changed image is made.
    """
    for number, fix in enumerate(fixes):
        changed = _apply(case, fix, directory.with_name(f"{directory.name}-{number}"))
        if changed is None:
            return fix
        case = changed
    return case


def _apply(case: Case, fix: str, directory: pathlib.Path) -> Case | None:
    if match := re.search(r'file_capabilities = \{"(.*?)": "(.*?)"\}$', fix):
        return replace(case, image=samples.with_capabilities(case.image, match[1], from_text(match[2]), directory))
    if case.pod is None:
        line = _line(shlex.split(case.line), fix)
        return replace(case, line=shlex.join(line)) if line else None
    pod = copy.deepcopy(case.pod)
    (container,) = pod["spec"]["containers"]
    context = container.setdefault("securityContext", {})
    if match := re.fullmatch(r"add to securityContext\.capabilities: add: \[(.*)\](, and take them out of drop)?", fix):
        names = match[1].split(", ")
        known = context.setdefault("capabilities", {})
        known["add"] = [*known.get("add", ()), *names]
        if match[2]:
            known["drop"] = [name for name in known.get("drop", ()) if name not in names]
    elif fix == "set allowPrivilegeEscalation: true":
        context["allowPrivilegeEscalation"] = True
    elif fix == "set runAsUser to a uid that is not 0":
        context["runAsUser"] = 1000
    else:
        return None
    return replace(case, pod=pod)


def _line(words: list[str], fix: str) -> list[str] | None:
    if re.fullmatch(r"add (--cap-add=\w+ ?)+", fix):
        return [*words[:2], *fix.split()[1:], *words[2:]]
    if fix.startswith("leave out no-new-privileges"):
        return [word for word in words if not word.startswith("--security-opt=no-new-privileges")]
    if re.match(r"leave out (docker|podman) run --init", fix):
        return [word for word in words if word != "--init"]
    return None

"""Judges containers: computes a verdict, and adds the reasons, the fixes and the notes."""

from __future__ import annotations

from dataclasses import replace

from rules_setcap.containers.fixes import find_fixes
from rules_setcap.containers.reasons import list_notes, list_reasons
from rules_setcap.containers.unneeded import list_unneeded_capabilities
from rules_setcap.containers.verdict import Plan, Verdict, compute_verdict


def judge_plan(plan: Plan) -> Verdict:
    """Returns the verdict on a container, with reasons, fixes and notes.

    Args:
      plan: the container.

    Raises:
      InputError: the engine would refuse to start the container, or its user or program is not known.
    """
    verdict = compute_verdict(plan)
    is_known = not verdict.chain.unknown_reason
    verdict = replace(verdict, unneeded=tuple(list_unneeded_capabilities(plan, verdict)) if is_known else ())
    fixes = find_fixes(plan, verdict) if is_known and not verdict.is_good else ()
    return replace(verdict, reasons=tuple(list_reasons(plan, verdict)), fixes=fixes, notes=tuple(list_notes(plan, verdict)))

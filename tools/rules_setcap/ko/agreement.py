"""Capabilities that ko and we take for the same; one file then serves both."""

from __future__ import annotations

from typing import Sequence

from rules_setcap import capabilities
from rules_setcap.capabilities import CapabilityError, FileCapabilities
from rules_setcap.ko.config import Capabilities
from rules_setcap.ko.errors import quote
from rules_setcap.ko.meaning import Refused, meaning, terms


def disagreements(wanted: Capabilities) -> list[str]:
    """Why ko and we do not make the same of it: what each does, and what to write for both.

    Returns:
      Sentences; none if we agree.
    """
    said = f"{wanted.where}: {quote(wanted.written)}"
    theirs, refusal = _theirs(wanted.terms)
    try:
        ours = capabilities.from_list(wanted.items)
    except CapabilityError as error:
        hint = "" if refusal else f"; ko makes {_text(theirs)} of it: write {_agreed(theirs)} if that is meant"
        return [f"{wanted.where}: {problem}{hint}" for problem in error.problems]
    if refusal:
        return [f"{said}: ko refuses it, {refusal}; write {_agreed(ours)}"]
    if ours != theirs:
        return [f"{said}: {_text(ours)} to us, and {_text(theirs)} to ko; write {_agreed(ours)} or {_agreed(theirs)}"]
    return []


def _theirs(of: Sequence[str]) -> tuple[FileCapabilities | None, str]:
    """ko's reading, or why it has none."""
    try:
        return meaning(of), ""
    except Refused as error:
        return None, str(error)


def _text(value: FileCapabilities | None) -> str:
    return "no capabilities" if value is None else quote(value.to_text())


def _agreed(value: FileCapabilities | None) -> str:
    """What to write so that both read `value`."""
    if value is None:
        return "[]"
    text = value.to_text()
    if _theirs(terms(text)) != (value, ""):  # A record of nothing, which ko never writes.
        return f"linux_capabilities = [{quote(text)}] into the BUILD file"
    return quote(text)

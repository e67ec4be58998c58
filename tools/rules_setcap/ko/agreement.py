"""Checks that ko and these rules read capabilities as the same, so that one file can serve both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_setcap import capabilities
from rules_setcap.capabilities import CapabilityError, FileCapabilities
from rules_setcap.diagnostics.errors import InputError, quote
from rules_setcap.ko.ko_text import RefusedError, parse_as_ko, split_terms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rules_setcap.ko.config import BuildCapabilities


def check_agreement(requested: BuildCapabilities) -> None:
    """Checks that ko and these rules read the capabilities of a build as the same.

    Args:
      requested: the capabilities.

    Raises:
      InputError: they do not. The problems say what each reads, and which text means the same to both.
    """
    where = f"{requested.where}: {quote(requested.value)}"
    theirs, refusal = _parse_as_ko(requested.terms)
    try:
        ours = capabilities.from_list(requested.words)
    except CapabilityError as error:
        hint = "" if refusal else f"; ko reads it as {_describe(theirs)}: write {_write_for_both(theirs)} if that is meant"
        raise InputError([f"{requested.where}: {problem}{hint}" for problem in error.problems]) from None
    if refusal:
        raise InputError([f"{where}: ko refuses it, because {refusal}; write {_write_for_both(ours)}"])
    if ours != theirs:
        readings = f"these rules read it as {_describe(ours)}, and ko as {_describe(theirs)}"
        raise InputError([f"{where}: {readings}; write {_write_for_both(ours)} or {_write_for_both(theirs)}"])


def _parse_as_ko(terms: Sequence[str]) -> tuple[FileCapabilities | None, str]:
    """Returns the capabilities as ko reads them, and why ko refuses them; "" if it does not."""
    try:
        return parse_as_ko(terms), ""
    except RefusedError as error:
        return None, str(error)


def _describe(value: FileCapabilities | None) -> str:
    return "no capabilities" if value is None else quote(value.to_text())


def _write_for_both(value: FileCapabilities | None) -> str:
    """Returns the text that ko and these rules read as `value`."""
    if value is None:
        return "[]"
    text = value.to_text()
    if _parse_as_ko(split_terms(text)) != (value, ""):  # An empty set. ko never writes one.
        return f"linux_capabilities = [{quote(text)}] into the BUILD file"
    return quote(text)

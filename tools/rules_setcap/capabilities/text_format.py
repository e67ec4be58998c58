"""Writes capability sets as cap_to_text(3) does."""

from __future__ import annotations

from rules_setcap.capabilities.names import NAMES

# The state of one capability: in which sets it is. The bits are those of libcap's cap_text.c, which orders states by them.
_EFFECTIVE, _PERMITTED, _INHERITABLE = 1, 2, 4


def format_sets(permitted: int, inheritable: int, effective: int) -> str:
    """Returns the text that cap_to_text(3) writes on a kernel that knows capabilities 0 to 40.

    The text begins with the state that most capabilities have ("=p"), and then lists those in another state. It leaves out
    an empty common state if others follow ("cap_chown=p").

    Args:
      permitted: bit n is set if capability n is in the set.
      inheritable: likewise.
      effective: likewise.
    """
    states = [
        (effective >> number & 1) * _EFFECTIVE
        | (permitted >> number & 1) * _PERMITTED
        | (inheritable >> number & 1) * _INHERITABLE
        for number in range(64)
    ]
    named, unnamed = states[: len(NAMES)], states[len(NAMES) :]
    common = 7
    for state in range(6, -1, -1):  # Of states that are equally frequent, the lowest.
        if named.count(state) >= named.count(common):
            common = state

    text = "=" + _format_flags(common)
    for state in range(7, -1, -1):
        members = [name for name, its_state in zip(NAMES, named, strict=False) if its_state == state]
        if state == common or not members:
            continue
        plus, minus = _format_flags(state & ~common), _format_flags(common & ~state)
        if text == "=":
            text = ",".join(members) + "=" + plus
        else:
            text += " " + ",".join(members) + ("+" + plus if plus else "") + ("-" + minus if minus else "")
    for state in range(7, 0, -1):
        numbers = [str(number) for number, its_state in enumerate(unnamed, len(NAMES)) if its_state == state]
        if numbers:
            text += " " + ",".join(numbers) + "+" + _format_flags(state)
    return text


def _format_flags(state: int) -> str:
    return ("e" if state & _EFFECTIVE else "") + ("i" if state & _INHERITABLE else "") + ("p" if state & _PERMITTED else "")

"""Checks the names of signals: those that container engines know for Linux (github.com/moby/sys/signal)."""

from __future__ import annotations

import re

from rules_setcap.diagnostics.errors import quote
from rules_setcap.diagnostics.suggestions import find_closest

_NAMES = (
    frozenset(
        (
            "ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM TRAP "
            "TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX"
        ).split()
    )
    | {f"RTMIN+{number}" for number in range(1, 16)}
    | {f"RTMAX-{number}" for number in range(1, 15)}
)
_LAST = 64  # SIGRTMAX.


def find_signal_fault(text: str) -> str:
    """Returns what is wrong with the name or the number of a signal, as a sentence; "" if there is such a signal."""
    if text.isascii() and text.isdecimal():
        return "" if 1 <= int(text[:9]) <= _LAST and text[0] != "0" else f"signal {text} is out of range (1 to {_LAST})"
    if text.startswith("SIG") and text[3:] in _NAMES:
        return ""
    if re.fullmatch(r"SIGRTM(IN\+|AX-)[0-9]+", text, re.ASCII):
        return "is out of range (SIGRTMIN+1 to SIGRTMIN+15, SIGRTMAX-1 to SIGRTMAX-14)"
    name = re.sub("^SIG", "", text.upper())
    closest = name if name in _NAMES else find_closest(name, sorted(_NAMES))
    hint = f"did you mean {quote('SIG' + closest)}?" if closest else 'write it as "SIGTERM" or "15"'
    return f"not a known signal; {hint}"

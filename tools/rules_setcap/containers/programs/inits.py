"""Init processes: they start a child, reap processes and forward signals. None changes credentials."""

from __future__ import annotations

import re

from rules_setcap.containers.programs import options
from rules_setcap.containers.programs.model import Call, Execution, NotFollowed, ProgramFails, parse_decimal

_SIGNAL = re.compile("SIG[A-Z0-9]+")


def follow_tini(call: Call) -> Execution | None:
    """tini, tini-static and Docker's docker-init: https://github.com/krallin/tini, src/tini.c, parse_args.

    Without "--", glibc's getopt(3) finds tini's options among the program's arguments too; musl's does not.
    """
    if call.argv[1:] == ["--version"]:
        return None
    if call.loader and "musl" in call.loader:
        return _tini(call, permute=False)
    if call.loader:
        return _tini(call, permute=True)
    try:
        permuted = _tini(call, permute=True)
    except ProgramFails:
        permuted = None
    plain = _tini(call, permute=False)
    if permuted and plain and list(permuted.argv) != list(plain.argv) or bool(permuted) != bool(plain):
        raise NotFollowed('may take arguments of the program for its own; write "--" before the program')
    return plain


def _tini(call: Call, permute: bool) -> Execution | None:
    # A program's arguments that are not known matter only where they may be taken for options.
    found, rest = options.parse_options(call.argv[1:], "hvwgle:p:s", permute=permute)
    if any(name == "h" for name, _ in found):
        return None
    for name, value in found:
        number = parse_decimal(value)
        if name == "e" and (number is None or number > 255) or name == "p" and not _SIGNAL.fullmatch(value):
            raise ProgramFails(f'not a valid value of -{name}: "{value}"')
    return call.execute(rest)


def follow_dumb_init(call: Call) -> Execution | None:
    """https://github.com/Yelp/dumb-init, dumb-init.c, parse_command."""
    found, rest = options.parse_options(
        call.argv[1:], "hvVcr:", {"help": 0, "single-child": 0, "rewrite": 1, "verbose": 0, "version": 0}
    )
    if any(name in ("h", "help", "V", "version") for name, _ in found):
        return None
    if not rest:
        raise ProgramFails("no program is given")
    return call.execute(rest)


def follow_catatonit(call: Call) -> Execution | None:
    """podman's init: https://github.com/openSUSE/catatonit, catatonit.c, main. Without "--" it reads the program's options too."""
    found, rest = options.parse_options(call.argv[1:], "ghLPV", {"help": 0, "license": 0, "version": 0}, permute=True)
    if any(name != "g" for name, _ in found):
        return None
    return call.execute(rest)

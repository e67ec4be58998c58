"""Init processes, which start a child, reap processes and forward signals. They do not change credentials.

The models agree with tini 0.19.0, dumb-init 1.2.5 and catatonit 0.2.1 (tests/getcap/programs_test.py).
"""

from __future__ import annotations

import re

from rules_setcap.containers.program_model import Call, Execution, NotFollowed, ProgramFails, parse_decimal
from rules_setcap.containers.programs import options

_SIGNAL = re.compile("SIG[A-Z0-9]+")


def follow_tini(call: Call) -> Execution | None:
    """Follows tini, tini-static and Docker's docker-init: https://github.com/krallin/tini, src/tini.c, parse_args.

    Without "--", glibc's getopt(3) finds tini's options among the program's arguments too, and musl's does not. A static
    program does not tell its C library.
    """
    if call.argv[1:] == ["--version"]:
        return None
    if call.loader and "musl" in call.loader:
        return _follow_tini(call, permute=False)
    if call.loader:
        return _follow_tini(call, permute=True)
    try:
        with_glibc = _follow_tini(call, permute=True)
    except ProgramFails:
        with_glibc = None
    with_musl = _follow_tini(call, permute=False)
    if (with_glibc and with_musl and list(with_glibc.argv) != list(with_musl.argv)) or bool(with_glibc) != bool(with_musl):
        raise NotFollowed('may take arguments of the program for its own; write "--" before the program')
    return with_musl


def _follow_tini(call: Call, permute: bool) -> Execution | None:
    """Follows tini with a getopt(3) that reads options after other arguments, or does not."""
    parsed, rest = options.parse_options(call.argv[1:], "hvwgle:p:s", permute=permute)
    if any(name == "h" for name, _ in parsed):
        return None
    for name, value in parsed:
        number = parse_decimal(value)
        if (name == "e" and (number is None or number > 255)) or (name == "p" and not _SIGNAL.fullmatch(value)):
            raise ProgramFails(f'not a valid value of -{name}: "{value}"')
    return call.execute(rest)


def follow_dumb_init(call: Call) -> Execution | None:
    """Follows dumb-init: https://github.com/Yelp/dumb-init, dumb-init.c, parse_command."""
    parsed, rest = options.parse_options(
        call.argv[1:], "hvVcr:", {"help": 0, "single-child": 0, "rewrite": 1, "verbose": 0, "version": 0}
    )
    if any(name in ("h", "help", "V", "version") for name, _ in parsed):
        return None
    if not rest:
        raise ProgramFails("no program is given")
    return call.execute(rest)


def follow_catatonit(call: Call) -> Execution | None:
    """Follows catatonit, podman's init: https://github.com/openSUSE/catatonit, catatonit.c, main.

    Without "--" it reads the program's options too.
    """
    parsed, rest = options.parse_options(call.argv[1:], "ghLPV", {"help": 0, "license": 0, "version": 0}, permute=True)
    if any(name != "g" for name, _ in parsed):
        return None
    return call.execute(rest)

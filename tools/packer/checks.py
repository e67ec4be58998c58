"""What a program with capabilities must be beyond what packing it asks for.

Each check has a name, by which a target turns it off.
"""

from __future__ import annotations

import difflib

from . import elf
from .errors import problem, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Sequence

ARCHITECTURE, FORMAT, RUNPATH, WRAPPER = "architecture", "format", "runpath", "wrapper"
NAMES = (ARCHITECTURE, FORMAT, RUNPATH, WRAPPER)
# GOARCH: e_machine, bits, little-endian (elf.h).
_MACHINES = {
    "386": (3, 32, True),
    "amd64": (62, 64, True),
    "arm": (40, 32, True),
    "arm64": (183, 64, True),
    "ppc64le": (21, 64, True),
    "riscv64": (243, 64, True),
    "s390x": (22, 64, False),
}


def check(binary: str, path: str, architecture: str, entrypoint: Sequence[str], others: Sequence[str], off: Sequence[str]) -> list[str]:
    """What is wrong with a program that has capabilities, a sentence each.

    Args:
      binary: path of the program.
      path: where it is in the image.
      architecture: of the image, as GOARCH.
      entrypoint: what the container runs.
      others: paths of other files of the image that have capabilities.
      off: names of checks that are turned off.

    Raises:
      OSError: it cannot be read.
    """
    said = []
    for name in off:
        if name not in NAMES:
            near = difflib.get_close_matches(name, NAMES, n=1)
            hint = f"did you mean {quote(near[0])}?" if near else "they are " + ", ".join(NAMES)
            said.append(problem("checks_off", name, f"no check of this name; {hint}"))
    found = {WRAPPER: _wrapper(path, entrypoint, others)}
    try:
        with open(binary, "rb") as file:
            program = elf.read(file)
        found = {ARCHITECTURE: _architecture(program, architecture), RUNPATH: _runpath(program), **found}
    except elf.NoElf:
        return said  # Whoever packs it says so.
    except elf.ElfError as error:
        found[FORMAT] = str(error)
    return said + [problem("binary", path, f'{what} (checks_off = ["{name}"] turns this off)') for name, what in found.items() if what and name not in off]


def _architecture(program: elf.Program, architecture: str) -> str:
    wanted = _MACHINES.get(architecture)
    have = (program.machine, program.bits, program.little)
    if wanted in (None, have):
        return ""
    name = next((name for name, each in _MACHINES.items() if each == have), f"machine {program.machine} of {program.bits} bits")
    return f"a program for {name} in an image for {architecture}; build both for one platform"


def _runpath(program: elf.Program) -> str:
    """ld.so(8), "Secure-execution mode": glibc then ignores $ORIGIN, and a relative path means the caller's directory."""
    if not program.interpreter:
        return ""
    name, paths = ("RUNPATH", program.runpath) if program.runpath else ("RPATH", program.rpath)
    parts = paths.split(":") if paths else []
    lost = [part for part in parts if "$ORIGIN" in part or "${ORIGIN}" in part or not part.startswith("/")]
    if not lost:
        return ""
    needed = ", ".join(program.needed) or "none"
    return (
        f"looks for its libraries ({needed}) in {name} {quote(':'.join(lost))}, which the loader ignores for a program with capabilities "
        '(secure-execution mode): it would not start for users other than root; link it statically (linkopts = ["-static"], '
        "linkstatic = True, or fully_static_link), or with an absolute RUNPATH"
    )


def _wrapper(path: str, entrypoint: Sequence[str], others: Sequence[str]) -> str:
    """capabilities(7): each execve takes what its own file permits; no_new_privs lets none be gained after the first."""
    if not entrypoint or entrypoint[0] == path or entrypoint[0] in others:
        return ""
    return (
        f"has capabilities, and the container starts {quote(entrypoint[0])}, which has none: where the runtime leaves capabilities to its "
        f"first program alone (allowPrivilegeEscalation: false), they end there; start {quote(path)} itself, or give "
        f"{quote(entrypoint[0])} the same by file_capabilities"
    )

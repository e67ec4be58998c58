"""What a program with capabilities must be beyond what packing it asks for.

Each check has a name, by which a target turns it off.
"""

from __future__ import annotations

import difflib
import posixpath
from collections import namedtuple

from . import elf
from .errors import problem, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Collection, Iterator, Sequence

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
# What the C library, and the compiler with it, put where the loader looks by itself.
_OF_THE_SYSTEM = frozenset(
    f"lib{name}" for name in "anl atomic c dl gcc_s m mvec pthread resolv rt stdc++ util".split()
)
_LOADERS = ("ld-linux", "ld64", "ld-musl-", "libc.musl-")
_TRUSTED = ("/lib/", "/lib64/", "/usr/lib/", "/usr/lib64/")

Program = namedtuple("Program", ("attribute", "path", "source", "off"))
"""A program that has capabilities. attribute: str, that names it; path: str, where it is in the image; source: str,
where it is now; off: names of checks that are not made."""


def unknown(off: Sequence[str]) -> list[str]:
    """A sentence for each name of no check."""
    said = []
    for name in off:
        if name not in NAMES:
            near = difflib.get_close_matches(name, NAMES, n=1)
            meant = f"; did you mean {quote(near[0])}?" if near else ";"
            said.append(problem("checks_off", name, f"no check of this name{meant} they are {', '.join(NAMES)}"))
    return said


def check(program: Program, architecture: str, started: Sequence[str], capable: Collection[str]) -> list[str]:
    """What is wrong with a program that has capabilities, a sentence each.

    Args:
      program: the program.
      architecture: of the image, as GOARCH; "" if that is not known.
      started: what the container runs, its arguments included; nothing if that is not known.
      capable: paths of all files of the image that have capabilities.

    Raises:
      OSError: it cannot be read.
    """
    found = [(WRAPPER, said) for said in _wrapper(program, started, capable)]
    try:
        with open(program.source, "rb") as file:
            read = elf.read(file)
        found = [(RUNPATH, said) for said in _runpath(read, program.path)] + found
        found = [(ARCHITECTURE, said) for said in _architecture(read, architecture)] + found
    except elf.NoElf:
        return []  # Whoever packs it says so.
    except elf.ElfError as error:
        found.append((FORMAT, str(error)))
    return [
        problem(program.attribute, program.path, f'{said} (checks_off = ["{name}"] turns this off)')
        for name, said in found
        if name not in program.off
    ]


def _architecture(program: elf.Program, architecture: str) -> Iterator[str]:
    wanted = _MACHINES.get(architecture)
    have = (program.machine, program.bits, program.little)
    if wanted in (None, have):
        return
    name = next((name for name, each in _MACHINES.items() if each == have), f"machine {program.machine} of {program.bits} bits")
    yield f"a program for {name} in an image for {architecture}; build both for one platform"


def _runpath(program: elf.Program, path: str) -> Iterator[str]:
    """ld.so(8), "Rpath token expansion" and "Secure-execution mode"; glibc, elf/dl-load.c, _dl_dst_substitute."""
    if not program.interpreter:
        return
    name, paths = ("RUNPATH", program.runpath) if program.runpath else ("RPATH", program.rpath)
    parts = paths.split(":") if paths else []
    lost = [part for part in parts if _is_lost(part, path)]
    own = [library for library in program.needed if library.partition(".so")[0] not in _OF_THE_SYSTEM and not library.startswith(_LOADERS)]
    if lost and own:
        yield (
            f"needs {', '.join(own)}, and looks in {name} {quote(':'.join(lost))}, which the loader ignores for a program with "
            "capabilities (secure-execution mode): unless the loader finds it elsewhere, the program does not start for users other than "
            'root; link it statically (linkstatic = True, or linkopts = ["-static"]), or with an absolute RUNPATH'
        )
    loose = [part for part in parts if not part.startswith(("/", "$"))]
    if loose and program.needed:
        yield (
            f"looks for its libraries ({', '.join(program.needed)}) in {name} {quote(paths)}, of which {quote(loose[0])} is a place "
            "below the working directory: who chooses that chooses code that runs with the program's capabilities; link it with an absolute RUNPATH"
        )


def _is_lost(part: str, path: str) -> bool:
    """Whether the loader ignores a part of a RUNPATH, since it has $ORIGIN and does not lead into a directory that it trusts."""
    plain = part.replace("${ORIGIN}", "$ORIGIN")
    if "$ORIGIN" not in plain:
        return False
    below = plain.removeprefix("$ORIGIN")
    if plain == below or below[:1] not in ("", "/") or "$" in below:
        return True
    return not (posixpath.normpath(posixpath.dirname(path) + below) + "/").startswith(_TRUSTED)


def _wrapper(program: Program, started: Sequence[str], capable: Collection[str]) -> Iterator[str]:
    """capabilities(7): each execve takes what its own file permits; no_new_privs lets none be gained after the first."""
    if not started or started[0] == program.path:
        return
    # Another file than the binary may well be for later, unless it is named.
    if program.attribute != "binary" and program.path not in started:
        return
    first = started[0]
    # A name alone is looked for on PATH.
    if first in capable or "/" not in first and any(path.endswith("/" + first) for path in capable):
        return
    yield (
        f"has capabilities, and the container starts {quote(first)}, which has none: where the runtime leaves capabilities to its "
        f"first program alone (allowPrivilegeEscalation: false), they end there; start {quote(program.path)} itself, or give "
        f"{quote(first)} the same by file_capabilities"
    )

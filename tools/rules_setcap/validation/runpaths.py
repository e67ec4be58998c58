"""Checks that a program with capabilities finds its libraries, and only those that it should.

execve(2) of a program with capabilities makes the loader enter secure-execution mode, in which it ignores a RUNPATH with
$ORIGIN unless that leads to a trusted directory. See ld.so(8), "Rpath token expansion" and "Secure-execution mode", and
_dl_dst_substitute in glibc's elf/dl-load.c.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from rules_setcap.diagnostics.errors import quote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from rules_setcap.oci.merged_contents import MergedContents

# Libraries of the C library and the compiler, which are where the loader looks by default.
_SYSTEM_LIBRARIES = frozenset(
    f"lib{name}" for name in ["anl", "atomic", "c", "dl", "gcc_s", "m", "mvec", "pthread", "resolv", "rt", "stdc++", "util"]
)
_LOADER_PREFIXES = ("ld-linux", "ld64", "ld-musl-", "libc.musl-")
_TRUSTED_DIRECTORIES = ("/lib/", "/lib64/", "/usr/lib/", "/usr/lib64/")
_DEFAULT_DIRECTORIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib")
_MULTIARCH_DIRECTORY = re.compile("(/usr)?/lib/[^/]+-linux-(gnu|musl)[^/]*")


def find_faults(headers: Mapping[str, Any], path: str, merged: MergedContents | None) -> Iterator[str]:
    """Yields what is wrong with the RUNPATH of a program that has capabilities.

    Args:
      headers: the ELF headers of the program, from elf.describe_program().
      path: the path of the program in the image.
      merged: the merged root filesystem; None if it is not known, or not complete.
    """
    if not headers["interpreter"]:
        return
    kind, runpath = ("RUNPATH", headers["runpath"]) if headers["runpath"] else ("RPATH", headers["rpath"])
    directories = runpath.split(":") if runpath else []
    ignored = [directory for directory in directories if _is_ignored(directory, path)]
    needed = [library for library in headers["needed"] if not library.startswith(_LOADER_PREFIXES)]
    if merged:
        missing = [library for library in needed if not _has_library(library, directories, merged)]
    else:
        missing = [library for library in needed if library.partition(".so")[0] not in _SYSTEM_LIBRARIES]
    if ignored and missing:
        condition = "" if merged else "unless the loader finds it elsewhere, "
        yield (
            f"needs {', '.join(missing)}, and looks in {kind} {quote(':'.join(ignored))}, which the loader ignores for a program with "
            f"capabilities (secure-execution mode): {condition}the program does not start for users other than root; link it statically "
            '(linkstatic = True, or linkopts = ["-static"]), or with an absolute RUNPATH'
        )
    relative = [directory for directory in directories if not directory.startswith(("/", "$"))]
    if relative and headers["needed"]:
        yield (
            f"looks for its libraries ({', '.join(headers['needed'])}) in {kind} {quote(runpath)}, of which {quote(relative[0])} is relative to "
            "the working directory: whoever chooses that directory chooses code that runs with the program's capabilities; link it with an "
            "absolute RUNPATH"
        )


def _has_library(library: str, runpath: Sequence[str], merged: MergedContents) -> bool:
    """Returns whether the loader finds a library in secure-execution mode."""
    directories = [*(directory for directory in runpath if directory.startswith("/")), *_DEFAULT_DIRECTORIES]
    directories += [directory for directory in merged.directories if _MULTIARCH_DIRECTORY.fullmatch(directory)]
    return any(merged.find_file(f"{directory}/{library}") for directory in directories)


def _is_ignored(directory: str, path: str) -> bool:
    """Returns whether the loader ignores a directory of a RUNPATH in secure-execution mode.

    It does so if the directory has $ORIGIN and does not lead into a trusted directory.

    Args:
      directory: the directory, as the RUNPATH has it.
      path: the path of the program.
    """
    text = directory.replace("${ORIGIN}", "$ORIGIN")
    if "$ORIGIN" not in text:
        return False
    below = text.removeprefix("$ORIGIN")
    # $LIB may stand for two directories, so the directory to which ".." after it leads is not known.
    if text == below or below[:1] not in ("", "/") or "/.." in below.partition("$")[2]:
        return True
    return not (posixpath.normpath(posixpath.dirname(path) + below) + "/").startswith(_TRUSTED_DIRECTORIES)

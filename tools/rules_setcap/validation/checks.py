"""Checks of the programs of an image: whether they can start, and keep their capabilities.

A check works on the merged root filesystem of the image and on the ELF headers that the
layers' metadata holds. Each has a name, by which a target turns it off.
"""

from __future__ import annotations

import difflib
import posixpath
import re
from collections import namedtuple

from rules_setcap import capabilities
from rules_setcap.diagnostics.errors import problem, quote
from rules_setcap.executables.formats import BUILD_FOR_LINUX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, Mapping, Sequence

    from rules_setcap.oci.merged import Merged

ARCHITECTURE, FORMAT, LOADER, PROGRAM, RUNPATH, WRAPPER = "architecture", "format", "loader", "program", "runpath", "wrapper"
NAMES = (ARCHITECTURE, FORMAT, LOADER, PROGRAM, RUNPATH, WRAPPER)
# GOOS by the names of executables.system().
_SYSTEMS = {"macOS": "darwin", "Windows": "windows"}
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
# Libraries that the C library and the compiler install where the loader looks by default.
_SYSTEM_LIBRARIES = frozenset(
    f"lib{name}" for name in "anl atomic c dl gcc_s m mvec pthread resolv rt stdc++ util".split()
)
_LOADERS = ("ld-linux", "ld64", "ld-musl-", "libc.musl-")
_TRUSTED = ("/lib/", "/lib64/", "/usr/lib/", "/usr/lib64/")
_DEFAULT_DIRECTORIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib")
_MULTIARCH = re.compile("(/usr)?/lib/[^/]+-linux-(gnu|musl)[^/]*")
# The PATH that container runtimes set where the image sets none.
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

Program = namedtuple("Program", ("attribute", "path", "headers", "capable", "off"))
"""A program to check. attribute: str, for messages; path: str, in the image; headers: dict, from elf.describe_program(), or None
of a file that is not an ELF program; capable: bool, whether it has capabilities; off: names of checks that are off."""


class Image:
    """The image that programs are checked in.

    Attributes:
      merged: its merged root filesystem.
      os: str, as GOOS.
      architecture: str, as GOARCH.
      argv: list of str, the entrypoint and its arguments.
      user: str, from the config.
    """

    def __init__(self, config: Mapping[str, Any], merged: Merged) -> None:
        execution = config.get("config") or {}
        self.merged = merged
        self.os = config.get("os", "")
        self.architecture = config.get("architecture", "")
        self.argv = [*(execution.get("Entrypoint") or ()), *(execution.get("Cmd") or ())]
        self.user = execution.get("User") or ""
        environment = dict(text.partition("=")[::2] for text in execution.get("Env") or ())
        self.path = environment.get("PATH") or _PATH
        self._directory = execution.get("WorkingDir") or "/"

    def find(self, name: str) -> str:
        """Returns the path of the file that a container runtime executes for a name; "" if there is none (execvpe(3))."""
        if "/" in name:
            return self.merged.file(posixpath.join(self._directory, name))
        for folder in self.path.split(":"):
            if path := self.merged.file(posixpath.join(self._directory, folder, name)):
                return path
        return ""


def unknown(off: Sequence[str]) -> list[str]:
    """Returns a message for each name that is not the name of a check."""
    messages = []
    for name in off:
        if name not in NAMES:
            near = difflib.get_close_matches(name, NAMES, n=1)
            hint = f"did you mean {quote(near[0])}? " if near else ""
            messages.append(problem("disabled_checks", name, f"unknown check; {hint}the checks are {', '.join(NAMES)}"))
    return messages


def check(program: Program, image: Image | None) -> list[str]:
    """Returns a message for each problem of a program.

    Args:
      program: the program.
      image: the image that it is in; None for a layer that is checked alone.
    """
    found: list[tuple[str, str]] = []
    headers = program.headers
    if headers and "error" in headers:
        found += [(FORMAT, f"invalid ELF file: {headers['error']}")] if program.capable else []
        headers = None
    if headers and "system" in headers:
        found += [(ARCHITECTURE, text) for text in _system(headers["system"], image.os if image else "")]
        headers = None
    if headers:
        found += [(ARCHITECTURE, text) for text in _architecture(headers, image.architecture if image else "")]
    loader = [(LOADER, text) for text in _loader(program.path, image)] if image and LOADER not in program.off else []
    found += loader
    if headers and program.capable and not loader:
        # Without the loader, the libraries come from elsewhere as well.
        complete = image if image and image.merged.file(headers["interpreter"]) else None
        found += [(RUNPATH, text) for text in _runpath(headers, program.path, complete)]
    return [_message(program.attribute, program.path, name, text) for name, text in found if name not in program.off]


def check_start(image: Image, attribute: str, off: Sequence[str]) -> list[str]:
    """Returns a message if the image has no program that its entrypoint can start.

    Args:
      image: the image.
      attribute: the attribute that names the program.
      off: names of checks that are off.
    """
    if image.os != "linux" or not image.argv or image.argv[0].startswith("-"):
        return []  # Arguments of an entrypoint that another image, or the command line, will set.
    name = image.argv[0]
    path = image.find(name)
    if not path:
        if PROGRAM in off:
            return []
        hint = "write each word as a list item of its own" if " " in name else "add a layer or a base that has it, or write the path that it has"
        if "/" not in name:
            what = f"no program of this name in {image.path}, the PATH of the image; write its absolute path, or set PATH in env"
        else:
            what = f"no such program in the image; {hint}"
        return [_message(attribute, name, PROGRAM, what)]
    if LOADER in off:
        return []
    return [_message(attribute, name, LOADER, text) for text in _loader(path, image)]


def remarks(programs: Sequence[Program], image: Image, off: Sequence[str]) -> list[str]:
    """Returns a remark for each program that loses its capabilities under no_new_privs, because another one starts first.

    capabilities(7): each execve(2) takes what its own file permits, and no_new_privs lets none be gained. Without
    no_new_privs the image works, so this is not a problem of the image.
    """
    if image.os != "linux" or not image.argv or image.user.partition(":")[0] in ("", "0", "root"):
        return []
    first = image.find(image.argv[0])
    if not first:
        return []
    texts = []
    arguments = {image.find(word) for word in image.argv[1:]}
    for program in programs:
        if not program.capable or program.path == first or WRAPPER in {*off, *program.off}:
            continue
        # A program that the command does not name may be for later, unless it is the binary.
        if program.attribute != "binary" and program.path not in arguments:
            continue
        if not _passes_on(first, program.path, image):
            texts.append(problem(program.attribute, program.path, _wrapper(first, program.path, image)))
    return texts


def _message(attribute: str, value: str, name: str, text: str) -> str:
    return problem(attribute, value, f'{text} (disabled_checks = ["{name}"] turns this off)')


def _system(name: str, os: str) -> Iterator[str]:
    if os and os != _SYSTEMS[name]:
        yield f"a program for {name} in an image for {os}; " + (BUILD_FOR_LINUX if os == "linux" else "build both for one platform")


def _architecture(headers: Mapping[str, Any], architecture: str) -> Iterator[str]:
    expected = _MACHINES.get(architecture)
    actual = (headers["machine"], headers["bits"], headers["little"])
    if expected in (None, actual):
        return
    name = next((name for name, each in _MACHINES.items() if each == actual), f"machine {headers['machine']} of {headers['bits']} bits")
    yield f"a program for {name} in an image for {architecture}; build both for one platform"


def _loader(path: str, image: Image) -> Iterator[str]:
    """Yields why execve(2) cannot start a file: its loader, or the interpreter of a script, is not in the image."""
    if image.os != "linux":
        return
    merged = image.merged
    if loader := merged.loaders.get(path):
        if not merged.file(loader):
            yield (
                f"is linked dynamically, and its loader {quote(loader)} is not in the image: it does not start (\"no such file or "
                'directory"); link it statically (linkopts = ["-static"] in cc_binary), or set base to an image that has the loader'
            )
        return
    words = merged.scripts.get(path, "").split(None, 1)
    if not words:
        return
    if not merged.file(words[0]):
        yield f"is a script, and its interpreter {quote(words[0])} is not in the image; set base to an image that has it"
    elif posixpath.basename(words[0]) == "env" and len(words) > 1:
        name = _env_program(words[1])
        if name and not image.find(name):
            yield (
                f"is a script, and its interpreter {quote(name)}, which {words[0]} looks for in {image.path}, is not in the image; set base "
                "to an image that has it, or PATH in env to its directory"
            )


def _env_program(text: str) -> str:
    """Returns the program that env(1) looks for, given the rest of a script's first line; "" if that is not known.

    The kernel passes that rest as one argument, which env splits only after -S.
    """
    if not text.startswith("-"):
        return "" if "=" in text else text
    if not text.startswith("-S"):
        return ""
    words = [word for word in text[2:].split() if "=" not in word]
    return words[0] if words and not words[0].startswith("-") else ""


def _runpath(headers: Mapping[str, Any], path: str, image: Image | None) -> Iterator[str]:
    """ld.so(8), "Rpath token expansion" and "Secure-execution mode"; glibc, elf/dl-load.c, _dl_dst_substitute."""
    if not headers["interpreter"]:
        return
    name, paths = ("RUNPATH", headers["runpath"]) if headers["runpath"] else ("RPATH", headers["rpath"])
    parts = paths.split(":") if paths else []
    ignored = [part for part in parts if _is_ignored(part, path)]
    needed = [library for library in headers["needed"] if not library.startswith(_LOADERS)]
    if image:
        missing = [library for library in needed if not _has_library(library, parts, image.merged)]
    else:
        missing = [library for library in needed if library.partition(".so")[0] not in _SYSTEM_LIBRARIES]
    if ignored and missing:
        elsewhere = "" if image else "unless the loader finds it elsewhere, "
        yield (
            f"needs {', '.join(missing)}, and looks in {name} {quote(':'.join(ignored))}, which the loader ignores for a program with "
            f"capabilities (secure-execution mode): {elsewhere}the program does not start for users other than root; link it statically "
            '(linkstatic = True, or linkopts = ["-static"]), or with an absolute RUNPATH'
        )
    relative = [part for part in parts if not part.startswith(("/", "$"))]
    if relative and headers["needed"]:
        yield (
            f"looks for its libraries ({', '.join(headers['needed'])}) in {name} {quote(paths)}, of which {quote(relative[0])} is relative to "
            "the working directory: whoever chooses that directory chooses code that runs with the program's capabilities; link it with an "
            "absolute RUNPATH"
        )


def _has_library(library: str, parts: Sequence[str], merged: Merged) -> bool:
    """Returns whether the loader finds a library in secure-execution mode."""
    folders = [*(part for part in parts if part.startswith("/")), *_DEFAULT_DIRECTORIES]
    folders += [folder for folder in merged.directories if _MULTIARCH.fullmatch(folder)]
    return any(merged.file(f"{folder}/{library}") for folder in folders)


def _is_ignored(part: str, path: str) -> bool:
    """Returns whether the loader ignores a part of a RUNPATH: it has $ORIGIN and does not lead into a trusted directory."""
    plain = part.replace("${ORIGIN}", "$ORIGIN")
    if "$ORIGIN" not in plain:
        return False
    below = plain.removeprefix("$ORIGIN")
    # $LIB may stand for two directories, so what ".." after it leads to is not known.
    if plain == below or below[:1] not in ("", "/") or "/.." in below.partition("$")[2]:
        return True
    return not (posixpath.normpath(posixpath.dirname(path) + below) + "/").startswith(_TRUSTED)


def _passes_on(first: str, path: str, image: Image) -> bool:
    """Returns whether the first program of a container keeps what a later one needs, under no_new_privs."""
    merged = image.merged
    if script := merged.scripts.get(first):
        first = merged.file(script.split(None, 1)[0])
    permitted = [capabilities.from_text(merged.capabilities.get(each, "=")).permitted for each in (first, path)]
    return not permitted[1] & ~permitted[0]


def _wrapper(first: str, path: str, image: Image) -> str:
    text = (
        f"the container starts {quote(first)}, which does not have these capabilities. That works, unless no_new_privs is set (Kubernetes "
        f"allowPrivilegeEscalation: false): {quote(path)} then gets none. For such pods, start {quote(path)} itself"
    )
    if script := image.merged.scripts.get(first):
        interpreter = quote(image.merged.file(script.split(None, 1)[0]))
        return text + f"; {quote(first)} is a script, which cannot have capabilities, and its interpreter {interpreter} would give them to every script"
    permitted = capabilities.FileCapabilities(capabilities.from_text(image.merged.capabilities[path]).permitted, 0, 0).to_text()
    return text + f", or give {quote(first)} {quote(permitted)} by file_capabilities"

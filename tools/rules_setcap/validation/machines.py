"""Checks that a program is for the operating system and the architecture of the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_setcap.executables.formats import BUILD_FOR_LINUX

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

# GOOS, by the names that formats.find_system() returns.
_SYSTEMS = {"macOS": "darwin", "Windows": "windows"}
# e_machine, bits and whether the byte order is little-endian (elf.h), by GOARCH.
_MACHINES = {
    "386": (3, 32, True),
    "amd64": (62, 64, True),
    "arm": (40, 32, True),
    "arm64": (183, 64, True),
    "ppc64le": (21, 64, True),
    "riscv64": (243, 64, True),
    "s390x": (22, 64, False),
}


def find_system_faults(system: str, os: str) -> Iterator[str]:
    """Yields why a program does not run on the operating system of the image.

    Args:
      system: the operating system of the program, as formats.find_system() returns it.
      os: that of the image, as GOOS has it; "" if it is not known.
    """
    if os and os != _SYSTEMS[system]:
        remedy = BUILD_FOR_LINUX if os == "linux" else "build both for one platform"
        yield f"a program for {system} in an image for {os}; {remedy}"


def find_architecture_faults(headers: Mapping[str, Any], architecture: str) -> Iterator[str]:
    """Yields why a program does not run on the architecture of the image.

    Args:
      headers: the ELF headers of the program, from elf.describe_program().
      architecture: that of the image, as GOARCH has it; "" if it is not known.
    """
    expected = _MACHINES.get(architecture)
    actual = (headers["machine"], headers["bits"], headers["little"])
    if expected in (None, actual):
        return
    unknown = f"machine {headers['machine']} of {headers['bits']} bits"
    name = next((name for name, machine in _MACHINES.items() if machine == actual), unknown)
    yield f"a program for {name} in an image for {architecture}; build both for one platform"

"""Checks of the programs of an image: whether they can start, and whether they get and keep their capabilities.

A check reads the merged root filesystem of the image, and the ELF headers in the metadata of the layers. Each check has a
name, with which a target turns it off.
"""

from __future__ import annotations

from collections import namedtuple
from typing import TYPE_CHECKING

from rules_setcap.diagnostics.errors import format_problem, quote
from rules_setcap.diagnostics.suggestions import suggest
from rules_setcap.validation import loaders, machines, runpaths, wrappers

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from rules_setcap.diagnostics.problems import Problems
    from rules_setcap.validation.checked_image import CheckedImage

ARCHITECTURE, FORMAT, LOADER, PROGRAM, RUNPATH, USER, WRAPPER = NAMES = (
    "architecture",
    "format",
    "loader",
    "program",
    "runpath",
    "user",
    "wrapper",
)
"""The names of the checks. The documentation of the attribute disabled_checks, in rules/private/checks.bzl, explains each."""
LAYER_CHECKS = frozenset((FORMAT, RUNPATH))
"""The checks of a layer that is checked alone. An image does not repeat them."""

Program = namedtuple("Program", ("attribute", "path", "headers", "has_capabilities", "disabled"))
"""A program to check. attribute: str, the attribute that it is from, for messages; path: str, the path in the image;
headers: dict, what elf.describe_program() returns, or None for a file that is not a program in a known format; has_capabilities:
bool; disabled: set of str, the names of the checks that are turned off for it."""


def check_names(disabled: Sequence[str], problems: Problems) -> None:
    """Adds a problem for each value of disabled_checks that is not the name of a check."""
    for name in disabled:
        if name not in NAMES:
            what = f"unknown check; the checks are {', '.join(NAMES)}{suggest(name, NAMES)}"
            problems.add("disabled_checks", name, what)


def check_program(program: Program, image: CheckedImage | None, problems: Problems) -> None:
    """Adds a problem for each fault of a program.

    Args:
      program: the program.
      image: the image that it is in; None for a layer that is checked alone.
      problems: the collector of problems.
    """
    for check, what in _find_faults(program, image):
        if check not in program.disabled:
            problems.add(program.attribute, program.path, _add_advice(what, check))


def check_entrypoint(image: CheckedImage, attribute: str, disabled: Collection[str], problems: Problems) -> None:
    """Adds a problem if the program that the container executes first does not exist or cannot start.

    Args:
      image: the image.
      attribute: the attribute that names the program.
      disabled: the names of checks that are turned off.
      problems: the collector of problems.
    """
    if image.os != "linux" or not image.argv or image.argv[0].startswith("-"):
        return  # Arguments of an entrypoint that another image, or the command line, will set.
    name = image.argv[0]
    path = image.find_program(name)
    if path:
        if LOADER not in disabled:
            for what in loaders.find_faults(path, image):
                problems.add(attribute, name, _add_advice(what, LOADER))
        return
    if "/" not in name:
        what = f"no program of this name in {image.path}, the PATH of the image; write its absolute path, or set PATH in env"
    elif " " in name:
        what = "no such program in the image; write each word as a list item of its own"
    else:
        what = "no such program in the image; add a layer or a base that has it, or write the path that it has"
    if PROGRAM not in disabled:
        problems.add(attribute, name, _add_advice(what, PROGRAM))


def list_wrapper_remarks(programs: Sequence[Program], image: CheckedImage, disabled: Collection[str]) -> list[str]:
    """Returns a remark for each program that gets no capabilities under no_new_privs because another one is executed first.

    capabilities(7): execve(2) grants what the executed file permits, and no_new_privs forbids to gain any. Without
    no_new_privs the image works, so this is a remark and not a problem.

    Args:
      programs: the programs of the image.
      image: the image.
      disabled: the names of checks that are turned off.
    """
    if image.os != "linux" or not image.argv or image.runs_as_root:
        return []
    first = image.find_program(image.argv[0])
    if not first:
        return []
    remarks = []
    arguments = {image.find_program(word) for word in image.argv[1:]}
    for program in programs:
        if not program.has_capabilities or program.path == first or WRAPPER in program.disabled or WRAPPER in disabled:
            continue
        # Other programs that the command does not name may be executed later, and not by this container.
        if program.attribute != "binary" and program.path not in arguments:
            continue
        if what := wrappers.find_loss(first, program.path, image):
            remarks.append(format_problem(program.attribute, program.path, what))
    return remarks


def list_user_remarks(programs: Sequence[Program], image: CheckedImage, disabled: Collection[str]) -> list[str]:
    """Returns a remark if root executes the program that the container starts, so that the capabilities of its file do nothing.

    capabilities(7), "Capabilities and execution of programs by root". If another program is started first, it may change the
    user. A container can have another user than the image, so this is a remark and not a problem.

    Args:
      programs: the programs of the image.
      image: the image.
      disabled: the names of checks that are turned off.
    """
    if image.os != "linux" or not image.argv or not image.runs_as_root or USER in disabled:
        return []
    first = image.find_program(image.argv[0])
    return [
        format_problem(
            "user",
            image.user,
            f"root starts {quote(first)} and gets what the container runtime grants, whatever capabilities the file has; "
            f'write user = "65532" for an ordinary user (disabled_checks = [{quote(USER)}] turns this off)',
        )
        for program in programs
        if program.path == first and program.has_capabilities and USER not in program.disabled
    ]


def _find_faults(program: Program, image: CheckedImage | None) -> list[tuple[str, str]]:
    """Returns the faults of a program: the name of the check, and what is wrong."""
    faults: list[tuple[str, str]] = []
    headers = program.headers
    if headers and "error" in headers:
        if program.has_capabilities:
            faults.append((FORMAT, f"invalid ELF file: {headers['error']}"))
        headers = None
    if headers and "system" in headers:
        faults += [(ARCHITECTURE, what) for what in machines.find_system_faults(headers["system"], image.os if image else "")]
        headers = None
    if headers:
        architecture = image.architecture if image else ""
        faults += [(ARCHITECTURE, what) for what in machines.find_architecture_faults(headers, architecture)]
    has_loader = True
    if image and LOADER not in program.disabled:
        missing = [(LOADER, what) for what in loaders.find_faults(program.path, image)]
        faults += missing
        has_loader = not missing
    if headers and program.has_capabilities and has_loader:
        # If the image does not have the loader, something else adds it, and probably the libraries too.
        merged = image.merged if image and image.merged.find_file(headers["interpreter"]) else None
        faults += [(RUNPATH, what) for what in runpaths.find_faults(headers, program.path, merged)]
    return faults


def _add_advice(what: str, check: str) -> str:
    return f"{what} (disabled_checks = [{quote(check)}] turns this off)"

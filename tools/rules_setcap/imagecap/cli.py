"""The entry point of imagecap: chooses the command."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from rules_setcap.diagnostics.command_line import CommandParser
from rules_setcap.diagnostics.console import run_program
from rules_setcap.diagnostics.errors import quote
from rules_setcap.diagnostics.program_names import IMAGECAP
from rules_setcap.diagnostics.suggestions import suggest
from rules_setcap.imagecap import exit_statuses

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = {
    "get": "list the files that have capabilities",
    "set": "assign capabilities to files of an image, and write the new image",
    "explain": "print which capabilities the process of a container gets, and why",
    "review": "print what an attacker could gain, and compare with an allowlist",
    "diff": "print the differences between two images",
}
"""The description of each command, for --help."""

_DESCRIPTION = """\
Reads and writes the Linux file capabilities of container images, without unpacking or running them. Images are OCI layout
directories and image archives (of docker save, podman save, crane pull and others), compressed or not."""
_EXAMPLES = (
    "imagecap get app.tar",
    "imagecap set app.tar new.tar /usr/sbin/nginx=cap_net_bind_service=ep",
    "docker save app | imagecap set - - /app/server=net_bind_service | docker load",
    "imagecap explain new.tar --docker-run 'docker run --cap-drop=ALL app'",
    "imagecap review --allow image.allow new.tar",
    "imagecap diff app.tar new.tar",
)


def main(arguments: Sequence[str]) -> int:
    """Runs imagecap.

    Args:
      arguments: the command line, without the program's name.

    Returns:
      The exit status, as exit_statuses describes it.
    """
    return run_program(IMAGECAP.program, _run_command, arguments)


def make_parser() -> CommandParser:
    """Returns the parser of the command line up to the command."""
    commands = "\n".join(["commands:", *(f"  {name:<8} {what}" for name, what in COMMANDS.items())])
    notes = [commands, '"imagecap COMMAND --help" describes the arguments of a command. docs/imagecap.md describes all of them.']
    parser = CommandParser(
        IMAGECAP.program,
        _DESCRIPTION,
        examples=_EXAMPLES,
        statuses=exit_statuses.ALL,
        notes=notes,
        program=IMAGECAP.program,
    )
    parser.usage = "imagecap [-h] [--version] COMMAND ..."
    return parser


def _run_command(arguments: Sequence[str]) -> int:
    """Runs the command that the arguments name and returns its exit status.

    Each command is imported when it runs: listing needs neither the models of the runtimes nor the packer.
    """
    if arguments[:1] and arguments[0] in COMMANDS:
        command, rest = arguments[0], arguments[1:]
    else:
        _reject_arguments(arguments)
    if command == "get":
        from rules_setcap.getcap.list_command import list_capabilities

        return list_capabilities(rest, IMAGECAP)
    if command == "set":
        from rules_setcap.imagecap.set_command import set_capabilities

        return set_capabilities(rest)
    if command == "explain":
        from rules_setcap.getcap.explain import run_explain

        return run_explain(rest, IMAGECAP)
    if command == "review":
        from rules_setcap.getcap.review_command import review_images

        return review_images(rest, IMAGECAP)
    from rules_setcap.diff.diff_command import compare_images

    return compare_images(rest, IMAGECAP)


def _reject_arguments(arguments: Sequence[str]) -> NoReturn:
    """Prints the help or the version, or an error if the arguments do not begin with a command, and exits."""
    parser = make_parser()
    if arguments and not arguments[0].startswith("-"):
        hint = suggest(arguments[0], COMMANDS) or f"; write one of {', '.join(COMMANDS)}"
        parser.error(f"{quote(arguments[0])}: no such command{hint}")
    parser.parse_command(arguments)
    parser.error("a command is missing; write one of " + ", ".join(COMMANDS))

"""The command lines of the programs that users run: parser, --help, --version and exit statuses.

Build actions have a parser of their own, rules_setcap.actions.arguments, which imports faster.
"""

from __future__ import annotations

import argparse
import textwrap
from typing import TYPE_CHECKING, NoReturn

from rules_setcap.diagnostics.errors import INTERNAL, printable
from rules_setcap.diagnostics.suggestions import suggest
from rules_setcap.diagnostics.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

INTERRUPTED = 130
"""The exit status after SIGINT: 128 and the number of the signal, as in a shell."""
CLOSED = 141
"""The exit status after the reader of stdout has closed it: 128 and the number of SIGPIPE, as in a shell."""
SHARED_STATUSES = {
    INTERNAL: "an internal error",
    INTERRUPTED: "interrupted",
    CLOSED: "the reader of the output has closed it",
}
"""The exit statuses that have the same meaning in all programs."""


class CommandParser(argparse.ArgumentParser):
    """A parser of command lines that reports an error in one line, with exit status 2, and accepts no abbreviated flags."""

    def __init__(
        self,
        prog: str,
        description: str,
        *,
        examples: Sequence[str],
        statuses: Mapping[int, str],
        notes: Sequence[str] = (),
        program: str,
        message_prefix: str = "",
    ) -> None:
        """Creates a parser that has the flags --help and --version.

        Args:
          prog: the command, as the user types it.
          description: the text of --help above the flags.
          examples: command lines, for --help.
          statuses: the meaning of each exit status, for --help.
          notes: paragraphs at the end of --help.
          program: the name that --version prints.
          message_prefix: the beginning of an error message; "" for `prog`.
        """
        lines = [f"  {status:<3} {meaning}" for status, meaning in statuses.items()]
        epilog = [
            "\n".join(["examples:", *(f"  $ {example}" for example in examples)]),
            "\n".join(["exit status:", *lines]),
            *notes,
        ]
        super().__init__(
            prog=prog,
            description=description,
            epilog="\n\n".join(epilog),
            allow_abbrev=False,
            formatter_class=_ParagraphFormatter,
        )
        self._message_prefix = message_prefix or prog
        self.add_argument(
            "--version",
            action="version",
            version=f"{program} (rules_setcap) {VERSION}",
            help="print the version and exit",
        )

    def parse_command(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parses a command line; prints an error and exits with 2 if it is not valid."""
        options, unknown = self.parse_known_intermixed_args(arguments)
        if unknown:
            flags = [flag for flag in self._option_string_actions if flag.startswith("--")]
            hint = suggest(unknown[0].partition("=")[0], flags) if unknown[0].startswith("-") else ""
            self.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
        return options

    def error(self, message: str) -> NoReturn:
        """Prints a message in one line and exits.

        Args:
          message: what is wrong. If it does not say what to write instead, after a semicolon, the line refers to --help.
        """
        hint = "" if "; " in message else f'; "{self.prog} --help" describes the arguments'
        self.exit(2, f"{self._message_prefix}: {printable(message)}{hint}\n")


class _ParagraphFormatter(argparse.HelpFormatter):
    """A formatter of --help that wraps each paragraph of a text separately.

    A paragraph with indented lines is a list: each of its lines is wrapped by itself, and command lines are not wrapped.
    """

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        filled = []
        for paragraph in text.split("\n\n"):
            if "\n  " in paragraph:
                filled += ["\n".join(_wrap_item(line, width) for line in paragraph.split("\n"))]
            else:
                filled += [super()._fill_text(paragraph, width, indent)]
        return "\n\n".join(filled)


def _wrap_item(line: str, width: int) -> str:
    """Wraps a line of a list, and indents its continuation below the text of an exit status."""
    if line.startswith("  $ "):
        return line
    return "\n".join(textwrap.wrap(line, width, subsequent_indent=" " * 6, break_on_hyphens=False))

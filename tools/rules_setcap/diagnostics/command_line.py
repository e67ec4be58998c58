"""The command lines of the programs that users run: parser, --help, --version and exit statuses.

Build actions have a parser of their own, rules_setcap.actions.arguments, which imports faster.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from typing import TYPE_CHECKING, NoReturn

from rules_setcap.diagnostics.errors import INTERNAL, printable, quote
from rules_setcap.diagnostics.suggestions import suggest
from rules_setcap.diagnostics.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

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
        self._problems: list[str] = []
        self.add_argument(
            "--version",
            action="version",
            version=f"{program} (rules_setcap) {VERSION}",
            help="print the version and exit",
        )

    def add_checked_argument(self, name: str, check: Callable[[str], Any], **options: Any) -> None:
        """Adds an argument whose values are checked. All values that are not valid are reported at once.

        Args:
          name: the flag.
          check: returns the value of the argument, None for the text itself; raises ValueError if it is not valid, with a sentence
            that may begin with the quoted text.
          **options: further arguments of argparse's add_argument().
        """

        def convert(text: str) -> Any:
            try:
                value = check(text)
            except ValueError as error:
                what = str(error)
                self._problems.append(f"argument {name}: {what if what.startswith(quote(text)) else f'{quote(text)}: {what}'}")
                return text
            return text if value is None else value

        self.add_argument(name, type=convert, **options)

    def add_problem(self, message: str) -> None:
        """Adds a problem of the command line, which parse_command() reports."""
        self._problems.append(message)

    def parse_command(
        self, arguments: Sequence[str], check: Callable[[argparse.Namespace], None] | None = None
    ) -> argparse.Namespace:
        """Parses a command line; prints all errors and exits with 2 if it is not valid.

        Args:
          arguments: the command line, without the program's name.
          check: adds the problems of arguments that are not valid together, by add_problem().
        """
        options, unknown = self.parse_known_intermixed_args(arguments)
        if unknown:
            flags = [flag for flag in self._option_string_actions if flag.startswith("--")]
            hint = suggest(unknown[0].partition("=")[0], flags) if unknown[0].startswith("-") else ""
            self.add_problem(f"unrecognized arguments: {' '.join(unknown)}{hint}")
        if check:
            check(options)
        if self._problems:
            self.exit(2, "".join(map(self._format_error, self._problems)))
        return options

    def error(self, message: str) -> NoReturn:
        """Prints a message in one line, after the problems that were found before, and exits.

        Args:
          message: what is wrong. If it does not say what to write instead, after a semicolon, the line refers to --help.
        """
        self.exit(2, "".join(map(self._format_error, [*self._problems, message])))

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """Exits with a status.

        Args:
          status: the exit status.
          message: what to print on stderr.

        Raises:
          OSError: the text of --help or --version cannot be written to stdout.
        """
        sys.stdout.flush()
        super().exit(status, message)

    def _format_error(self, message: str) -> str:
        hint = "" if "; " in message else f'; "{self.prog} --help" describes the arguments'
        return f"{self._message_prefix}: {printable(message)}{hint}\n"


def parse_number(text: str, low: int, high: int) -> int:
    """Returns the number that an argument is.

    Raises:
      ValueError: it is not a number from `low` to `high`.
    """
    if not (text.isascii() and text.isdecimal() and len(text) < 9 and low <= int(text) <= high):
        raise ValueError(f"must be a number from {low} to {high}")
    return int(text)


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

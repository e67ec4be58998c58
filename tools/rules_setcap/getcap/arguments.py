"""The argument parser of getcap's commands."""

from __future__ import annotations

import argparse
from typing import NoReturn

from rules_setcap.diagnostics.errors import printable


class CommandParser(argparse.ArgumentParser):
    """A parser of command lines that reports an error in one line, with exit status 2, and accepts no abbreviated flags."""

    def __init__(self, prog: str, description: str, epilog: str) -> None:
        """Creates a parser without flags.

        Args:
          prog: the command, for messages.
          description: the text of --help above the flags.
          epilog: the text of --help below the flags; an empty line separates paragraphs.
        """
        super().__init__(
            prog=prog, description=description, epilog=epilog, allow_abbrev=False, formatter_class=_ParagraphFormatter
        )

    def error(self, message: str) -> NoReturn:
        """Prints the message in one line and exits."""
        self.exit(2, f"{self.prog}: {printable(message)}\n")


class _ParagraphFormatter(argparse.HelpFormatter):
    """A formatter of --help that wraps each paragraph of a text separately."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        fill = super()._fill_text
        return "\n\n".join(fill(paragraph, width, indent) for paragraph in text.split("\n\n"))

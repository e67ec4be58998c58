"""The errors of the input, and the quoting of text from outside in messages.

Text from outside (a path in an image, a label, a name in a manifest) reaches people in two ways: within a sentence, where
quote() writes it, or by itself in a column, where escape() does. Both are unambiguous, and remove characters that move a
cursor, hide text or end a line. As a safeguard, InputError passes each of its problems through printable().
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

INTERNAL = 70
"""The exit code of an internal error: EX_SOFTWARE, sysexits.h."""


class InputError(Exception):
    """Invalid input, with all problems that were found in it.

    Attributes:
      problems: one printable line each, as problem() returns it.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        """Makes the problems printable."""
        self.problems = [printable(text) for text in problems]
        super().__init__("\n".join(self.problems))


def quote(value: object) -> str:
    """Returns a text, a number or a list of texts as JSON in printable ASCII, cut to 200 characters."""
    if isinstance(value, str):
        value = value[:200]  # Escaping a long text would take long.
    elif not isinstance(value, (int, float, list)):
        value = str(value)
    text = json.dumps(value, ensure_ascii=True).replace("\x7f", "\\u007f")
    return text if len(text) <= 200 else text[:197] + '..."'


def escape(text: str) -> str:
    r"""Returns a name as one printable word, as `ls -b` writes it, for a column that is not quoted.

    A backslash becomes `\\`, and a space `\ `. Characters that are not printable become

    - `\n`, `\r` and `\t`: line feed, carriage return and tab,
    - `\xHH`: a byte that is not UTF-8, which os.fsdecode() turns into a lone surrogate,
    - `\uHHHH` or `\UHHHHHHHH`: controls, bidirectional overrides, zero-width characters, line separators, tags, white space
      other than a space, surrogates and unassigned characters (all for which str.isprintable() is false).
    """
    if text.isprintable() and "\\" not in text and " " not in text:
        return text
    return "".join(_ESCAPED_ASCII.get(character) or _escape_unprintable(character) for character in text)


def printable(text: str) -> str:
    """Returns a message as one printable line: like escape(), but keeps backslashes and spaces."""
    return text if text.isprintable() else "".join(map(_escape_unprintable, text))


def format_internal_error(error: BaseException) -> str:
    """Returns the line that reports an error in our own code, with the place that raised it."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    where = f" in {os.path.basename(trace.tb_frame.f_code.co_filename)}, line {trace.tb_lineno}" if trace else ""
    return f"internal error: {type(error).__name__}: {printable(str(error)[:500])}{where}; please report this"


_ESCAPED_ASCII = {"\\": "\\\\", " ": "\\ "}
_ESCAPED_CONTROLS = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _escape_unprintable(character: str) -> str:
    """Returns a printable character as it is, and any other escaped."""
    if character.isprintable():
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return _ESCAPED_CONTROLS.get(character) or (f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")


def format_problem(attribute: str, value: object, what: str) -> str:
    """Returns the message of one problem: the attribute, its value, what is wrong with it, and what to write instead.

    Args:
      attribute: the attribute that the value comes from, or the place in a file.
      value: the value as the user wrote it; this function quotes it.
      what: a sentence with what is wrong and what to write instead; text from outside is quoted in it.
    """
    return printable(f"{attribute}: {quote(value)}: {what}")


class Labels:
    """The labels of files, which messages show in place of the paths of the files."""

    def __init__(self, texts: Iterable[str]) -> None:
        """Parses the values of --named.

        Args:
          texts: for each file, a JSON list of attribute and label, "=", and the path.
        """
        self._prefixes: dict[str, str] = {}
        for text in texts:
            (attribute, label), end = json.JSONDecoder().raw_decode(text)
            self._prefixes[format_problem(attribute, text[end + 1 :], "")] = format_problem(attribute, label, "")

    def apply(self, problems: Iterable[str]) -> list[str]:
        """Returns the problems with labels in place of paths. A repeated problem is returned once."""
        replaced = []
        for text in dict.fromkeys(problems):
            prefix = next((prefix for prefix in self._prefixes if text.startswith(prefix)), "")
            replaced.append(self._prefixes.get(prefix, "") + text[len(prefix) :])
        return replaced

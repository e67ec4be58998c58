"""Problems of the input, all of which are reported at once, and how text from outside is written in them.

Text from outside (a path in an image, a label, a name in a manifest) reaches people in two ways: quoted in a sentence, by
quote(), or by itself in a column, by escape(). Both are unambiguous and have no characters that move a cursor, hide text
or end a line. As a safeguard, InputError passes each of its problems through printable().
"""

from __future__ import annotations

import json
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable


class InputError(Exception):
    """Invalid input.

    Attributes:
      problems: a sentence each, from problem(), in which all characters are printable.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = [printable(text) for text in problems]
        super().__init__("\n".join(self.problems))


def quote(value: object) -> str:
    """Returns a text, a number or a list of texts as JSON in printable ASCII, cut to 200 characters."""
    if isinstance(value, str):
        value = value[:200]  # To escape a long text takes long.
    elif not isinstance(value, (int, float, list)):
        value = str(value)
    text = json.dumps(value, ensure_ascii=True).replace("\x7f", "\\u007f")
    return text if len(text) <= 200 else text[:197] + '..."'


def escape(text: str) -> str:
    """Returns a name as one printable word, as `ls -b` writes it, for a column that is not quoted.

    A backslash becomes `\\\\` and a space `\\ `. Of what is not printable, line feed, carriage return and tab become `\\n`,
    `\\r` and `\\t`; a byte that is not UTF-8, and so is a lone surrogate in `text` (os.fsdecode), `\\xHH`; any other
    character `\\uHHHH` or `\\UHHHHHHHH`. These are controls, bidirectional overrides, zero-width characters, line
    separators, tags, white space other than a space, surrogates and unassigned characters (str.isprintable).
    """
    if text.isprintable() and "\\" not in text and " " not in text:
        return text
    return "".join(_SHORT.get(character) or _escaped(character) for character in text)


def printable(text: str) -> str:
    """Returns a message as one printable line: escape() without the backslashes and spaces, of which messages have some."""
    return text if text.isprintable() else "".join(map(_escaped, text))


def internal(error: BaseException) -> str:
    """Returns the line that reports an error of these programs themselves."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    where = f" in {os.path.basename(trace.tb_frame.f_code.co_filename)}, line {trace.tb_lineno}" if trace else ""
    return f"internal error: {type(error).__name__}: {printable(str(error)[:500])}{where}; please report this"


INTERNAL = 70
"""Exit status of an internal error: EX_SOFTWARE, sysexits.h."""

_SHORT = {"\\": "\\\\", " ": "\\ "}
_LETTERS = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return _LETTERS.get(character) or (f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")


def problem(attribute: str, value: object, what: str) -> str:
    """Returns one problem: the attribute it comes from, its value, what is wrong and what would be right.

    Args:
      attribute: its name, or the place in a file.
      value: as the user wrote it; it is quoted.
      what: a sentence, in which text from outside is quoted already.
    """
    return printable(f"{attribute}: {quote(value)}: {what}")


def about(problems: Iterable[str], *attributes: str) -> bool:
    """Returns whether one of the problems is about one of the attributes."""
    return any(text.partition(":")[0] in attributes for text in problems)


class Labels:
    """The labels of files, which messages show in place of their paths."""

    def __init__(self, texts: Iterable[str]) -> None:
        """
        Args:
          texts: a JSON list of attribute and label, "=", and the path of the file.
        """
        self._beginnings: dict[str, str] = {}
        for text in texts:
            (attribute, label), end = json.JSONDecoder().raw_decode(text)
            self._beginnings[problem(attribute, text[end + 1 :], "")] = problem(attribute, label, "")

    def apply(self, problems: Iterable[str]) -> list[str]:
        """Returns the problems, each once, with labels in place of paths."""
        replaced = []
        for text in dict.fromkeys(problems):
            beginning = next((beginning for beginning in self._beginnings if text.startswith(beginning)), "")
            replaced.append(self._beginnings.get(beginning, "") + text[len(beginning) :])
        return replaced

"""Problems of the input: all of a target's are reported at once."""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable


class InputError(Exception):
    """Input that cannot be packed.

    Attributes:
      problems: a sentence each, from problem().
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


def quote(value: object) -> str:
    """`value` for a message: what cannot be seen is escaped, what is long is cut."""
    text = json.dumps(value, ensure_ascii=True) if isinstance(value, (str, int, float, bool)) else json.dumps(str(value))
    return text if len(text) <= 200 else text[:197] + '..."'


def problem(attribute: str, value: object, what: str) -> str:
    """Returns one problem: the attribute it comes from, its value, what is wrong and what would be right."""
    return f"{attribute}: {quote(value)}: {what}"


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

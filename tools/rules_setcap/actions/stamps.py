"""Expands placeholders: `{KEY}` stands for a value of Bazel's workspace status.

The keys are those of `--workspace_status_command` and Bazel's own (`BUILD_TIMESTAMP`, `BUILD_EMBED_LABEL`): capital letters,
digits and underscores, as Bazel's manual requires. Braces around anything else are text. `{{KEY}}` stands for the text
`{KEY}`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rules_setcap.diagnostics.errors import quote

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rules_setcap.diagnostics.problems import Problems

_KEY = r"(\{+)([A-Z_][A-Z0-9_]*)(\}+)"
_TEXT = re.compile(_KEY, re.ASCII)
# In `env`, $$, $NAME and ${NAME} have meanings of their own.
_ENVIRONMENT = re.compile(rf"\$\$|\$\{{\w+\}}|{_KEY}", re.ASCII)


class Status:
    """The workspace status of a target that may be stamped.

    Attributes:
      used: whether a placeholder was found.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        """Reads the status files.

        Args:
          paths: the paths of the status files; none if the target is not stamped.

        Raises:
          OSError: a file cannot be read.
        """
        self.used = False
        self._values: dict[str, str] = {}
        for path in paths:
            with open(path, encoding="utf-8", errors="replace") as file:
                for line in file:
                    key, _, value = line.rstrip("\n").partition(" ")
                    self._values[key] = value

    def expand(self, text: str, may_have_braces: bool = False) -> str:
        """Returns the text with values in place of its placeholders.

        Args:
          text: the value of an attribute.
          may_have_braces: whether the attribute may have braces as text, for messages.

        Raises:
          ValueError: a placeholder is not valid; the text says why.
        """
        return _TEXT.sub(lambda match: self._replace(match[1], match[2], match[3], may_have_braces=may_have_braces), text)

    def expand_variable(self, text: str) -> str:
        """Returns the value of an environment variable with values in place of its placeholders.

        `$$`, `$NAME` and `${NAME}` stay as they are. Dollar signs in values are doubled.

        Args:
          text: the value of the variable.

        Raises:
          ValueError: a placeholder is not valid; the text says why.
        """

        def replace(match: re.Match[str]) -> str:
            return match[0] if match[2] is None else self._replace(match[1], match[2], match[3], "$$", True)

        return _ENVIRONMENT.sub(replace, text)

    def check_used(self, attributes: str, problems: Problems) -> None:
        """Adds a problem if the target is stamped and has no placeholder.

        Args:
          attributes: the attributes that may have placeholders, for the message.
          problems: the collector of problems.
        """
        if self._values and not self.used:
            what = f"has no effect: there is no placeholder such as {{STABLE_GIT_COMMIT}} in {attributes}; write one, or leave stamp out"
            problems.add("stamp", True, what)

    def _replace(self, opening: str, key: str, closing: str, dollar: str = "$", may_have_braces: bool = False) -> str:
        if len(opening) > 1 and len(closing) > 1:
            return f"{opening[1:]}{key}{closing[1:]}"
        self.used = True
        if not self._values:
            text = f", or write {{{{{key}}}}} for the text {{{key}}}" if may_have_braces else ""
            raise ValueError(f"has the placeholder {{{key}}}; set stamp = True{text}")
        if key not in self._values:
            raise ValueError(f"the workspace status has no {quote(key)}; it has {', '.join(sorted(self._values))}")
        if not self._values[key]:
            raise ValueError(f"{key} has no value in the workspace status")
        return f"{opening[1:]}{self._values[key].replace('$', dollar)}{closing[1:]}"

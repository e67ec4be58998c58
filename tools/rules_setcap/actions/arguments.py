"""Parses the arguments of one action: flags, --name=value, and the lines of its entries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_setcap.diagnostics.errors import Labels

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class UsageError(Exception):
    """A command line that does not come from the rules: a flag is missing, unknown or invalid."""


class Arguments:
    """The arguments of one action. A command takes the flags that it has, and then calls check_all_taken().

    Attributes:
      entries: the lines that are not flags.
      digests: a function that returns the digest of each input of the action by path, as Bazel sends them to a persistent
        worker; the mapping is empty outside a worker.
      labels: the labels of files, from --named.
    """

    def __init__(self, lines: Sequence[str], digests: Callable[[], Mapping[str, str]] = dict) -> None:
        """Parses the arguments.

        Args:
          lines: one argument each: --name=value, or an entry.
          digests: see the attribute.

        Raises:
          UsageError: a flag has no value.
        """
        self.entries: list[str] = []
        self.digests = digests
        self._values: dict[str, list[str]] = {}
        for line in lines:
            if not line.startswith("--"):
                self.entries.append(line)
                continue
            name, equals, value = line.partition("=")
            if not equals:
                raise UsageError(f"{line}: not --name=value")
            self._values.setdefault(name[2:], []).append(value)
        self.labels = Labels(self.take_values("named"))

    def take_values(self, name: str) -> list[str]:
        """Returns all values of a flag that may be repeated or left out."""
        return self._values.pop(name, [])

    def take_value(self, name: str, default: str | None = None) -> str:
        """Returns the value of a flag.

        Args:
          name: the flag, without the dashes.
          default: the value if the flag is left out; None if it must be there.

        Raises:
          UsageError: the flag is missing or repeated.
        """
        values = self._values.pop(name, [] if default is None else [default])
        if len(values) != 1:
            raise UsageError(f"--{name}: given {len(values)} times")
        return values[0]

    def take_number(self, name: str, default: str | None = None) -> int:
        """Returns the value of a flag that is a decimal number; arguments as for take_value().

        Raises:
          UsageError: the flag is missing or repeated, or its value is not a decimal number.
        """
        value = self.take_value(name, default)
        if not (value.isascii() and value.removeprefix("-").isdecimal()):
            raise UsageError(f"--{name}={value}: not a number")
        return int(value)

    def check_all_taken(self) -> None:
        """Checks that the command has taken all flags.

        Raises:
          UsageError: a flag is unknown to the command.
        """
        if self._values:
            raise UsageError(f"unknown flags: {', '.join(self._values)}")

"""The arguments of a subcommand: flags by name, and entries."""

from __future__ import annotations

from rules_setcap.diagnostics.errors import Labels

TYPE_CHECKING = False  # The module typing takes longer to load than a small layer to pack.
if TYPE_CHECKING:
    from typing import Any, Callable, Mapping, Sequence


class UsageError(Exception):
    """The rules call the packer wrongly."""


class Arguments:
    """The arguments of one action.

    Attributes:
      entries: list of str, the lines that are no flags.
      digests: returns the digests of the action's inputs by path, as Bazel sends them to a worker.
      labels: Labels, of files.
    """

    def __init__(self, lines: Sequence[str], digests: Callable[[], Mapping[str, str]] = dict) -> None:
        """
        Args:
          lines: --name=value, or an entry.
          digests: the attribute.

        Raises:
          UsageError: a flag without a value.
        """
        self.entries: list[str] = []
        self.digests = digests
        self._flags: dict[str, list[str]] = {}
        for line in lines:
            name, equals, value = line.partition("=")
            if not line.startswith("--"):
                self.entries.append(line)
            elif equals:
                self._flags.setdefault(name[2:], []).append(value)
            else:
                raise UsageError(f"{line}: not --name=value")
        self.labels = Labels(self.all("named"))

    def all(self, name: str) -> list[str]:
        """The values of a flag that may be repeated, or left out."""
        return self._flags.pop(name, [])

    def one(self, name: str, default: str | None = None) -> str:
        """The value of a flag that is given once; UsageError if it is not."""
        values = self._flags.pop(name, [] if default is None else [default])
        if len(values) != 1:
            raise UsageError(f"--{name}: given {len(values)} times")
        return values[0]

    def number(self, name: str, default: str | None = None) -> int:
        """The value of a flag that is a number; UsageError if it is none."""
        value = self.one(name, default)
        if not (value.isascii() and value.removeprefix("-").isdecimal()):
            raise UsageError(f"--{name}={value}: not a number")
        return int(value)

    def blob(self) -> dict[str, Any]:
        """How a blob is written, as layer.write() takes it."""
        return {
            "compression": self.one("compression"),
            "level": self.number("level", "0"),
            "library": self.one("library", ""),
            "threads": self.number("threads", "1"),
            "created_by": self.one("created-by"),
        }

    def end(self) -> None:
        """No flag is left; UsageError if one is."""
        if self._flags:
            raise UsageError(f"unknown flags: {', '.join(self._flags)}")

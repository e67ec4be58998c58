"""The exception of this package."""

from __future__ import annotations


class CapabilityError(ValueError):
    """Invalid capability text, an invalid extended attribute, or sets that a file or a process cannot have.

    Attributes:
      problems: one sentence each: the quoted value, what is wrong with it, and what to write instead.
    """

    def __init__(self, *problems: str) -> None:
        """Sets the problems."""
        super().__init__("\n".join(problems))
        self.problems: list[str] = list(problems)

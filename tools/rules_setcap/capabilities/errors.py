"""The one exception of this package."""

from __future__ import annotations


class CapabilityError(ValueError):
    """Text, or an extended attribute, that says no capabilities.

    Attributes:
      problems: every problem found, a sentence each: the value quoted, what is
        wrong with it, what would be right.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems: list[str] = list(problems)

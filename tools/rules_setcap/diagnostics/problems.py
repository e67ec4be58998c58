"""A collector of problems, so that one error reports all of them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from rules_setcap.diagnostics.errors import InputError, format_problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Problems:
    """The problems that were found so far, one message each, in the order in which they were found."""

    def __init__(self, messages: Iterable[str] = ()) -> None:
        """Creates a collector.

        Args:
          messages: the messages of problems that others found.
        """
        self._messages = list(messages)

    def __iter__(self) -> Iterator[str]:
        return iter(self._messages)

    def __len__(self) -> int:
        return len(self._messages)

    def add(self, attribute: str, value: object, what: str) -> None:
        """Adds a problem; the arguments are those of errors.format_problem()."""
        self._messages.append(format_problem(attribute, value, what))

    def add_message(self, message: str) -> None:
        """Adds a problem by its message."""
        self._messages.append(message)

    def extend(self, messages: Iterable[str]) -> None:
        """Adds problems by their messages."""
        self._messages.extend(messages)

    def concern(self, *attributes: str) -> bool:
        """Returns whether a problem is about one of the attributes."""
        return any(message.partition(":")[0] in attributes for message in self._messages)

    @contextlib.contextmanager
    def collect(self) -> Iterator[None]:
        """Returns a context manager that catches an InputError of its block and adds the problems of the error."""
        try:
            yield
        except InputError as error:
            self._messages.extend(error.problems)

    def raise_if_any(self) -> None:
        """Raises InputError with all problems, if there are any."""
        if self._messages:
            raise InputError(self._messages)

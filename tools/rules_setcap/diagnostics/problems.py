"""A collector of problems, so that one error reports all of them."""

from __future__ import annotations

import contextlib

from rules_setcap.diagnostics.errors import InputError, problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, Iterator


class Problems:
    """The problems that have been found so far, one message each, in the order in which they were found."""

    def __init__(self, messages: Iterable[str] = ()) -> None:
        """
        Args:
          messages: problems that somebody else found.
        """
        self._messages = list(messages)

    def __iter__(self) -> Iterator[str]:
        return iter(self._messages)

    def __len__(self) -> int:
        return len(self._messages)

    def add(self, attribute: str, value: object, what: str) -> None:
        """Adds a problem; the arguments are those of errors.problem()."""
        self._messages.append(problem(attribute, value, what))

    def append(self, message: str) -> None:
        """Adds a problem whose message is complete."""
        self._messages.append(message)

    def replace(self, number: int, message: str) -> None:
        """Replaces the problem that was added as the given one, counted from 0."""
        self._messages[number] = message

    def extend(self, messages: Iterable[str]) -> None:
        """Adds problems whose messages are complete."""
        self._messages.extend(messages)

    def __iadd__(self, messages: Iterable[str]) -> Problems:
        self._messages.extend(messages)
        return self

    @contextlib.contextmanager
    def collect(self) -> Iterator[None]:
        """Adds the problems of an InputError that ends the block."""
        try:
            yield
        except InputError as error:
            self._messages.extend(error.problems)

    def raise_if_any(self) -> None:
        """Raises InputError with all problems, if there are any."""
        if self._messages:
            raise InputError(self._messages)

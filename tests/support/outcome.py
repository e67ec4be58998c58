"""The outcome of a container."""

from __future__ import annotations

from typing import NamedTuple


class Outcome(NamedTuple):
    """The outcome of a container that an engine should run.

    Attributes:
      output: stdout and stderr of the container.
      failure: the message of an engine that did not start the container; "" if it started.
      status: the exit status; None if the container did not start.
    """

    output: str
    failure: str = ""
    status: int | None = None

"""What became of a container."""

from __future__ import annotations

from typing import NamedTuple


class Outcome(NamedTuple):
    """What became of a container that an engine was to run.

    Attributes:
      output: what it printed, stdout and stderr.
      failure: why the engine did not start it; "" if it did.
      status: its exit status; None if it did not start.
    """

    output: str
    failure: str = ""
    status: int | None = None

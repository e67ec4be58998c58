"""Finds the programs that push and load images."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from rules_setcap.delivery.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Mapping

Driver = TypeVar("Driver")


class Client(NamedTuple):
    """A program that a toolchain names.

    Attributes:
      kind: the name of the program, such as "crane"; "" for any that is on PATH.
      path: its path; "" for the one on PATH.
    """

    kind: str
    path: str

    def find_program(self, drivers: Mapping[str, Driver], description: str, toolchain_type: str) -> tuple[str, str, Driver]:
        """Finds the program.

        Args:
          drivers: what knows how to run each kind of program, the preferred one first.
          description: what all of them are, for messages.
          toolchain_type: the toolchain type that can name another one, for messages.

        Returns:
          The kind of the program, its path, and its driver.

        Raises:
          DeliveryError: there is no such program.
        """
        if self.path:
            if not os.access(self.path, os.X_OK):
                raise DeliveryError(f"{self.path}, which the toolchain names, is not an executable file")
            return self.kind, self.path, drivers[self.kind]
        kinds = [self.kind] if self.kind else list(drivers)
        for kind in kinds:
            if path := shutil.which(kind):
                return kind, path, drivers[kind]
        raise DeliveryError(
            f"no {description} on PATH: install {' or '.join(kinds)}, or register a toolchain of type {toolchain_type}"
        )

"""The programs that images are handed to."""

from __future__ import annotations

import os
import shutil
from typing import Mapping, NamedTuple, TypeVar

from rules_setcap.delivery.errors import DeliveryError

Driver = TypeVar("Driver")


class Program(NamedTuple):
    """A program of a toolchain; without a path the one on PATH, without a kind any that is there."""

    kind: str
    path: str

    def find(self, drivers: Mapping[str, Driver], what: str, toolchain_type: str) -> tuple[str, str, Driver]:
        """The program.

        Args:
          drivers: by the name of the program that each can drive, the preferred one first.
          what: the programs have in common, for messages.
          toolchain_type: which else can name one, for messages.

        Returns:
          Its name, its path, and what drives it.

        Raises:
          DeliveryError: there is none.
        """
        if self.path:
            if not os.access(self.path, os.X_OK):
                raise DeliveryError(f"{self.path}, which the toolchain names, is no program")
            return self.kind, self.path, drivers[self.kind]
        kinds = [self.kind] if self.kind else list(drivers)
        for kind in kinds:
            if path := shutil.which(kind):
                return kind, path, drivers[kind]
        raise DeliveryError(f"no {what} on PATH: install {' or '.join(kinds)}, or register a toolchain of type {toolchain_type}")

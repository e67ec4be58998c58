"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO, Iterator


@contextlib.contextmanager
def whole(path: str) -> Iterator[BinaryIO]:
    """A new file that takes the place of `path` when the block ends well, and vanishes when it does not.

    Raises:
      OSError: it cannot be written.
    """
    partial = path + ".partial"
    try:
        with open(partial, "wb") as file:
            yield file
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(partial)
        raise


def write_whole(path: str, data: bytes) -> None:
    """Writes `data` to `path`, whole or not at all."""
    with whole(path) as file:
        file.write(data)

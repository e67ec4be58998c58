"""Files that are read whole, and written whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO, Iterator


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


def read(path: str) -> bytes:
    """A whole file."""
    with open(path, "rb") as file:
        return file.read()


def read_json(path: str) -> Any:
    """A file of JSON that another action wrote."""
    return json.loads(read(path))

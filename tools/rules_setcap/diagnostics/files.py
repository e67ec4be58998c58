"""Opens and reads regular files, and writes files completely or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any, BinaryIO


@contextlib.contextmanager
def open_new_file(path: str) -> Iterator[BinaryIO]:
    """Opens a new file that replaces `path` when the block ends without an exception, and is deleted otherwise.

    Raises:
      OSError: the file cannot be written.
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
    """Writes `data` to `path`, completely or not at all."""
    with open_new_file(path) as file:
        file.write(data)


def write_json(path: str, value: Mapping[str, Any]) -> None:
    """Writes `value` to `path` as one line of JSON with sorted keys, completely or not at all."""
    write_whole(path, json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode() + b"\n")


def open_regular(path: str) -> BinaryIO:
    """Opens a file for reading if it is a regular file, or a symbolic link to one.

    Other files are not opened: a FIFO would wait for a writer forever, and opening a device may change it. The opened file is
    checked again, in case that something replaced it in between; O_NONBLOCK keeps the opening of a FIFO from waiting.

    Raises:
      OSError: the file cannot be opened, or is not a regular file; its `strerror` says which.
    """
    _check_regular(os.stat(path).st_mode, path)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        _check_regular(os.fstat(descriptor).st_mode, path)
        os.set_blocking(descriptor, True)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _check_regular(mode: int, path: str) -> None:
    """Raises OSError if the mode of a file is not that of a regular file."""
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "not a regular file", path)


def read_file(path: str) -> bytes:
    """Returns the bytes of a regular file."""
    with open_regular(path) as file:
        return file.read()


def read_json(path: str) -> Any:
    """Returns the value in a JSON file that another action wrote."""
    return json.loads(read_file(path))

"""Reads the images and files that the command line names. The name `-` is standard input."""

from __future__ import annotations

import os
import sys
import tempfile
from typing import TYPE_CHECKING

from rules_setcap.diagnostics import limits, progress
from rules_setcap.diagnostics.errors import InputError, escape, format_problem, quote
from rules_setcap.diagnostics.files import open_regular
from rules_setcap.getcap.image_names import reject_image_name, reject_plain_directory
from rules_setcap.oci import image_reader

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import BinaryIO

    from rules_setcap.diagnostics.command_line import CommandParser
    from rules_setcap.oci import image_documents

STANDARD_INPUT = "-"
IMAGE_HELP = 'an OCI layout directory, an archive of an image, or a tar of files; "-" for one of the last two on standard input'
"""The description of the argument that is an image, for --help."""
_BLOCK_SIZE = 1 << 20


def reject_repeated_standard_input(parser: CommandParser, paths: Iterable[str | None]) -> None:
    """Exits with an error if several paths of a command line are standard input, which can be read once."""
    if sum(path == STANDARD_INPUT for path in paths) > 1:
        parser.error('"-" is standard input, which can be read once; write "-" once, and a file in place of the others')


def read_images(path: str, platform: str, passed_over: list[image_documents.NonImage] | None = None) -> list[image_reader.Image]:
    """Reads the images at a path, and shows the progress on a terminal if that takes long.

    Args:
      path: a layout directory, an archive of an image, or a tar of files; "-" for one of the last two on standard input.
      platform: os/architecture[/variant]; "" for all.
      passed_over: a list to which signatures and other artifacts beside the images are added.

    Raises:
      InputError: the path has no valid image.
      OSError: a file cannot be read.
    """
    if path == STANDARD_INPUT:
        return _read_images_from_standard_input(platform, passed_over)
    reject_image_name(path)
    reject_plain_directory(path)
    with progress.show_progress(f"getcap: {escape(path)}"):
        return image_reader.read_images(path, platform, passed_over)


def read_file(path: str, limit: int, flag: str) -> bytes:
    """Reads a regular file, at most one byte more than the limit, so that the caller can tell that a file exceeds it.

    Args:
      path: the file; "-" for standard input.
      limit: bytes.
      flag: the flag that names the file, for messages.

    Raises:
      InputError: standard input is a terminal, closed or empty.
      OSError: the file cannot be read.
    """
    if path == STANDARD_INPUT:
        data = _open_standard_input(flag, f"cat FILE | getcap ... {flag} -").read(limit + 1)
        if not data:
            raise _make_empty_error(flag)
        return data
    with open_regular(path) as file:
        return file.read(limit + 1)


def _read_images_from_standard_input(
    platform: str, passed_over: list[image_documents.NonImage] | None
) -> list[image_reader.Image]:
    """Reads images as read_images() does, from a temporary copy of standard input, because they are read several times."""
    stream = _open_standard_input("image", "docker save app | getcap -")
    with progress.show_progress("getcap: standard input"), tempfile.TemporaryDirectory(prefix="getcap-") as directory:
        copy = os.path.join(directory, "image")
        progress.begin_step("copying", None)
        _write_copy(stream, copy)
        try:
            return image_reader.read_images(copy, platform, passed_over)
        except InputError as error:
            raise InputError(text.replace(quote(copy), quote(STANDARD_INPUT)) for text in error.problems) from None


def _write_copy(stream: BinaryIO, path: str) -> None:
    """Copies standard input to a file.

    Raises:
      InputError: standard input is empty or too large, or the file cannot be written.
    """
    size = 0
    try:
        with open(path, "wb") as file:
            while block := stream.read(_BLOCK_SIZE):
                size += len(block)
                if size > limits.STANDARD_INPUT:
                    what = (
                        f"more than {limits.STANDARD_INPUT} bytes of standard input (limit STANDARD_INPUT); name a file instead"
                    )
                    raise InputError([format_problem("image", STANDARD_INPUT, what)])
                file.write(block)
    except OSError as error:
        directory = quote(tempfile.gettempdir())
        what = (
            f"standard input cannot be copied to {directory}: {error.strerror}; set TMPDIR to another directory, or name a file"
        )
        raise InputError([format_problem("image", STANDARD_INPUT, what)]) from None
    if not size:
        raise _make_empty_error("image")


def _open_standard_input(argument: str, example: str) -> BinaryIO:
    """Returns standard input as bytes.

    Args:
      argument: the argument that is "-", for messages.
      example: a command line that writes to it.

    Raises:
      InputError: it is closed, or a terminal.
    """
    if sys.stdin is None:  # The interpreter finds the descriptor closed.
        raise InputError([format_problem(argument, STANDARD_INPUT, f'standard input is closed; write to it: "{example}"')])
    if sys.stdin.isatty():
        raise InputError([format_problem(argument, STANDARD_INPUT, f'standard input is a terminal; write to it: "{example}"')])
    return sys.stdin.buffer


def _make_empty_error(argument: str) -> InputError:
    return InputError(
        [format_problem(argument, STANDARD_INPUT, "standard input is empty; the command that writes to it may have failed")]
    )

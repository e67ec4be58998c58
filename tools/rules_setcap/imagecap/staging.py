"""Writes an output beside its place, and puts it there when it is complete."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from typing import TYPE_CHECKING

from rules_setcap.diagnostics.errors import InputError, format_problem
from rules_setcap.diagnostics.standard_input import STANDARD_INPUT

if TYPE_CHECKING:
    from collections.abc import Iterator

STANDARD_OUTPUT = STANDARD_INPUT
"""The name of standard output on the command line."""
_LAYOUT_NAMES = {"blobs", "index.json", "oci-layout"}


def check_output(output: str, source: str, is_directory: bool, force: bool) -> None:
    """Checks that an output can be written.

    Args:
      output: the path.
      source: the path of the image that is read.
      is_directory: whether the output is a directory.
      force: whether an existing output is replaced.

    Raises:
      InputError: it cannot; the message says what to write instead.
    """

    def fail(what: str) -> None:
        raise InputError([format_problem("output", output, what)])

    if output == STANDARD_OUTPUT:
        if is_directory:
            fail("standard output cannot be a directory; write --format oci-archive or docker-archive, or a path")
        if sys.stdout.isatty():
            fail("standard output is a terminal; write to a pipe or a file")
        return
    directory, inner = os.path.realpath(source), os.path.realpath(output)
    if os.path.isdir(source) and inner.startswith(directory + os.sep):
        fail("is within the image that is read; write another path")
    if not os.path.isdir(os.path.dirname(inner)):
        fail("its parent directory does not exist; make it first")
    if not os.path.exists(output):
        return
    if not os.path.isdir(output) and not os.path.isfile(output):
        fail("is not a regular file; write another path, or - for standard output")
    if not force:
        fail("exists already; write --force to replace it, or another path")
    if is_directory:
        if not os.path.isdir(output) or not set(os.listdir(output)) <= _LAYOUT_NAMES:
            fail("is not an OCI layout directory, so that --force does not replace it; write another path")
    elif os.path.isdir(output):
        fail("is a directory, and the new image is an archive; write another path")


@contextlib.contextmanager
def open_workspace(output: str) -> Iterator[str]:
    """Returns a context manager that makes a temporary directory: beside an output, so that files can be moved there.

    Args:
      output: the path of the output; "-" for standard output.
    """
    if output == STANDARD_OUTPUT:
        with tempfile.TemporaryDirectory(prefix="imagecap-") as directory:
            yield directory
        return
    real = os.path.realpath(output)
    with tempfile.TemporaryDirectory(
        prefix=f".{os.path.basename(real)[:100]}.", suffix=".partial", dir=os.path.dirname(real)
    ) as directory:
        yield directory


def place_output(complete: str, output: str) -> None:
    """Puts a complete output into its place. What is there is replaced, and kept until then.

    Args:
      complete: the path of the complete output, in a directory from open_workspace().
      output: the path of the output.

    Raises:
      OSError: the output cannot be put there.
    """
    real = os.path.realpath(output)
    if os.path.isdir(complete) and os.path.isdir(real):
        # A directory cannot replace another one in one step.
        old = complete + ".old"
        os.rename(real, old)
        try:
            os.rename(complete, real)
        except BaseException:
            os.rename(old, real)
            raise
        shutil.rmtree(old, ignore_errors=True)
        return
    os.replace(complete, real)

"""Reads the images and files that the command line names. The name `-` is standard input."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

from rules_setcap.diagnostics import progress
from rules_setcap.diagnostics.errors import InputError, escape, quote
from rules_setcap.diagnostics.files import open_regular
from rules_setcap.diagnostics.standard_input import STANDARD_INPUT, copy_standard_input, make_empty_error, open_standard_input
from rules_setcap.oci import image_reader
from rules_setcap.oci.image_names import reject_image_name, reject_plain_directory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rules_setcap.diagnostics.program_names import ProgramNames
    from rules_setcap.oci import image_documents

IMAGE_HELP = 'an OCI layout directory, an archive of an image, or a tar of files; "-" for one of the last two on standard input'
"""The description of the argument that is an image, for --help."""


def read_images(
    path: str,
    platform: str,
    names: ProgramNames,
    passed_over: list[image_documents.NonImage] | None = None,
    *,
    image_name: str = "",
) -> list[image_reader.Image]:
    """Reads the images at a path, and shows the progress on a terminal if that takes long.

    Args:
      path: a layout directory, an archive of an image, or a tar of files; "-" for one of the last two on standard input.
      platform: os/architecture[/variant]; "" for all.
      names: the names of the program, for messages.
      passed_over: a list to which signatures and other artifacts beside the images are added.
      image_name: the name or digest of the images; "" for all.

    Raises:
      InputError: the path has no valid image.
      OSError: a file cannot be read.
    """
    if path == STANDARD_INPUT:
        return _read_images_from_standard_input(platform, names, passed_over, image_name)
    reject_image_name(path)
    reject_plain_directory(path, f"{names.get} -")
    with progress.show_progress(f"{names.program}: {escape(path)}"):
        return image_reader.read_images(path, platform, passed_over, name=image_name)


def describe_choice(images: Sequence[image_reader.Image], image_flag: str = "--image", platform_flag: str = "--platform") -> str:
    """Returns why one of several images must be chosen, as a sentence that names them.

    Args:
      images: the images, at least two.
      image_flag: what chooses an image by its name.
      platform_flag: what chooses an image by its platform.
    """
    names = list(dict.fromkeys(image.names for image in images))
    if len(names) > 1 and all(names):
        flag, values = image_flag, [image_names[0] for image_names in names]
    else:
        flag, values = platform_flag, [image.platform for image in images]
    return f"has {len(images)} images; write {flag}, one of {', '.join(map(quote, values))}"


def read_file(path: str, limit: int, flag: str, names: ProgramNames) -> bytes:
    """Reads a regular file, at most one byte more than the limit, so that the caller can tell that a file exceeds it.

    Args:
      path: the file; "-" for standard input.
      limit: bytes.
      flag: the flag that names the file, for messages.
      names: the names of the program, for messages.

    Raises:
      InputError: standard input is a terminal, closed or empty.
      OSError: the file cannot be read.
    """
    if path == STANDARD_INPUT:
        data = open_standard_input(flag, f"cat FILE | {names.program} ... {flag} -").read(limit + 1)
        if not data:
            raise make_empty_error(flag)
        return data
    with open_regular(path) as file:
        return file.read(limit + 1)


def _read_images_from_standard_input(
    platform: str, names: ProgramNames, passed_over: list[image_documents.NonImage] | None, image_name: str
) -> list[image_reader.Image]:
    """Reads images as read_images() does, from a temporary copy of standard input, because they are read several times."""
    stream = open_standard_input("image", f"docker save app | {names.get} -")
    with progress.show_progress(f"{names.program}: standard input"), tempfile.TemporaryDirectory(prefix="getcap-") as directory:
        copy = os.path.join(directory, "image")
        progress.begin_step("copying", None)
        copy_standard_input(stream, copy)
        try:
            return image_reader.read_images(copy, platform, passed_over, name=image_name)
        except InputError as error:
            raise InputError(text.replace(quote(copy), quote(STANDARD_INPUT)) for text in error.problems) from None

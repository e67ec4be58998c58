"""Reads the images and files that the command line names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_setcap.diagnostics import progress
from rules_setcap.diagnostics.errors import escape
from rules_setcap.diagnostics.files import open_regular
from rules_setcap.getcap.image_names import reject_image_name
from rules_setcap.oci import image_reader

if TYPE_CHECKING:
    from rules_setcap.oci import image_documents


def read_images(path: str, platform: str, passed_over: list[image_documents.NonImage] | None = None) -> list[image_reader.Image]:
    """Reads the images at a path, and shows the progress on a terminal if that takes long.

    Args:
      path: a layout directory, an archive of an image, or a tar of files.
      platform: os/architecture[/variant]; "" for all.
      passed_over: a list to which signatures and other artifacts beside the images are added.

    Raises:
      InputError: the path has no valid image.
      OSError: a file cannot be read.
    """
    reject_image_name(path)
    with progress.show_progress(f"getcap: {escape(path)}"):
        return image_reader.read_images(path, platform, passed_over)


def read_file(path: str, limit: int) -> bytes:
    """Reads a regular file, at most one byte more than the limit, so that the caller can tell that a file exceeds it.

    Args:
      path: the file.
      limit: bytes.

    Raises:
      OSError: the file cannot be read.
    """
    with open_regular(path) as file:
        return file.read(limit + 1)

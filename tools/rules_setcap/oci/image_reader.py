"""Reads images, and the file capabilities in them.

An image is an OCI layout directory, an image archive, or any other tar, which is then taken for the only layer of an
image. Nothing is unpacked as a file system.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from typing import Any

from rules_setcap.archive.decompress import DecompressedStream, DecompressionError
from rules_setcap.archive.reader import Archive, ArchiveError
from rules_setcap.archive.budget import ReadBudget
from rules_setcap.diagnostics.errors import InputError, problem, quote
from rules_setcap.diagnostics.files import open_regular
from rules_setcap.oci import base, lower_layers, shapes
from rules_setcap.oci.image import Difference, File, Image, Layer
from rules_setcap.oci.layers import Layers

__all__ = ["Difference", "File", "Image", "Layer", "read"]


def read(path: str, platform: str = "", passed_over: list[base.Other] | None = None) -> list[Image]:
    """Returns the images at a path.

    Args:
      path: of a directory or a file.
      platform: os/architecture[/variant]; "" for all.
      passed_over: list to which signatures and other things are added that are beside the images.

    Raises:
      InputError: there is no image, or one is invalid.
      OSError: it cannot be read.
    """
    wanted = _platform(platform)
    if os.path.isdir(path):
        return _layout(path, path, wanted, ReadBudget(blobs=True), passed_over)
    made = Layers()
    try:
        with open_regular(path) as file:
            work = ReadBudget(os.fstat(file.fileno()).st_size)
            stream = _Hashed(file)
            archive = Archive(DecompressedStream(stream, work), work)
            watched = shapes.Watched(archive)
            made.layer(watched, "", os.fstat(file.fileno()).st_size)
            for _ in archive.rest():
                pass
            if not archive.ended:
                raise ArchiveError("ends without an end-of-archive marker: a part is missing, or it is no tar")
            made.layers[0] = Layer(stream.digest(), made.layers[0].capabilities)
    except (ArchiveError, DecompressionError) as error:
        raise InputError([problem("image", path, str(error))]) from None
    if watched.evidence:
        return _unpacked(path, wanted, watched.evidence, work, passed_over)
    if wanted:
        raise InputError([problem("platform", platform, f"{quote(path)} is a tar of files, which has no platform")])
    try:
        return [made.image("", {}, lambda: [_reopened(path)])]
    except (ArchiveError, DecompressionError) as error:
        raise InputError([problem("image", path, str(error))]) from None


@contextlib.contextmanager
def _reopened(path: str) -> Iterator[Archive]:
    """Opens a tar once more."""
    with open_regular(path) as file:
        work = ReadBudget(os.fstat(file.fileno()).st_size)
        yield Archive(DecompressedStream(file, work), work)


def _platform(text: str) -> dict[str, str] | None:
    if not text:
        return None
    words = text.split("/")
    if not 2 <= len(words) <= 3 or not all(words):
        raise InputError([problem("platform", text, 'no platform; write it as "linux/amd64" or "linux/arm/v7"')])
    return dict(zip(("os", "architecture", "variant"), [*words, ""]))


def _name(config: dict[str, Any]) -> str:
    return "/".join(word for word in (config.get(key) for key in ("os", "architecture", "variant")) if word)


def _unpacked(path: str, wanted: dict[str, str] | None, evidence: str, work: ReadBudget, passed_over: list[base.Other] | None) -> list[Image]:
    """Returns the images of an archive.

    Args:
      path: of the archive.
      wanted: the platform; None for all.
      evidence: why it is taken for an archive.
      work: an account of the archive's size, which pays for the layers in it.
      passed_over: as of read().
    """
    from rules_setcap.oci import archives

    with tempfile.TemporaryDirectory(prefix="getcap-") as directory:
        layout = os.path.join(directory, "layout")
        try:
            archives.write(layout, path, attribute="image")
        except InputError as error:
            raise InputError(f"{text}; taken for an image archive, because {evidence}" for text in error.problems) from None
        return _layout(layout, path, wanted, work, passed_over)


def _layout(layout: str, path: str, wanted: dict[str, str] | None, work: ReadBudget, passed_over: list[base.Other] | None) -> list[Image]:
    """Returns the images of a layout directory; `path` is what the user calls it."""
    try:
        found = base.read_images(layout, wanted)
        if passed_over is not None:
            passed_over += found.passed_over
        if not found.images:
            there = sorted({quote(_name(each.config)) for each in base.load_all(layout)})
            if not wanted or not there:
                raise InputError([problem("image", path, f"no image in it{base.others_text(found.passed_over)}")])
            raise InputError([problem("platform", _name(wanted), f"{quote(path)} has no image for it; it has {', '.join(there)}")])
        return [_image(layout, each, work) for each in found.images]
    except InputError as error:
        raise InputError(text.replace(quote(layout), quote(path)).replace("base: ", "image: ", 1) for text in error.problems) from None


def _image(layout: str, found: base.Base, work: ReadBudget) -> Image:
    """Returns an image with the capabilities in its layers."""
    made = Layers()
    blobs = lower_layers.of_image(layout, found)
    for blob in blobs:
        with lower_layers.entries(blob, work) as archive:
            made.layer(archive, blob.descriptor["digest"], blob.descriptor["size"])
    try:
        again = ReadBudget()
        return made.image(_name(found.config), found.config, lambda: (lower_layers.entries(blob, again) for blob in blobs))
    except ArchiveError as error:
        raise InputError([problem("base", layout, str(error))]) from None


class _Hashed:
    """A file that computes its digest while it is read."""

    def __init__(self, file: Any) -> None:
        self._file, self._hash = file, hashlib.sha256()

    def read(self, size: int) -> bytes:
        data: bytes = self._file.read(size)
        self._hash.update(data)
        return data

    def digest(self) -> str:
        """Reads the rest, and returns the digest of the file."""
        while self.read(1 << 20):
            pass
        return "sha256:" + self._hash.hexdigest()

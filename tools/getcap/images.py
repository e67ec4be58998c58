"""Images, and the file capabilities in them.

An OCI image layout directory, an archive of one, what `docker save` writes, or any other tar,
which is then taken for the only layer of an image. Nothing is unpacked as a file system.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from typing import Any

from packer import base, below
from packer.archive import Archive, ArchiveError
from packer.decompress import Decompressed, DecompressionError
from packer.errors import InputError, problem, quote
from packer.files import open_regular
from packer.work import Work

from .image import File, Image, Layer
from .layers import Layers

__all__ = ["File", "Image", "Layer", "read"]


def read(path: str, platform: str = "") -> list[Image]:
    """The images at a path.

    Args:
      path: of a directory or a file; see above.
      platform: os/architecture[/variant]; "" for all.

    Raises:
      InputError: there is none, or it is damaged.
      OSError: it cannot be read.
    """
    wanted = _platform(platform)
    if os.path.isdir(path):
        return _layout(path, path, wanted, Work(blobs=True))
    made = Layers()
    try:
        with open_regular(path) as file:
            work = Work(os.fstat(file.fileno()).st_size)
            stream = _Hashed(file)
            archive = Archive(Decompressed(stream, work), work)
            made.layer(archive, "")
            for _ in archive.rest():
                pass
            if not archive.ended:
                raise ArchiveError("ends without an end-of-archive marker: a part is missing, or it is no tar")
            made.layers[0] = Layer(stream.digest(), made.layers[0].capabilities)
    except (ArchiveError, DecompressionError) as error:
        raise InputError([problem("image", path, str(error))]) from None
    if made.is_image():
        return _unpacked(path, wanted, work)
    if wanted:
        raise InputError([problem("platform", platform, f"{quote(path)} is a tar of files, which has no platform")])
    return [made.image("", {})]


def _platform(text: str) -> dict[str, str] | None:
    if not text:
        return None
    words = text.split("/")
    if not 2 <= len(words) <= 3 or not all(words):
        raise InputError([problem("platform", text, 'no platform; write it as "linux/amd64" or "linux/arm/v7"')])
    return dict(zip(("os", "architecture", "variant"), [*words, ""]))


def _name(config: dict[str, Any]) -> str:
    return "/".join(word for word in (config.get(key) for key in ("os", "architecture", "variant")) if word)


def _unpacked(path: str, wanted: dict[str, str] | None, work: Work) -> list[Image]:
    """Reads the images of an archive; it is an account of the archive's size that pays for the layers in it."""
    from packer import unpack

    with tempfile.TemporaryDirectory(prefix="getcap-") as directory:
        layout = os.path.join(directory, "layout")
        unpack.write(layout, path, attribute="image")
        return _layout(layout, path, wanted, work)


def _layout(layout: str, path: str, wanted: dict[str, str] | None, work: Work) -> list[Image]:
    """Reads the images of a layout directory; `path` is what the user calls it."""
    try:
        found = base.load_all(layout, wanted)
        if not found:
            there = sorted({quote(_name(each.config)) for each in base.load_all(layout)})
            if not wanted or not there:
                raise InputError([problem("image", path, "no image in it")])
            raise InputError([problem("platform", _name(wanted), f"{quote(path)} has no image for it; it has {', '.join(there)}")])
        return [_image(layout, each, work) for each in found]
    except InputError as error:
        raise InputError(text.replace(quote(layout), quote(path)).replace("base: ", "image: ", 1) for text in error.problems) from None


def _image(layout: str, found: base.Base, work: Work) -> Image:
    made = Layers()
    for descriptor in found.manifest["layers"]:
        path = base.blob_path(layout, descriptor["digest"])
        if os.path.exists(path) and not (os.path.isfile(path) and os.path.getsize(path) == descriptor["size"]):
            raise InputError([problem("base", layout, f"{descriptor['digest']} is no file of {descriptor['size']} bytes")])
        with below.entries(below.Blob(path, descriptor, layout), work) as archive:
            made.layer(archive, descriptor["digest"])
    return made.image(_name(found.config), found.config)


class _Hashed:
    """A file, and the digest of what was read of it."""

    def __init__(self, file: Any) -> None:
        self._file, self._hash = file, hashlib.sha256()

    def read(self, size: int) -> bytes:
        data: bytes = self._file.read(size)
        self._hash.update(data)
        return data

    def digest(self) -> str:
        """Of all of it, once the rest is read."""
        while self.read(1 << 20):
            pass
        return "sha256:" + self._hash.hexdigest()

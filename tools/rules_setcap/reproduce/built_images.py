"""Compares the images of both builds as files."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any, cast

from rules_setcap.diagnostics.files import open_regular
from rules_setcap.oci.layout_reader import LayoutReader

if TYPE_CHECKING:
    from collections.abc import Iterator


def read_digest(path: str) -> str:
    """Returns the digest that names an image: that of its manifest or index; of an archive, that of the file.

    Args:
      path: the path of an OCI layout directory or of an archive.

    Raises:
      InputError: the layout is not valid.
      OSError: it cannot be read.
    """
    if not os.path.isdir(path):
        return "sha256:" + hash_file(path)
    digests = [descriptor["digest"] for descriptor in LayoutReader(path).list_top_descriptors()]
    return ", ".join(digests)


def hash_tree(path: str) -> dict[str, str]:
    """Returns the digests of all files of a directory by path; of a file, its own by the path "".

    Raises:
      OSError: a file cannot be read.
    """
    if not os.path.isdir(path):
        return {"": hash_file(path)}
    return dict(sorted((os.path.relpath(file, path), hash_file(file)) for file in _list_files(path)))


def hash_file(path: str) -> str:
    """Returns the SHA-256 of a file in hexadecimal."""
    with open_regular(path) as file:
        return hashlib.file_digest(cast("Any", file), "sha256").hexdigest()


def _list_files(path: str) -> Iterator[str]:
    for directory, _, names in os.walk(path, followlinks=True):
        for name in names:
            yield os.path.join(directory, name)

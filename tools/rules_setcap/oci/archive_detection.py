"""Tells image archives from layers and other tars of files.

An archive that an engine loads as an image must never be taken for a tar of files, because the capabilities in its layers
would not be found. So a tar is an archive if it has a file with the name and the form that an engine reads first:

- index.json: an object with `manifests` (containerd, podman, and Docker with the containerd image store); or, beside
  `blobs/`, a file that cannot be parsed.
- manifest.json: a list with an object that has `Config` or `Layers` (Docker, podman, containerd), or a list that cannot
  be parsed. The manifest of a web application is an object.
- oci-layout, or a member of an archive of Docker before 1.10.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from rules_setcap.archive.budget import ReadBudget
from rules_setcap.archive.decompress import DecompressedStream, DecompressionError
from rules_setcap.archive.entry import DIRECTORY, FILE
from rules_setcap.archive.reader import TarError, TarReader
from rules_setcap.archive.seeking import SeekingStream
from rules_setcap.diagnostics import limits, strict_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, BinaryIO

    from rules_setcap.archive.reader import Member

DOCKER_1_9_MEMBER = re.compile(r"/[0-9a-f]{64}/(json|layer\.tar)", re.ASCII)
"""The path of a member in an archive of Docker before 1.10."""
_ARCHIVE_MEMBER = re.compile(r"/[^/]*|/blobs/[^/]*|/blobs/sha256/[^/]*|/[0-9a-f]{64}/[^/]*", re.ASCII)
"""The paths that the members of image archives have."""

_SPACE = b" \t\r\n"


def find_archive_evidence(file: BinaryIO) -> str:
    """Finds out whether an uncompressed tar is an image archive, without reading its contents.

    The search ends at a member that image archives do not have, so that it takes little time for a tar of many files.

    Returns:
      Why the file is an image archive, as a clause. "" does not mean that it is none.
    """
    try:
        if DecompressedStream(file).codec != "none":
            return ""
        detector = ArchiveDetector(TarReader(SeekingStream(file), ReadBudget(os.fstat(file.fileno()).st_size)))
        for member in detector:
            if detector.evidence or not _ARCHIVE_MEMBER.fullmatch(member.path):
                break
    except (TarError, DecompressionError):
        return ""
    return detector.evidence


class ArchiveDetector:
    """Wraps a tar that is read as a layer, and finds out from its entries whether it is an image archive.

    Attributes:
      evidence: why it is an image archive, as a clause ("it has oci-layout"); "" if it is a tar of files. It is complete
        when all entries have been read.
    """

    def __init__(self, archive: TarReader) -> None:
        """Wraps a tar."""
        self._archive = archive
        self._unreadable_index = self._has_blobs = False
        self._evidence = ""

    @property
    def evidence(self) -> str:
        """Returns why it is an image archive; see the attributes of the class."""
        if not self._evidence and self._unreadable_index and self._has_blobs:
            return "it has index.json and blobs"
        return self._evidence

    def __iter__(self) -> Iterator[Member]:
        """Yields the entries, as TarReader does."""
        for member in self._archive:
            if member.path == "/blobs" or member.path.startswith("/blobs/"):
                self._has_blobs = True
            if member.type != DIRECTORY:
                self._examine(member)
            yield member

    def read_content(self) -> Iterator[bytes]:
        """Yields the rest of the entry's content, as TarReader does."""
        return self._archive.read_content()

    def _examine(self, member: Member) -> None:
        path = member.path
        if path == "/oci-layout":
            self._evidence = "it has oci-layout"
        elif DOCKER_1_9_MEMBER.fullmatch(path):
            self._evidence = f"it has {path[1:]}"
        elif path in ("/index.json", "/manifest.json") and member.type != FILE:
            # Some engines follow links.
            if path == "/manifest.json":
                self._evidence = "its manifest.json is a link"
            else:
                self._unreadable_index = True
        elif path == "/manifest.json":
            start, value = self._read_json(member)
            if start in (b"[", b""):
                if value is None:
                    self._evidence = "its manifest.json is a list that cannot be read"
                elif any(_has_key(item, "config", "layers") for item in value):
                    self._evidence = "its manifest.json names images"
        elif path == "/index.json":
            start, value = self._read_json(member)
            if value is None:
                self._unreadable_index = self._unreadable_index or start in (b"{", b"")
            elif _has_key(value, "manifests"):
                self._evidence = "its index.json has manifests"

    def _read_json(self, member: Member) -> tuple[bytes, Any]:
        """Reads a JSON file.

        Returns:
          The first character that is not white space, b"" if it is not found near the start of the file; and the value,
          None if the file cannot be parsed.
        """
        if member.sparse:
            return b"", None
        if member.size > limits.JSON:
            return next(self._archive.read_content(), b"").lstrip(_SPACE)[:1], None
        data = b"".join(self._archive.read_content())[: member.size]
        start = data.lstrip(_SPACE)[:1] or b"?"
        try:
            return start, strict_json.parse_document(data)
        except strict_json.DocumentError:
            return start, None


def _has_key(value: Any, *names: str) -> bool:
    """Returns whether an object has one of some keys; the case is ignored, because engines ignore it."""
    return isinstance(value, dict) and any(key.casefold() in names for key in value)

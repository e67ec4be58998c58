"""Reads the indexes, manifests and configs of an OCI image layout, and finds the images among them.

OCI image-spec, "OCI Image Layout Specification" and "OCI Image Index Specification".
"""

from __future__ import annotations

import os
from collections import namedtuple
from typing import TYPE_CHECKING

from rules_setcap.diagnostics import limits, strict_json
from rules_setcap.diagnostics.errors import InputError, format_problem, quote
from rules_setcap.diagnostics.files import open_regular
from rules_setcap.oci import artifacts, manifest_checks, media_types
from rules_setcap.oci.blobs import blob_path
from rules_setcap.oci.descriptors import compute_digest
from rules_setcap.oci.platforms import matches_platform

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

NonImage = namedtuple("NonImage", ("digest", "description"))
"""An entry of an index that is not an image. digest: str; description: str, what it is, as "an artifact of type ..."."""


class LayoutReader:
    """Reads an OCI image layout directory, once.

    Attributes:
      non_images: list of NonImage, the entries that find_images() skipped.
    """

    def __init__(self, layout: str) -> None:
        """Prepares the reading of a layout.

        Args:
          layout: the path of the directory.
        """
        self._layout = layout
        self._budget = strict_json.JsonBudget()
        self._images: list[tuple[Any, Any, Mapping[str, Any]]] = []
        self.non_images: list[NonImage] = []
        self._visited: set[tuple[str, str]] = set()  # Digest and media type of each entry.

    def list_top_descriptors(self) -> list[Mapping[str, Any]]:
        """Returns the descriptors of images and indexes in index.json."""
        return [entry for entry in self._read_index()["manifests"] if self._is_image_or_index(entry)]

    def list_manifests_by_entry(self) -> list[tuple[Mapping[str, Any], frozenset[str]]]:
        """Returns each image and index in index.json, with the digests of the manifests that it leads to.

        Raises:
          InputError: an index is not valid, or names too many manifests.
        """
        by_index: dict[str, frozenset[str]] = {}
        return [
            (entry, self._list_manifests(entry, by_index, 0))
            for entry in self._read_index()["manifests"]
            if entry["mediaType"] in (*media_types.MANIFESTS, *media_types.INDEXES)
        ]

    def _list_manifests(self, entry: Mapping[str, Any], by_index: dict[str, frozenset[str]], depth: int) -> frozenset[str]:
        """Returns the digests of the manifests that an entry leads to.

        Args:
          entry: a descriptor of a manifest or an index.
          by_index: the results for indexes by digest.
          depth: the number of indexes above it, without index.json.
        """
        digest = entry["digest"]
        if entry["mediaType"] in media_types.MANIFESTS:
            return frozenset([digest])
        if digest not in by_index:
            if depth > limits.INDEX_DEPTH:
                raise self._error(f"indexes within indexes, more than {limits.INDEX_DEPTH} deep (limit INDEX_DEPTH)")
            manifests: set[str] = set()
            for child in self._read_manifest(entry)["manifests"] if self._has_blob(entry) else ():
                if child["mediaType"] in (*media_types.MANIFESTS, *media_types.INDEXES):
                    manifests |= self._list_manifests(child, by_index, depth + 1)
            by_index[digest] = frozenset(manifests)
            if sum(map(len, by_index.values())) > 10 * limits.IMAGES:
                raise self._error(f"indexes that name more than {10 * limits.IMAGES} manifests together (limit IMAGES)")
        return by_index[digest]

    def find_images(self, platform: Mapping[str, str] | None, sparse: bool) -> list[tuple[Any, Any, Mapping[str, Any]]]:
        """Returns manifest, config and descriptor of the images for a platform.

        An image that has several names is returned once.

        Args:
          platform: the platform; None for any.
          sparse: skip the images that an index names and the layout lacks.
        """
        self._visit_index(self._read_index(), platform, sparse, 0)
        return self._images

    def _is_image_or_index(self, entry: Mapping[str, Any]) -> bool:
        """Returns whether an entry of index.json is an image or an index; a manifest that the layout lacks is taken for an image."""
        if entry["mediaType"] in media_types.INDEXES:
            return True
        if entry["mediaType"] in media_types.MANIFESTS:
            return not self._has_blob(entry) or not self._describe_artifact(self._read_manifest(entry))
        self._describe_unknown(entry)  # Raises InputError if an engine may take the entry for an image.
        return False

    def _visit_index(self, index: Any, platform: Mapping[str, str] | None, sparse: bool, depth: int) -> None:
        if depth > limits.INDEX_DEPTH:
            raise self._error(f"indexes within indexes, more than {limits.INDEX_DEPTH} deep (limit INDEX_DEPTH)")
        for entry in index["manifests"]:
            entry_platform = entry.get("platform")
            if platform is not None and isinstance(entry_platform, dict) and not matches_platform(entry_platform, platform):
                continue  # An index may name images that the layout lacks.
            # An entry that is skipped by one media type may be an image by another.
            key = entry["digest"], entry["mediaType"]
            if key in self._visited:
                continue
            self._visited.add(key)
            if sparse and depth and not self._has_blob(entry):
                continue
            if entry["mediaType"] in media_types.INDEXES:
                self._visit_index(self._read_manifest(entry), platform, sparse, depth + 1)
            elif entry["mediaType"] in media_types.MANIFESTS:
                self._visit_manifest(entry, platform)
            else:
                self.non_images.append(NonImage(entry["digest"], self._describe_unknown(entry)))

    def _visit_manifest(self, entry: Mapping[str, Any], platform: Mapping[str, str] | None) -> None:
        manifest = self._read_manifest(entry)
        if description := self._describe_artifact(manifest):
            self.non_images.append(NonImage(entry["digest"], description))
            return
        if len(self._images) == limits.IMAGES:
            raise self._error(f"more than {limits.IMAGES} images (limit IMAGES)")
        config = self._read_json(manifest["config"], strict_json.CONFIG)
        # Engines believe the platform in an index; the config counts only where the index names none.
        if platform is None or isinstance(entry.get("platform"), dict) or matches_platform(config, platform):
            self._images.append((manifest, config, entry))

    def _describe_artifact(self, manifest: Mapping[str, Any]) -> str:
        """Returns a description of a manifest that is not for an image; "" for an image."""
        try:
            return artifacts.describe_artifact(manifest, lambda: self._read_artifact_config(manifest), self._is_tar)
        except ValueError as error:
            raise self._error(str(error)) from None

    def _read_artifact_config(self, manifest: Mapping[str, Any]) -> Any:
        """Returns a config whose media type is not that of an image's config; None if it is not a JSON object."""
        data = self._read_bytes(manifest["config"])
        if not data.lstrip(b" \t\r\n").startswith(b"{"):
            return None
        return parse_layout_document(data, manifest["config"]["digest"], self._layout, strict_json.CONFIG, self._budget)

    def _is_tar(self, descriptor: Mapping[str, Any]) -> bool:
        """Returns whether a blob begins as a tar does, or as a compressed file that may be a tar."""
        # Few images need them, and an action that assembles an image starts once for each image.
        from rules_setcap.archive.decompress import DecompressedStream, DecompressionError
        from rules_setcap.archive.tar import BLOCK

        try:
            with open_regular(blob_path(self._layout, descriptor["digest"])) as file:
                block = DecompressedStream(file).read(BLOCK)
        except FileNotFoundError:
            return False
        except DecompressionError:
            return True
        except OSError as error:
            raise self._error(f"{descriptor['digest']} cannot be read: {error.strerror}") from None
        if block.startswith(b"BZh") or (len(block) == BLOCK and block[148] & 0x80):
            return True
        try:
            checksum = int(block[148:156].strip(b"\0 ") or b"-1", 8)
        except ValueError:
            return False
        summed = block[:148] + b" " * 8 + block[156:]
        return checksum in (sum(summed), sum(byte - 256 if byte > 127 else byte for byte in summed))

    def _describe_unknown(self, entry: Mapping[str, Any]) -> str:
        """Returns a description of an index entry with an unknown media type.

        Raises:
          InputError: an engine may take the entry for an image.
        """
        data = b""
        if entry["size"] <= limits.JSON and self._has_blob(entry):
            data = self._read_bytes(entry)
        document = None
        if data.lstrip(b" \t\r\n").startswith(b"{"):
            document = parse_layout_document(data, entry["digest"], self._layout, strict_json.MANIFEST, self._budget)
        if fault := artifacts.find_unknown_type_fault(entry["mediaType"], document):
            raise self._error(f"{entry['digest']} is {fault}")
        return f"something of media type {quote(entry['mediaType'])}, not an image"

    def _has_blob(self, descriptor: Mapping[str, Any]) -> bool:
        return os.path.exists(blob_path(self._layout, descriptor["digest"]))

    def _read_index(self) -> Any:
        """Returns the value of index.json."""
        data = read_layout_document(os.path.join(self._layout, "index.json"), self._layout)
        return self._check(
            parse_layout_document(data, "index.json", self._layout, strict_json.MANIFEST, self._budget), media_types.INDEX
        )

    def _read_manifest(self, descriptor: Mapping[str, Any]) -> Any:
        """Returns the manifest or index of a descriptor."""
        return self._check(self._read_json(descriptor, strict_json.MANIFEST), descriptor["mediaType"])

    def _check(self, manifest: Any, media_type: str) -> Any:
        """Returns a manifest or index; raises InputError if it is not valid."""
        if isinstance(manifest, dict) and media_type in media_types.MANIFESTS and manifest.get("layers") is None:
            manifest["layers"] = []  # Go reads null as an empty list, and writes an empty list as null.
        if fault := manifest_checks.find_manifest_fault(manifest, media_type):
            raise self._error(fault)
        return manifest

    def _read_json(self, descriptor: Mapping[str, Any], fields: Any) -> Any:
        """Returns the value of a JSON blob."""
        return parse_layout_document(
            self._read_bytes(descriptor), blob_path("", descriptor["digest"]), self._layout, fields, self._budget
        )

    def _read_bytes(self, descriptor: Mapping[str, Any]) -> bytes:
        """Returns the bytes of a JSON blob, verified against its descriptor."""
        if descriptor["size"] > limits.JSON:
            raise self._error(
                f"{descriptor['digest']} has {descriptor['size']} bytes; more than {limits.JSON} are not read (limit JSON)"
            )
        data = read_layout_document(blob_path(self._layout, descriptor["digest"]), self._layout)
        digest = compute_digest(data)
        if digest != descriptor["digest"] or len(data) != descriptor["size"]:
            what = f"has digest {digest} and {len(data)} bytes, and should have {descriptor['digest']} and {descriptor['size']}"
            raise self._error(f"{blob_path('', descriptor['digest'])} {what}")
        return data

    def _error(self, what: str) -> InputError:
        return InputError([format_problem("base", self._layout, what)])


def read_layout_document(path: str, layout: str) -> bytes:
    """Returns the bytes of a JSON file.

    Args:
      path: the path of the file.
      layout: the path of the layout that has it, for messages; the same path if the file is in no layout.

    Raises:
      InputError: the file cannot be read, or is too large.
    """
    name = os.path.relpath(path, layout) if path != layout else path
    try:
        with open_regular(path) as file:
            data = file.read(limits.JSON + 1)
    except OSError as error:
        hint = describe_layout_hint(layout) if name == "index.json" else ""
        raise InputError([format_problem("base", layout, f"{name} cannot be read: {error.strerror}{hint}")]) from None
    if len(data) > limits.JSON:
        raise InputError([format_problem("base", layout, f"{name} is larger than {limits.JSON} bytes (limit JSON)")])
    return data


def describe_layout_hint(directory: str) -> str:
    """Returns the end of a message about a directory that is not an OCI image layout: what to do."""
    if os.path.isfile(os.path.join(directory, "manifest.json")) and os.path.isfile(os.path.join(directory, "version")):
        return "; the directory is one of skopeo's dir:, which is not read; copy it with skopeo copy dir:... oci:..."
    return "; give an OCI layout directory"


def parse_layout_document(data: bytes, name: str, layout: str, fields: Any, budget: strict_json.JsonBudget | None = None) -> Any:
    """Returns the value of a JSON document.

    Args:
      data: the document.
      name: the name of the document, for messages.
      layout: the path of the layout, for messages.
      fields: the fields that it may have; see strict_json.parse_document().
      budget: counts the values of all documents of the layout.

    Raises:
      InputError: the document is not valid.
    """
    try:
        return strict_json.parse_document(data, fields, budget)
    except strict_json.DocumentError as error:
        raise InputError([format_problem("base", layout, f"{name} {error}")]) from None

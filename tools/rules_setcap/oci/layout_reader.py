"""Reads the manifests and configs of an OCI layout, and finds out which are of images.

OCI image-spec, "Image Layout" and "Image Index".
"""

from __future__ import annotations

import hashlib
import os
from collections import namedtuple

from rules_setcap.diagnostics import limits, strict_json
from rules_setcap.diagnostics.errors import InputError, problem, quote
from rules_setcap.diagnostics.files import open_regular
from rules_setcap.oci import manifests

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping

Other = namedtuple("Other", ("digest", "why"))
"""Something in an index that is not an image. digest: str; why: str, what it is."""


class Verified:
    """A blob that is read as a file and verified against its descriptor.

    Use it in a with statement; its end reads what is left, and raises InputError if digest or size differ.
    """

    def __init__(self, path: str, descriptor: Mapping[str, Any], layout: str) -> None:
        self._path, self._descriptor, self._layout = path, descriptor, layout
        self._hash = hashlib.sha256()
        self._size = 0

    def __enter__(self) -> Verified:
        try:
            self._file = open_regular(self._path)
        except OSError as error:
            what = f"{self._descriptor['digest']} cannot be read: {error.strerror}"
            if self._descriptor.get("urls"):
                what += "; the layer is at the URLs of its descriptor, and must be in the layout to be read"
            raise InputError([problem("base", self._layout, what)]) from None
        return self

    def read(self, size: int = -1) -> bytes:
        """Returns the next bytes."""
        data = self._file.read(size)
        self._hash.update(data)
        self._size += len(data)
        return data

    def __exit__(self, kind: object, *_rest: object) -> None:
        with self._file:
            if kind is not None:
                return
            while self.read(1 << 20):
                pass
        if (self._size, self._hash.hexdigest()) != (self._descriptor["size"], self._descriptor["digest"][len("sha256:") :]):
            what = f"has {self._size} bytes and digest sha256:{self._hash.hexdigest()}"
            raise InputError([problem("base", self._layout, f"{self._descriptor['digest']} {what}")])


def blob_path(layout: str, digest: str) -> str:
    """Returns the path of a blob in a layout; `digest` has been checked."""
    return os.path.join(layout, "blobs", "sha256", digest[len("sha256:") :])


class Reader:
    """An OCI layout directory that is read once.

    Attributes:
      passed_over: list of Other, what find() found beside the images.
    """

    def __init__(self, layout: str) -> None:
        self._path = layout
        self._budget = strict_json.JsonBudget()
        self._pairs: list[tuple[Any, Any]] = []
        self.passed_over: list[Other] = []
        self._seen: set[tuple[str, str]] = set()

    def top(self) -> list[Mapping[str, Any]]:
        """Returns the descriptors in index.json, but for those of other things than images."""
        kept = []
        for entry in self._index()["manifests"]:
            is_manifest = entry["mediaType"] in manifests.MANIFESTS
            if is_manifest and os.path.exists(blob_path(self._path, entry["digest"])):
                if not self._find_other(self._manifest(entry)):
                    kept.append(entry)
            elif is_manifest or entry["mediaType"] in manifests.INDEXES or not self._pass_over(entry):
                kept.append(entry)
        return kept

    def find(self, wanted: Mapping[str, str] | None, sparse: bool) -> list[tuple[Any, Any]]:
        """Returns manifest and config of the images for a platform, or for any, each once, however many names it has.

        Args:
          wanted: the platform; None for any.
          sparse: skip what an index names and the layout lacks.
        """
        self._add(self._index(), wanted, sparse, 0)
        return self._pairs

    def _add(self, index: Any, wanted: Mapping[str, str] | None, sparse: bool, depth: int) -> None:
        if depth > limits.INDEX_DEPTH:
            raise self._error(f"indexes within indexes, more than {limits.INDEX_DEPTH} deep (limit INDEX_DEPTH)")
        for entry in index["manifests"]:
            platform = entry.get("platform")
            if wanted is not None and isinstance(platform, dict) and not _matches(platform, wanted):
                continue  # An index may name images that the layout leaves out.
            # A media type is part of it: what is passed over by one may be an image by another.
            key = entry["digest"], entry["mediaType"]
            if key in self._seen:
                continue
            self._seen.add(key)
            if sparse and depth and not os.path.exists(blob_path(self._path, entry["digest"])):
                continue
            if entry["mediaType"] in manifests.INDEXES:
                self._add(self._manifest(entry), wanted, sparse, depth + 1)
            elif entry["mediaType"] in manifests.MANIFESTS:
                self._add_image(entry, wanted)
            elif other := self._pass_over(entry):
                self.passed_over.append(Other(entry["digest"], other))

    def _add_image(self, entry: Mapping[str, Any], wanted: Mapping[str, str] | None) -> None:
        manifest = self._manifest(entry)
        if other := self._find_other(manifest):
            self.passed_over.append(Other(entry["digest"], other))
            return
        if len(self._pairs) == limits.IMAGES:
            raise self._error(f"more than {limits.IMAGES} images (limit IMAGES)")
        config = self._blob(manifest["config"], strict_json.CONFIG)
        # Engines believe the index.
        if wanted is None or isinstance(entry.get("platform"), dict) or _matches(config, wanted):
            self._pairs.append((manifest, config))

    def _find_other(self, manifest: Mapping[str, Any]) -> str:
        try:
            return manifests.find_other(manifest, lambda: self._config_of_other(manifest), self._is_tar)
        except ValueError as error:
            raise self._error(str(error)) from None

    def _config_of_other(self, manifest: Mapping[str, Any]) -> Any:
        """Returns the config of a manifest whose config is not an image's by its media type; None if it is not an object."""
        data = self._bytes(manifest["config"])
        if not data.lstrip(b" \t\r\n").startswith(b"{"):
            return None
        return parse(data, manifest["config"]["digest"], self._path, strict_json.CONFIG, self._budget)

    def _is_tar(self, descriptor: Mapping[str, Any]) -> bool:
        """Returns whether a blob begins as a tar does, or as something that may be a compressed tar."""
        # Few images need them, and the packer starts once for each image.
        from rules_setcap.archive.decompress import DecompressedStream, DecompressionError
        from rules_setcap.archive.tar import BLOCK

        try:
            with open_regular(blob_path(self._path, descriptor["digest"])) as file:
                block = DecompressedStream(file).read(BLOCK)
        except FileNotFoundError:
            return False
        except DecompressionError:
            return True
        except OSError as error:
            raise self._error(f"{descriptor['digest']} cannot be read: {error.strerror}") from None
        if block.startswith(b"BZh") or len(block) == BLOCK and block[148] & 0x80:
            return True
        try:
            stated = int(block[148:156].strip(b"\0 ") or b"-1", 8)
        except ValueError:
            return False
        rest = block[:148] + b" " * 8 + block[156:]
        return stated in (sum(rest), sum(byte - 256 if byte > 127 else byte for byte in rest))

    def _pass_over(self, entry: Mapping[str, Any]) -> str:
        """Returns what something of unknown media type in an index is; raises InputError if an engine may take it for an image."""
        data = b""
        if entry["size"] <= limits.JSON and os.path.exists(blob_path(self._path, entry["digest"])):
            data = self._bytes(entry)
        document = None
        if data.lstrip(b" \t\r\n").startswith(b"{"):
            document = parse(data, entry["digest"], self._path, strict_json.MANIFEST, self._budget)
        if fault := manifests.find_unknown_fault(entry["mediaType"], document):
            raise self._error(f"{entry['digest']} is {fault}")
        return f"something of media type {quote(entry['mediaType'])}, not an image"

    def _index(self) -> Any:
        data = read_document(os.path.join(self._path, "index.json"), self._path)
        return self._checked(parse(data, "index.json", self._path, strict_json.MANIFEST, self._budget), manifests.INDEXES[0])

    def _manifest(self, descriptor: Mapping[str, Any]) -> Any:
        """Returns the manifest or index of a descriptor."""
        return self._checked(self._blob(descriptor, strict_json.MANIFEST), descriptor["mediaType"])

    def _checked(self, manifest: Any, media_type: str) -> Any:
        if isinstance(manifest, dict) and media_type in manifests.MANIFESTS and manifest.get("layers") is None:
            manifest["layers"] = []  # As Go reads null, and writes no layers.
        if fault := manifests.find_manifest_fault(manifest, media_type):
            raise self._error(fault)
        return manifest

    def _blob(self, descriptor: Mapping[str, Any], fields: Any) -> Any:
        """Returns the JSON value of a blob."""
        name = os.path.relpath(blob_path(self._path, descriptor["digest"]), self._path)
        return parse(self._bytes(descriptor), name, self._path, fields, self._budget)

    def _bytes(self, descriptor: Mapping[str, Any]) -> bytes:
        """Returns the bytes of a blob that is JSON, verified against its descriptor."""
        if descriptor["size"] > limits.JSON:
            raise self._error(f"{descriptor['digest']} has {descriptor['size']} bytes; more than {limits.JSON} are not read (limit JSON)")
        path = blob_path(self._path, descriptor["digest"])
        data = read_document(path, self._path)
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        if digest != descriptor["digest"] or len(data) != descriptor["size"]:
            what = f"has digest {digest} and {len(data)} bytes, and should have {descriptor['digest']} and {descriptor['size']}"
            raise self._error(f"{os.path.relpath(path, self._path)} {what}")
        return data

    def _error(self, what: str) -> InputError:
        return InputError([problem("base", self._path, what)])


def _matches(platform: Any, wanted: Mapping[str, str]) -> bool:
    """Returns whether an image is for the platform; a variant counts where both name one."""
    if not isinstance(platform, dict):
        return False
    variant = platform.get("variant")
    return (platform.get("os"), platform.get("architecture")) == (wanted["os"], wanted["architecture"]) and (
        not variant or not wanted["variant"] or variant == wanted["variant"]
    )


def read_document(path: str, layout: str) -> bytes:
    """Returns the bytes of a JSON file of a layout."""
    name = os.path.relpath(path, layout) if path != layout else path
    try:
        with open_regular(path) as file:
            data = file.read(limits.JSON + 1)
    except OSError as error:
        hint = layout_hint(layout) if name == "index.json" else ""
        raise InputError([problem("base", layout, f"{name} cannot be read: {error.strerror}{hint}")]) from None
    if len(data) > limits.JSON:
        raise InputError([problem("base", layout, f"{name} is larger than {limits.JSON} bytes (limit JSON)")])
    return data


def layout_hint(layout: str) -> str:
    """Returns what to do where a directory is not an OCI layout."""
    if os.path.isfile(os.path.join(layout, "manifest.json")) and os.path.isfile(os.path.join(layout, "version")):
        return "; the directory is one of skopeo's dir:, which is not read; copy it with skopeo copy dir:... oci:..."
    return "; give an OCI layout directory"


def parse(data: bytes, name: str, layout: str, fields: Any, budget: strict_json.JsonBudget | None = None) -> Any:
    """Returns the value of a JSON document; `name` is what messages call it."""
    try:
        return strict_json.parse_document(data, fields, budget)
    except strict_json.DocumentError as error:
        raise InputError([problem("base", layout, f"{name} {error}")]) from None

"""The layout with the changed images: its index.json, and where each of its blobs is."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import InputError, format_problem, quote
from rules_setcap.diagnostics.files import open_regular
from rules_setcap.imagecap.json_edits import edit_document
from rules_setcap.oci import media_types
from rules_setcap.oci.blobs import BLOBS, blob_path
from rules_setcap.oci.descriptors import compute_digest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from rules_setcap.imagecap.changed_images import ChangedImage
    from rules_setcap.imagecap.source_images import Source

_DIGEST = re.compile("[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ChangedLayout:
    """A layout with changed images.

    Attributes:
      index: the bytes of index.json.
      documents: the new manifests, configs and indexes by digest.
      new_blobs: the paths of new layers by digest.
      old_blobs: the paths of blobs of the source by digest.
      verified: the digests of old blobs that were verified when the images were read.
      notes: sentences for the user.
    """

    index: bytes
    documents: Mapping[str, bytes]
    new_blobs: Mapping[str, str]
    old_blobs: Mapping[str, str]
    verified: frozenset[str]
    notes: list[str]

    def list_digests(self) -> list[str]:
        """Returns the digests of all blobs, sorted."""
        return sorted({*self.documents, *self.new_blobs, *self.old_blobs})

    def without(self, digests: Collection[str]) -> ChangedLayout:
        """Returns the layout without some of its documents."""
        documents = {digest: data for digest, data in self.documents.items() if digest not in digests}
        old_blobs = {digest: path for digest, path in self.old_blobs.items() if digest not in digests}
        return replace(self, documents=documents, old_blobs=old_blobs)


def change_layout(source: Source, images: Sequence[ChangedImage]) -> ChangedLayout:
    """Returns the layout of a source with other images.

    Blobs that nothing names any more are left out: the documents and layers that were changed. All others stay.

    Args:
      source: the source.
      images: the changed images.

    Raises:
      InputError: an index of the layout is not valid.
      OSError: the layout cannot be read.
    """
    editor = _LayoutEditor(source.layout, images)
    with open_regular(os.path.join(source.layout, "index.json")) as file:
        index = editor.edit_index(file.read(), 0)
    directory = os.path.join(source.layout, BLOBS)
    names = sorted(filter(_DIGEST.fullmatch, os.listdir(directory)))
    old_blobs = {f"sha256:{name}": os.path.join(directory, name) for name in names}
    candidates = editor.replaced - set(editor.documents)
    for digest in candidates:
        old_blobs.pop(digest, None)
    new_blobs = {digest: path for image in images for digest, path in image.blobs.items() if digest not in old_blobs}
    needed = editor.list_needed(index, candidates)
    for digest in needed:
        old_blobs[digest] = blob_path(source.layout, digest)
    for digest in editor.documents:
        old_blobs.pop(digest, None)
    verified = frozenset(
        [blob.descriptor["digest"] for image in images for blob in image.plan.blobs]
        + [digest for image in images for digest in _list_documents(image)]
    )
    return ChangedLayout(index, editor.documents, new_blobs, old_blobs, verified, editor.find_references(index))


def _list_documents(image: ChangedImage) -> list[str]:
    """Returns the digests that the manifest and the config of an image had."""
    return [image.plan.image.descriptor["digest"], image.plan.image.manifest["config"]["digest"]]


class _LayoutEditor:
    """Writes the indexes of a layout again, with the digests of changed images.

    Attributes:
      documents: the new documents by digest.
      replaced: the digests of documents and layers that were changed.
    """

    def __init__(self, layout: str, images: Sequence[ChangedImage]) -> None:
        self._layout = layout
        self.documents: dict[str, bytes] = {}
        self.replaced: set[str] = set()
        self._indexes: dict[str, bytes | None] = {}  # By the digest of the old one, the new one; None if it does not change.
        self._manifests: dict[str, tuple[bytes, str]] = {}  # By the digest of the old one, the new one and its media type.
        for image in images:
            old = _list_documents(image)
            new = [compute_digest(image.manifest), compute_digest(image.config)]
            if old == new:
                continue
            self._manifests[old[0]] = image.manifest, image.media_type
            self.documents |= dict(zip(new, (image.manifest, image.config), strict=True))
            self.replaced.update(old)
            self.replaced.update(before for before, _ in image.layers if before)

    def edit_index(self, data: bytes, depth: int) -> bytes:
        """Returns an index with the digests of changed images.

        Args:
          data: the index.
          depth: the number of indexes above it.
        """
        values: dict[tuple[str | int, ...], Any] = {}
        removed: list[tuple[str | int, ...]] = []
        for position, entry in enumerate(json.loads(data)["manifests"]):
            new, media_type = self._replace_entry(entry, depth)
            if new is None:
                continue
            place = "manifests", position
            values |= {(*place, "digest"): compute_digest(new), (*place, "size"): len(new), (*place, "mediaType"): media_type}
            removed += [(*place, "data")] if entry.get("data") is not None else []
        return edit_document(data, values, removed)

    def _replace_entry(self, entry: Mapping[str, Any], depth: int) -> tuple[bytes | None, str]:
        """Returns the new document of an entry, None if it does not change, and its media type."""
        digest, media_type = entry["digest"], entry["mediaType"]
        if digest in self._manifests and media_type in media_types.MANIFESTS:
            return self._manifests[digest]
        if media_type not in media_types.INDEXES or depth > limits.INDEX_DEPTH:
            return None, media_type
        if digest not in self._indexes:
            data = self._read(digest)
            edited = self.edit_index(data, depth + 1) if data is not None else None
            self._indexes[digest] = None if edited == data else edited
            if edited is not None and edited != data:
                self.documents[compute_digest(edited)] = edited
                self.replaced.add(digest)
        return self._indexes[digest], media_type

    def list_needed(self, index: bytes, candidates: set[str]) -> set[str]:
        """Returns those of the candidates that the new index still names, for instance in an image that was not changed."""
        needed: set[str] = set()
        seen: set[str] = set()
        todo = [index]
        while todo and candidates - needed:
            for descriptor in _list_descriptors(json.loads(todo.pop())):
                digest = descriptor.get("digest")
                if not isinstance(digest, str) or digest in seen:
                    continue
                seen.add(digest)
                if digest in candidates:
                    needed.add(digest)
                if descriptor.get("mediaType") in (*media_types.MANIFESTS, *media_types.INDEXES):
                    data = self.documents.get(digest) or self._read(digest)
                    todo += [data] if data is not None else []
        return needed

    def find_references(self, index: bytes) -> list[str]:
        """Returns a sentence for each entry of an index that still names the digest of an image that was changed."""
        notes = []
        olds = {digest.removeprefix("sha256:"): digest for digest in self.replaced if digest not in self.documents}
        todo, seen = [index], set()
        while todo:
            for entry in json.loads(todo.pop()).get("manifests") or ():
                if entry["digest"] in seen:
                    continue
                seen.add(entry["digest"])
                data = self.documents.get(entry["digest"])
                if data is None and entry["mediaType"] in (*media_types.MANIFESTS, *media_types.INDEXES):
                    data = self._read(entry["digest"])
                text = json.dumps(entry) + (data or b"").decode("utf-8", "replace")
                found = next((olds[name] for name in _DIGEST.findall(text) if name in olds), None)
                if found is not None and entry["mediaType"] not in media_types.INDEXES:
                    notes.append(f"{entry['digest']} refers to {found}, whose digest has changed; sign or attest the new image")
                if data is not None and entry["mediaType"] in media_types.INDEXES:
                    todo.append(data)
        return notes

    def _read(self, digest: str) -> bytes | None:
        """Returns a document of the layout; None if the layout lacks it, or it is too large for one.

        Raises:
          InputError: it does not have its digest.
        """
        try:
            with open_regular(blob_path(self._layout, digest)) as file:
                data = file.read(limits.JSON + 1)
        except (OSError, ValueError):
            return None
        if len(data) > limits.JSON:
            return None
        if compute_digest(data) != digest:
            raise InputError([format_problem("base", self._layout, f"{quote(digest)} has digest {compute_digest(data)}")])
        return data


def _list_descriptors(document: Any) -> Iterator[Mapping[str, Any]]:
    """Yields the descriptors that a manifest or an index has."""
    if not isinstance(document, dict):
        return
    for key in ("manifests", "layers", "blobs"):
        values = document.get(key)
        yield from (value for value in values if isinstance(value, dict)) if isinstance(values, list) else ()
    for key in ("config", "subject"):
        if isinstance(document.get(key), dict):
            yield document[key]

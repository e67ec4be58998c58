"""Fetches images of a registry into OCI layouts, so that two versions of a base can be compared."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from rules_setcap.bases.registry_client import RegistryError
from rules_setcap.diagnostics import progress, strict_json
from rules_setcap.diagnostics.files import write_whole
from rules_setcap.oci import manifest_checks, media_types
from rules_setcap.oci.blobs import BLOBS, blob_path
from rules_setcap.oci.descriptors import encode_document
from rules_setcap.oci.index import build_index_document
from rules_setcap.oci.layout_writer import OCI_LAYOUT
from rules_setcap.oci.platforms import format_platform, matches_platform, split_platform

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rules_setcap.bases.registry_client import RegistryClient


class ImageStore:
    """A directory with blobs that several layouts share, so that a layer of two images is fetched once."""

    def __init__(self, directory: str, client: RegistryClient) -> None:
        """Prepares an empty store.

        Args:
          directory: an empty directory.
          client: the client for registries.
        """
        self._directory, self._client = directory, client
        self._blobs = os.path.join(directory, "blobs")
        os.mkdir(self._blobs)

    def fetch_image(self, image: str, digest: str, platforms: Sequence[str], *, insecure: bool) -> str:
        """Fetches an image, or the images of an index for some platforms.

        Args:
          image: the repository in the registry.
          digest: the digest of the image or the index.
          platforms: os/architecture[/variant] of the images of an index; empty for all.
          insecure: whether to allow plain HTTP.

        Returns:
          The path of an OCI layout directory.

        Raises:
          RegistryError: something has not been fetched, or is not valid.
          OSError: a file cannot be written.
        """
        layout = os.path.join(self._directory, digest.removeprefix("sha256:"))
        os.makedirs(os.path.join(layout, BLOBS), exist_ok=True)
        top = self._fetch_document(layout, image, digest, insecure=insecure)
        if _is_index(top):
            _check(digest, manifest_checks.find_manifest_fault(top, media_types.INDEX))
            entries = [entry for entry in top["manifests"] if _is_wanted(entry, platforms)]
            manifests = [self._fetch_document(layout, image, entry["digest"], insecure=insecure) for entry in entries]
        else:
            size = os.path.getsize(blob_path(layout, digest))
            entries = [{"mediaType": top.get("mediaType") or media_types.MANIFEST, "digest": digest, "size": size}]
            manifests = [top]
        for entry, manifest in zip(entries, manifests, strict=True):
            _check(entry["digest"], manifest_checks.find_manifest_fault(manifest, entry["mediaType"]))
            for blob in (manifest["config"], *manifest["layers"]):
                self._fetch_blob(layout, image, entry["digest"], blob, is_config=blob is manifest["config"], insecure=insecure)
        write_whole(os.path.join(layout, "oci-layout"), OCI_LAYOUT)
        write_whole(os.path.join(layout, "index.json"), encode_document(build_index_document(entries)))
        return layout

    def _fetch_document(self, layout: str, image: str, digest: str, *, insecure: bool) -> Any:
        """Fetches a manifest or an index into a layout, and returns its value."""
        data = self._client.fetch_manifest(f"{image}@{digest}", insecure=insecure, digest=digest)
        write_whole(blob_path(layout, digest), data)
        try:
            value = strict_json.parse_document(data, strict_json.MANIFEST)
        except strict_json.DocumentError as error:
            raise RegistryError(f"{digest} {error}") from None
        _check(digest, "" if isinstance(value, dict) else "its manifest is not a JSON object")
        return value

    def _fetch_blob(
        self, layout: str, image: str, manifest_digest: str, blob: Mapping[str, Any], *, is_config: bool, insecure: bool
    ) -> None:
        """Fetches a layer or a config, if the store does not have it, and links it into a layout."""
        digest = blob["digest"]
        stored, link = os.path.join(self._blobs, digest.removeprefix("sha256:")), blob_path(layout, digest)
        if not os.path.exists(stored):
            progress.begin_step(f"fetching {blob['size'] / 1e6:,.0f} MB of {image}", blob["size"])
            with open(stored + ".partial", "wb") as file:
                self._client.fetch_blob(
                    file, image, manifest_digest, digest, blob["size"], is_config=is_config, insecure=insecure
                )
            os.replace(stored + ".partial", stored)
        if not os.path.exists(link):
            os.link(stored, link)


def _is_index(document: Mapping[str, Any]) -> bool:
    """Returns whether a document is an index: its media type says so, or it has none and lists manifests."""
    media_type = document.get("mediaType")
    return media_type in media_types.INDEXES or (not media_type and "manifests" in document)


def _is_wanted(entry: Mapping[str, Any], platforms: Sequence[str]) -> bool:
    """Returns whether an entry of an index is an image for one of the platforms."""
    if entry["mediaType"] not in media_types.MANIFESTS:
        return False
    platform = entry.get("platform")
    if not platforms:
        return not isinstance(platform, dict) or not format_platform(platform).startswith("unknown/")
    return any(matches_platform(platform, split_platform(wanted)) for wanted in platforms)


def _check(digest: str, fault: str) -> None:
    if fault:
        raise RegistryError(f"{digest}: {fault}")

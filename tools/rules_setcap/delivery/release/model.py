"""The images of a release, and what becomes of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

PUSHED, TAGGED, UNCHANGED, FAILED = "pushed", "tagged", "unchanged", "failed"
"""The status of an image: its manifest was missing in the registry; only tags were; nothing was; it is not in the registry with its
tags, or nobody knows."""


@dataclass(frozen=True, slots=True)
class PlatformImage:
    """An image for one platform.

    Attributes:
      digest: the digest of its manifest.
      platform: os/architecture[/variant]; "" if it is not known.
      capabilities: the capabilities of its files by path, as cap_to_text(3) writes them; None if they are not known.
    """

    digest: str
    platform: str
    capabilities: Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class ReleaseImage:
    """An image, or an index with its images, and where it is pushed.

    Attributes:
      label: the target of image_push.
      image: the label of the image.
      repository: the registry and the path in it.
      tags: the tags; may be empty.
      descriptor: the descriptor of the manifest or index.
      documents: the bytes of all manifests, indexes and configs by digest.
      manifests: the descriptors of all manifests and indexes, those that an index names before it.
      platform_images: the images.
      blob_paths: by the digest of a layer that Bazel built or fetched, the execution path of its blob.
      layouts: the execution paths of OCI layout directories that have other layers.
      base_repositories: by the digest of a layer of a base in a registry, the repository that has it.
    """

    label: str
    image: str
    repository: str
    tags: Sequence[str]
    descriptor: Mapping[str, Any]
    documents: Mapping[str, bytes]
    manifests: Sequence[Mapping[str, Any]]
    platform_images: Sequence[PlatformImage]
    blob_paths: Mapping[str, str]
    layouts: Sequence[str]
    base_repositories: Mapping[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Returns the digest of the manifest or index."""
        return str(self.descriptor["digest"])

    @property
    def host(self) -> str:
        """Returns the host of the registry, with its port."""
        return self.repository.partition("/")[0]

    @property
    def reference(self) -> str:
        """Returns the name of the image by its digest."""
        return f"{self.repository}@{self.digest}"


@dataclass(slots=True)
class ImagePlan:
    """The outcome of an image: the parts that the registry lacks, and the status.

    Attributes:
      image: the image.
      moving_tags: by tag that does not name the image yet, the digest that it names; "" if the tag does not exist.
      missing_blobs: the sizes of the configs and layers that the registry lacks, by digest.
      is_read: whether somebody could ask the registry for manifests and tags. If not, everything counts as missing, and the client
        finds out.
      has_known_blobs: whether the registry could be asked for blobs. If not, all blobs of missing manifests count as missing.
      status: PUSHED, TAGGED, UNCHANGED or FAILED.
      error: why the image failed; "" if it did not.
      uploaded: the number of bytes that travelled.
      moved_tags: the tags that the registry has moved; those of them that are in moving_tags too are not confirmed.
    """

    image: ReleaseImage
    moving_tags: dict[str, str] = field(default_factory=dict)
    missing_blobs: dict[str, int] = field(default_factory=dict)
    is_read: bool = True
    has_known_blobs: bool = True
    status: str = UNCHANGED
    error: str = ""
    uploaded: int = 0
    moved_tags: list[str] = field(default_factory=list)

    def fail(self, error: str) -> None:
        """Records that the image failed."""
        self.status, self.error = FAILED, error


def list_blobs(manifest: Mapping[str, Any]) -> dict[str, int]:
    """Returns the size of the config and of each layer of a manifest by digest.

    Layers that may not be pushed to a registry, which have their own URLs, are left out.
    """
    layers = [layer for layer in manifest.get("layers", ()) if not is_foreign(layer["mediaType"])]
    return {blob["digest"]: blob["size"] for blob in [manifest["config"], *layers]}


def is_foreign(media_type: str) -> bool:
    """Returns whether a layer may not be pushed to a registry."""
    return "nondistributable" in media_type or ".foreign." in media_type

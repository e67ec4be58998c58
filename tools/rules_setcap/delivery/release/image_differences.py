"""Compares images of a release with those of an earlier one in the registry, as `image_diff` does."""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING

from rules_setcap.delivery.errors import DeliveryError
from rules_setcap.delivery.release.model import list_blobs
from rules_setcap.diagnostics.errors import InputError
from rules_setcap.diff.compare import compare_sources
from rules_setcap.diff.registry import pull_image
from rules_setcap.diff.report_text import format_report
from rules_setcap.diff.sources import open_source
from rules_setcap.oci import media_types
from rules_setcap.oci.blobs import blob_path
from rules_setcap.oci.layout_writer import write_layout

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rules_setcap.delivery.release.against import ImageChange
    from rules_setcap.delivery.release.local_blobs import LocalBlobs
    from rules_setcap.delivery.release.model import ReleaseImage


def fetch_blobs(changes: Sequence[ImageChange], blobs: LocalBlobs) -> None:
    """Has Bazel download the layers of images that are compared and are not on this machine.

    Raises:
      DeliveryError: they cannot be downloaded.
    """
    missing = {}
    for change in changes:
        if change.before and change.after:
            for digest, size in _list_layers(change.after).items():
                if not blobs.find(change.after, digest, size):
                    missing[digest] = change.after, size
    if missing:
        blobs.fetch(missing)


def format_difference(change: ImageChange, blobs: LocalBlobs, directory: str) -> Iterator[str]:
    """Yields the lines of the report of an image that both releases have.

    Args:
      change: the image.
      blobs: the blobs on this machine.
      directory: an empty directory.

    Raises:
      DeliveryError: one of the two images cannot be read.
    """
    before, after = change.before, change.after
    assert before and after
    layout, pulled = (os.path.join(directory, name) for name in ("built", "pulled"))
    os.mkdir(pulled)
    links = {blob_path(layout, digest): blobs.verify(after, digest, size) for digest, size in _list_layers(after).items()}
    write_layout(layout, links, after.documents, after.descriptor)
    name = f"{before.repository}@{before.digest}"
    try:
        with contextlib.ExitStack() as stack:
            old = open_source(name, pull_image(name, name, pulled), stack)
            new = open_source(after.label, layout, stack)
            yield from format_report(compare_sources(old, new))
    except InputError as error:
        raise DeliveryError("; ".join(error.problems)) from None


def _list_layers(image: ReleaseImage) -> dict[str, int]:
    """Returns the sizes of the layers of an image by digest."""
    layers: dict[str, int] = {}
    for manifest in image.manifests:
        if manifest["mediaType"] not in media_types.INDEXES:
            layers.update(list_blobs(json.loads(image.documents[manifest["digest"]])))
    return {digest: size for digest, size in layers.items() if digest not in image.documents}

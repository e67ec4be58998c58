"""Opens images that Bazel built, and of which an action has the single files.

A layout directory of links is an output of this machine only. An action that runs anywhere has the files themselves, and makes
the directory for as long as it runs.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rules_setcap.diagnostics import files
from rules_setcap.oci.blobs import map_fetched_blobs
from rules_setcap.oci.descriptors import compute_digest
from rules_setcap.oci.layout_writer import write_built_layout

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """The paths of the files of an image, or of an index with its images.

    Attributes:
      descriptor: the descriptor of the manifest or of the index.
      documents: the manifests and configs, and the index.
      metadata: the metadata of the layers that Bazel built.
      blobs: the blobs of the same layers, in the same order.
      base_blobs: the layers that actions have fetched; the names of the files are the hexadecimal digests.
      base_layouts: OCI layout directories that have the other layers.
    """

    descriptor: str
    documents: Sequence[str]
    metadata: Sequence[str] = ()
    blobs: Sequence[str] = ()
    base_blobs: Sequence[str] = ()
    base_layouts: Sequence[str] = ()


PARTS = ("document", "metadata", "blob", "base-blob", "base-layout")
"""The flags of the fields after `descriptor`, in the same order, as rules/private/input_images.bzl writes them after the name of an
image."""


@contextlib.contextmanager
def open_layout(image: BuiltImage) -> Iterator[str]:
    """Makes an OCI image layout directory of links to the files of an image.

    Yields:
      The path of the directory, which is removed at the end of the block.

    Raises:
      InputError: a layer is missing.
      OSError: a file cannot be read.
    """
    documents = map(files.read_file, image.documents)
    digests = [files.read_json(path)["descriptor"]["digest"] for path in image.metadata]
    with tempfile.TemporaryDirectory() as directory:
        layout = os.path.join(directory, "layout")
        write_built_layout(
            layout,
            documents={compute_digest(document): document for document in documents},
            descriptor=files.read_json(image.descriptor),
            blobs=dict(zip(digests, image.blobs, strict=True)) | map_fetched_blobs(image.base_blobs),
            base_layouts=image.base_layouts,
        )
        yield layout

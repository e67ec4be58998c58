"""The differences between two images, as the comparison finds them and the reports print them.

Text of this model is as the images have it. A report escapes it (diagnostics.errors.escape()).
"""

from __future__ import annotations

from dataclasses import dataclass, field

KINDS = {
    "config": "a field of the config",
    "manifest": "a field of the manifest",
    "index": "a field of the index, or a platform that only one of the two has",
    "layers": "a layer that only one of the two images has, or that is in another place",
    "compression": "the compression of a layer whose tar is the same",
    "order": "the order of the entries of a layer",
    "encoding": "other bytes with the same meaning: the format of headers, names of owners, access times, padding, JSON",
    "mtime": "the modification time of an entry",
    "owner": "the uid or gid of an entry",
    "mode": "the permissions of an entry, and its set-ID bits",
    "capabilities": "the file capabilities of an entry",
    "xattrs": "another extended attribute of an entry",
    "entries": "an entry that only one of the two layers has",
    "type": "the type of an entry",
    "link": "the target of a link",
    "device": "the numbers of a device",
    "content": "the content of a file",
}
"""The kinds of changes and their meanings, in the order of the reports."""


@dataclass(frozen=True, slots=True)
class ContentDifference:
    """How the contents of two files differ.

    Attributes:
      type: what the files are, such as "ELF program", "zip archive", "text" or "data".
      summary: the difference in one line.
      details: more lines, a bounded number.
      causes: probable causes, with what proves them, such as "timestamp in the header".
    """

    type: str
    summary: str
    details: tuple[str, ...] = ()
    causes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """One difference.

    Attributes:
      kind: a key of KINDS.
      path: the path of the entry in its layer; the path of a field of a document, such as "config.Env[0]"; "" for a whole layer.
      field: what differs of an entry, such as "uid", "mode", or the name of an extended attribute; "" if the kind tells it.
      before: the value in the first image, as text; None if it has none.
      after: the value in the second image, as text; None if it has none.
      details: more lines about the change.
      content: for the kind "content", how the contents differ; None if they were not looked at.
    """

    kind: str
    path: str
    field: str = ""
    before: str | None = None
    after: str | None = None
    details: tuple[str, ...] = ()
    content: ContentDifference | None = None


@dataclass(frozen=True, slots=True)
class LayerSide:
    """A layer of one of the two images.

    Attributes:
      number: its position in the image, from 1 for the lowest layer.
      digest: the digest of the blob.
      diff_id: the digest of the uncompressed tar.
      size: the size of the blob in bytes.
      compression: "gzip", "zstd", "xz", "bzip2", or "" if the blob is not compressed.
      created_by: the command that made it, from the history in the config; "" if it is not known.
    """

    number: int
    digest: str
    diff_id: str
    size: int
    compression: str = ""
    created_by: str = ""


@dataclass(frozen=True, slots=True)
class LayerDifference:
    """A layer that differs.

    Attributes:
      before: the layer of the first image; None if the second image has a layer more.
      after: the layer of the second image; None if the first image has a layer more.
      changes: the changes, sorted by the path and then by the kind.
      omitted: the number of further changes by kind, beyond the limit of changes that are kept.
    """

    before: LayerSide | None
    after: LayerSide | None
    changes: tuple[Change, ...]
    omitted: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CapabilityChange:
    """A file whose capabilities differ in the merged root filesystem, which is what a container sees.

    Attributes:
      path: the path of the file.
      before: the capabilities in the first image, as text; None without capabilities.
      after: the capabilities in the second image, as text; None without capabilities.
      in_before: whether the first image has the file.
      in_after: whether the second image has the file.
      layer: the digest of the layer of the second image that has the file; of the first image if only that has it.
    """

    path: str
    before: str | None
    after: str | None
    in_before: bool = True
    in_after: bool = True
    layer: str = ""


@dataclass(frozen=True, slots=True)
class ImageSide:
    """One of the two images that are compared, or one image of an index.

    Attributes:
      digest: the digest of the manifest; of the config for an archive of `docker save`, which has no manifest; of the file for a
        tar of files.
      layers: the number of its layers.
    """

    digest: str
    layers: int


@dataclass(frozen=True, slots=True)
class ImageDifference:
    """The difference between two images for one platform. Without changes, the two are the same.

    Attributes:
      platform: os/architecture[/variant]; "" for a tar of files.
      before: the first image.
      after: the second image.
      documents: the changes of the config and the manifest that do not follow from a layer.
      capabilities: the files whose capabilities differ in the merged root filesystem, sorted by path.
      layers: the layers that differ, the lowest first.
      notes: sentences about what is not a change, such as other media types with the same meaning.
    """

    platform: str
    before: ImageSide
    after: ImageSide
    documents: tuple[Change, ...] = ()
    capabilities: tuple[CapabilityChange, ...] = ()
    layers: tuple[LayerDifference, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Input:
    """One of the two arguments.

    Attributes:
      name: the path or the name, as the user wrote it.
      digest: the digest of the image, as in ImageSide, or of the index; "" for several images without an index.
      platforms: the platforms of the images that only this input has.
    """

    name: str
    digest: str
    platforms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference between two inputs.

    Attributes:
      before: the first input.
      after: the second input.
      index: the changes of the index, with a change for each platform that only one of the two has.
      images: the pairs of images that were compared, also those that are the same.
      ignored: the number of changes of each kind that the user ignores, in the order of KINDS.
      notes: sentences about what was not compared, or is not a change.
    """

    before: Input
    after: Input
    index: tuple[Change, ...] = ()
    images: tuple[ImageDifference, ...] = ()
    ignored: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def list_changes(self) -> list[Change]:
        """Returns all changes, in the order of the report."""
        changes = list(self.index)
        for image in self.images:
            changes += image.documents
            for layer in image.layers:
                changes += layer.changes
        return changes

    def list_kinds(self) -> list[str]:
        """Returns the kinds of the changes, in the order of KINDS. Changes of merged capabilities are capabilities too."""
        kinds = {change.kind for change in self.list_changes()}
        for image in self.images:
            for layer in image.layers:
                kinds.update(layer.omitted)
        if any(image.capabilities for image in self.images):
            kinds.add("capabilities")
        return [kind for kind in KINDS if kind in kinds]

    @property
    def is_same(self) -> bool:
        """Whether there is no change."""
        return not self.list_kinds()

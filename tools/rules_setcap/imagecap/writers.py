"""Writes a layout with changed images, as a directory or as an archive. The bytes of an archive do not depend on the host."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import os
import shutil
from typing import TYPE_CHECKING, Any, NamedTuple

from rules_setcap.archive import tar
from rules_setcap.diagnostics.errors import InputError, format_problem
from rules_setcap.diagnostics.files import open_regular
from rules_setcap.imagecap.json_edits import edit_document
from rules_setcap.oci.blobs import BLOBS, CHUNK, blob_path
from rules_setcap.oci.layout_writer import OCI_LAYOUT
from rules_setcap.oci.reference import expand_docker_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import IO

    from rules_setcap.imagecap.changed_layouts import ChangedLayout

    Write = Callable[[bytes], object]


class DockerImage(NamedTuple):
    """An image in the manifest.json of a Docker archive.

    Attributes:
      config: the digest of its config.
      layers: the digests of its layers.
      names: its names.
    """

    config: str
    layers: Sequence[str]
    names: Sequence[str]


def write_directory(path: str, layout: ChangedLayout, index: bytes, *, may_move: bool) -> None:
    """Writes an OCI layout directory.

    Args:
      path: the path of the new directory.
      layout: the layout.
      index: its index.json.
      may_move: whether the old blobs may be moved.

    Raises:
      InputError: a blob does not have its digest.
      OSError: a file cannot be read or written.
    """
    os.makedirs(os.path.join(path, BLOBS))
    for digest, old in layout.old_blobs.items():
        new = blob_path(path, digest)
        if may_move:
            os.replace(old, new)
            continue
        with open(new, "wb") as file:
            _copy_old_blob(digest, old, layout, file)
    for digest, new_blob in layout.new_blobs.items():
        os.replace(new_blob, blob_path(path, digest))
    for digest, data in layout.documents.items():
        _write_file(blob_path(path, digest), data)
    _write_file(os.path.join(path, "oci-layout"), OCI_LAYOUT)
    _write_file(os.path.join(path, "index.json"), index)


def write_archive(
    file: IO[bytes], layout: ChangedLayout, members: Mapping[str, str], documents: Mapping[str, bytes], codec: str
) -> None:
    """Writes an archive of an image.

    Args:
      file: the file that the archive is written to.
      layout: the layout.
      members: by digest, the paths of blobs that are not at their place in a layout.
      documents: the files beside its blobs: index.json and oci-layout, manifest.json, or all of them.
      codec: how the archive is compressed: "none", "gzip", "zstd", "xz" or "bzip2".

    Raises:
      InputError: a blob does not have its digest, or this Python cannot compress by the codec.
      OSError: a file cannot be read or written.
    """
    with _open_compressed(file, codec) as stream:
        digests = layout.list_digests()
        if not members.keys() >= set(digests):
            for directory in (b"blobs/", b"blobs/sha256/"):
                stream.write(tar.format_header(directory, tar.DIRECTORY, mode=0o755))
        for digest in digests:
            name = members.get(digest, blob_path("", digest)).encode()
            if digest in layout.documents:
                _write_member(stream, name, layout.documents[digest])
                continue
            path = layout.new_blobs.get(digest) or layout.old_blobs[digest]
            size = os.stat(path).st_size
            stream.write(tar.format_header(name, tar.REGULAR, mode=0o644, size=size))
            if digest in layout.new_blobs:
                with open_regular(path) as blob:
                    _copy_bytes(blob, stream)
            else:
                _copy_old_blob(digest, path, layout, stream)
            stream.write(bytes(-size % tar.BLOCK))
        for document, data in sorted(documents.items()):
            _write_member(stream, document.encode(), data)
        stream.write(tar.END)


def name_docker_members(images: Iterable[DockerImage]) -> dict[str, str]:
    """Returns the paths of configs and layers in an archive of Docker before 25, by digest.

    buildImage of nixpkgs finds the layers of a base by these paths.
    """
    names: dict[str, str] = {}
    for image in images:
        names[image.config] = f"{image.config.removeprefix('sha256:')}.json"
        names.update((layer, f"{layer.removeprefix('sha256:')}/layer.tar") for layer in image.layers)
    return names


def make_docker_manifest(images: Iterable[DockerImage], members: Mapping[str, str]) -> bytes:
    """Returns the manifest.json of `docker save`.

    Args:
      images: the images.
      members: by digest, the paths of blobs that are not at their place in a layout.
    """
    items = [
        {
            "Config": members.get(image.config, blob_path("", image.config)),
            "RepoTags": list(image.names) or None,
            "Layers": [members.get(layer, blob_path("", layer)) for layer in image.layers],
        }
        for image in images
    ]
    return json.dumps(items, separators=(",", ":")).encode()


def name_images(index: bytes, names_by_digest: Mapping[str, Sequence[str]]) -> bytes:
    """Returns an index in which the images have the names of a Docker archive, as annotations that engines read.

    Args:
      index: the index that was made for a Docker archive.
      names_by_digest: the names of images by the digest of the manifest.
    """
    document = json.loads(index)
    entries: list[dict[str, Any]] = []
    for entry in document["manifests"]:
        names = names_by_digest.get(entry["digest"]) or ()
        entries += [
            {
                **entry,
                "annotations": {
                    "io.containerd.image.name": expand_docker_name(name),
                    "org.opencontainers.image.ref.name": name.rpartition(":")[2],
                },
            }
            for name in names
        ] or [entry]
    return edit_document(index, {("manifests",): entries})


def _copy_old_blob(digest: str, path: str, layout: ChangedLayout, stream: Any) -> None:
    """Copies a blob of the source; verifies it if it has not been verified.

    Raises:
      InputError: it does not have its digest.
    """
    with open_regular(path) as blob:
        if digest in layout.verified:
            _copy_bytes(blob, stream)
            return
        hashed = hashlib.sha256()
        while data := blob.read(CHUNK):
            hashed.update(data)
            stream.write(data)
    if "sha256:" + hashed.hexdigest() != digest:
        raise InputError([format_problem("image", blob_path("", digest), f"has digest sha256:{hashed.hexdigest()}")])


def _copy_bytes(source: IO[bytes], target: Any) -> None:
    """Copies the bytes of a file, within the kernel where it can."""
    if isinstance(target, io.BufferedWriter):  # Others may compress, and have the number of the file below.
        target.flush()
        try:
            numbers = source.fileno(), target.fileno()
            while os.copy_file_range(*numbers, 1 << 30):
                pass
            target.seek(os.lseek(numbers[1], 0, os.SEEK_CUR))
            return
        except (AttributeError, OSError):
            pass  # There is no such call, or not for these files. Both are behind what has been copied.
    shutil.copyfileobj(source, target, CHUNK)


def _write_member(stream: Any, name: bytes, data: bytes) -> None:
    stream.write(tar.format_header(name, tar.REGULAR, mode=0o644, size=len(data)) + data + bytes(-len(data) % tar.BLOCK))


def _write_file(path: str, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)


@contextlib.contextmanager
def _open_compressed(file: IO[bytes], codec: str) -> Iterator[Any]:
    """Opens a stream that compresses what is written to it."""
    if codec == "none":
        yield file
    elif codec == "gzip":
        with gzip.GzipFile("", "wb", 6, file, 0) as gzip_stream:
            yield gzip_stream
    elif codec == "xz":
        import lzma

        with lzma.LZMAFile(file, "wb") as xz_stream:
            yield xz_stream
    elif codec == "bzip2":
        import bz2

        with bz2.BZ2File(file, "wb") as bzip2_stream:
            yield bzip2_stream
    else:
        try:
            from compression import zstd
        except ImportError:
            what = "is compressed by zstd, which Python writes since 3.14; write --format for an uncompressed archive"
            raise InputError([format_problem("output", "zstd", what)]) from None
        with zstd.ZstdFile(file, "wb") as zstd_stream:
            yield zstd_stream

"""Unpacks an image archive into an OCI image layout directory.

Two kinds of archive are read, plain or compressed:

- An OCI archive: an OCI layout as a tar, with index.json (OCI image-spec, "Image Layout").
- A Docker archive: the manifest.json of `docker save` (moby's image-spec v1.2), which names a config and layers. The names
  are free: `<id>.json` and `<id>/layer.tar` (Docker 1.10 to 24, podman, skopeo, Nix), `sha256:<digest>` and
  `<digest>.tar.gz` (crane, ko, kaniko, jib), `blobs/sha256/<digest>` (Docker since 25, BuildKit). Members may be links.

An archive with both must have the images of manifest.json in index.json: containerd reads index.json, and Docker with the
classic image store reads manifest.json. The bytes of layers stay as they are.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
import shutil
from collections import namedtuple

from rules_setcap.archive.decompress import DecompressedStream, DecompressionError
from rules_setcap.archive.entry import FILE, HARDLINK, SYMLINK
from rules_setcap.archive.reader import Archive, ArchiveError, normalize_name
from rules_setcap.archive.budget import ReadBudget
from rules_setcap.diagnostics import limits, strict_json
from rules_setcap.diagnostics.errors import InputError, problem, quote
from rules_setcap.diagnostics.files import open_regular, write_whole
from rules_setcap.oci import base, formats, layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator

    from rules_setcap.archive.reader import Member

_BLOB = re.compile(r"/blobs/sha256/([0-9a-f]{64})", re.ASCII)
_LEGACY = re.compile(r"/[0-9a-f]{64}/(json|layer\.tar)", re.ASCII)
_CODECS = {"none": "", "gzip": "+gzip", "zstd": "+zstd"}
_CAPABILITIES = (b"SCHILY.xattr.security.capability", b"LIBARCHIVE.xattr.security.capability")
_CHUNK = 1 << 20
_HINT = "give an OCI layout directory, an OCI archive, or an archive as docker save writes it"

_Image = namedtuple("_Image", ("config", "layers"))
"""An image that manifest.json names. config: bytes; layers: list of dict, their descriptors."""


def write(output: str, source: str, attribute: str = "base") -> None:
    """Writes the layout.

    Args:
      output: path of the directory; what is there is replaced.
      source: path of the archive.
      attribute: the attribute that names the archive, for messages.

    Raises:
      InputError: the file is not an image archive, or a member does not have the digest that the archive says.
      OSError: the archive cannot be read, or the layout cannot be written.
    """
    try:
        os.makedirs(os.path.join(output, "blobs", "sha256"), exist_ok=True)
        with open_regular(source) as file:
            _Unpacker(output, ReadBudget(os.fstat(file.fileno()).st_size)).run(Archive(DecompressedStream(file)))
    except (ArchiveError, DecompressionError) as error:
        shutil.rmtree(output, ignore_errors=True)
        raise InputError([problem(attribute, source, f"{error}; {_HINT}")]) from None
    except InputError as error:
        shutil.rmtree(output, ignore_errors=True)
        texts = [text.replace(problem("base", output, ""), problem(attribute, source, ""), 1) for text in error.problems]
        raise InputError(texts) from None
    except BaseException:
        shutil.rmtree(output, ignore_errors=True)
        raise


class _Unpacker:
    """Writes every file of an archive as a blob, and then the manifests and the index that make them a layout."""

    def __init__(self, output: str, work: ReadBudget) -> None:
        self._output, self._work = output, work
        self._layers: dict[str, tuple[str, str]] = {}  # Codec and diff_id of each layer, by digest.
        self._blobs: dict[str, dict[str, Any]] = {}  # Digest and size of each file, by path.
        self._links: dict[str, str] = {}
        self._kept: set[str] = set()  # Digests of the blobs that the layout has.
        self._budget = strict_json.JsonBudget()

    def run(self, archive: Archive) -> None:
        """Unpacks the archive.

        Raises:
          ArchiveError: it is not an image archive.
          InputError: its index.json is invalid.
        """
        names = 0
        for count, member in enumerate(archive):
            names += len(member.path) + len(member.link)
            if names > limits.ARCHIVE_NAMES:
                raise ArchiveError(f"names of more than {limits.ARCHIVE_NAMES} bytes together (limit ARCHIVE_NAMES)")
            if count == limits.ARCHIVE_FILES:
                raise ArchiveError(f"more than {limits.ARCHIVE_FILES} members (limit ARCHIVE_FILES)")
            if any(name in member.records for name in _CAPABILITIES):
                raise ArchiveError(f"{quote(member.path)} has file capabilities, and no member of an image archive has: it is a layer")
            self._add(member, archive.content())
        for _ in archive.rest():
            pass
        if not archive.ended:
            raise ArchiveError("ends without an end-of-archive marker: a part is missing")
        self._check_version()
        index, docker = self._document("/index.json", strict_json.MANIFEST), self._document("/manifest.json", strict_json.DOCKER)
        images = None if docker is None else self._docker_images(docker)
        if isinstance(index, dict) and index.get("manifests"):
            self._write("index.json", self._read("/index.json"))
            if images is not None:
                self._check_same(images)
        elif images:
            self._write_docker(images)
        elif index is not None or images is not None:
            raise ArchiveError(f"its {'index.json' if images is None else 'manifest.json'} names no image")
        elif any(map(_LEGACY.fullmatch, self._blobs)):
            raise ArchiveError("has no manifest.json: it is an archive of Docker before 1.10, which is not read; save the image again")
        else:
            raise ArchiveError("has neither index.json nor manifest.json")
        self._write("oci-layout", layout.VERSION)
        self._remove_others()

    def _add(self, member: Member, content: Iterator[bytes]) -> None:
        """Adds a member, whose path must be new, or a file with the same bytes."""
        link = ""
        if member.type == SYMLINK:
            link = posixpath.normpath(posixpath.join(posixpath.dirname(member.path), member.link))
        elif member.type == HARDLINK:
            link = member.link
        elif member.type != FILE:
            return
        before = self._links.get(member.path) or self._blobs.get(member.path)
        after: Any = link
        if link:
            self._links[member.path] = link
        else:
            if member.sparse:
                raise ArchiveError(f"{quote(member.path)} is a sparse file, which image archives do not have")
            after = self._blobs[member.path] = self._store(member, content)
        if before is not None and before != after:
            raise ArchiveError(f"has {quote(member.path)} twice")

    def _store(self, member: Member, content: Iterator[bytes]) -> dict[str, Any]:
        """Writes a file as a blob; returns its digest and size."""
        hashed = hashlib.sha256()
        left = member.size
        partial = os.path.join(self._output, "blobs", "sha256", "partial")
        with open(partial, "wb") as file:
            for piece in content:
                hashed.update(piece[:left])
                file.write(piece[:left])
                left -= min(left, len(piece))
        digest = "sha256:" + hashed.hexdigest()
        os.replace(partial, base.blob_path(self._output, digest))
        if blob := _BLOB.fullmatch(member.path):
            if "sha256:" + blob[1] != digest:
                raise ArchiveError(f"{quote(member.path)} has digest {digest}")
            self._kept.add(digest)
        return {"digest": digest, "size": member.size}

    def _check_version(self) -> None:
        value = self._document("/oci-layout", strict_json.LAYOUT)
        if value is None:
            return
        version = value.get("imageLayoutVersion") if isinstance(value, dict) else None
        if version != "1.0.0":
            what = "no imageLayoutVersion" if version is None else f"imageLayoutVersion {quote(version)}"
            raise ArchiveError(f"its oci-layout has {what}; only version 1.0.0 is read")

    def _check_same(self, images: list[_Image]) -> None:
        """Checks that index.json, which is written, has the images of manifest.json.

        Raises:
          ArchiveError: it lacks one.
          InputError: index.json is invalid.
        """
        named = [
            (image.manifest["config"]["digest"], [layer["digest"] for layer in image.manifest["layers"]])
            for image in base.load_all(self._output)
        ]
        for config, layers in images:
            digest = formats.descriptor(formats.CONFIG, config)["digest"]
            if (digest, [layer["digest"] for layer in layers]) not in named:
                what = f"the image with config {digest}, and index.json does not have it"
                raise ArchiveError(f"its manifest.json has {what}: engines differ in which of the two they read")

    def _docker_images(self, items: Any) -> list[_Image]:
        """Returns the images that manifest.json names."""
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise ArchiveError("its manifest.json is not a list of images")
        if len(items) > limits.IMAGES:
            raise ArchiveError(f"its manifest.json has more than {limits.IMAGES} images (limit IMAGES)")
        return [self._docker_image(item) for item in items]

    def _docker_image(self, item: dict[str, Any]) -> _Image:
        names = item.get("Layers")
        names = [] if names is None else names  # As Go writes no layers.
        if not isinstance(names, list) or not all(isinstance(name, str) for name in [item.get("Config"), *names]):
            raise ArchiveError("its manifest.json has an image without Config or Layers")
        path = self._follow(item["Config"])
        if path not in self._blobs:
            raise ArchiveError(f"has no config {quote(item['Config'])}")
        config = self._read(path)
        layers = []
        for name in names:
            blob = self._blobs.get(self._follow(name))
            if blob is None:
                raise ArchiveError(f"has no layer {quote(name)}")
            layers.append(blob)
        try:
            value = strict_json.parse_document(config, strict_json.CONFIG, self._budget)
        except strict_json.DocumentError as error:
            raise ArchiveError(f"its config {quote(item['Config'])} {error}") from None
        rootfs = value.get("rootfs") if isinstance(value, dict) else None
        diff_ids = (rootfs.get("diff_ids") or []) if isinstance(rootfs, dict) else None
        if not isinstance(diff_ids, list) or len(diff_ids) != len(layers):
            raise ArchiveError(f"its config {quote(item['Config'])} does not have the diff_ids of {len(layers)} layers")
        return _Image(config, [self._layer(blob, diff_id) for blob, diff_id in zip(layers, diff_ids)])

    def _layer(self, blob: dict[str, Any], diff_id: Any) -> dict[str, Any]:
        """Returns the descriptor of a layer, whose bytes must have its diff_id: the only digest that such an archive has."""
        if blob["digest"] not in self._layers:
            self._layers[blob["digest"]] = self._read_layer(blob["digest"])
        codec, digest = self._layers[blob["digest"]]
        if digest != diff_id:
            raise ArchiveError(f"a layer with digest {digest}, and its config has the diff_id {quote(diff_id)}")
        return {"mediaType": "application/vnd.oci.image.layer.v1.tar" + _CODECS[codec], **blob}

    def _read_layer(self, digest: str) -> tuple[str, str]:
        """Returns the codec and the diff_id of a layer."""
        hashed = hashlib.sha256()
        with open_regular(base.blob_path(self._output, digest)) as file:
            stream = DecompressedStream(file, self._work)
            if stream.codec not in _CODECS:
                what = f"a layer compressed by {stream.codec}, which containerd does not read in layers; compress it by gzip or zstd"
                raise ArchiveError(what)
            if stream.codec == "none":
                return "none", digest
            while data := stream.read(_CHUNK):
                hashed.update(data)
        return stream.codec, "sha256:" + hashed.hexdigest()

    def _write_docker(self, images: list[_Image]) -> None:
        """Writes OCI manifests and an index for the images that manifest.json names."""
        own: dict[str, dict[str, Any]] = {}
        for config, layers in images:
            manifest = formats.encode(formats.build_manifest(config, layers, {}))
            descriptor = formats.descriptor(formats.MANIFEST, manifest)
            for digest, data in ((formats.descriptor(formats.CONFIG, config)["digest"], config), (descriptor["digest"], manifest)):
                self._write(base.blob_path("", digest), data)
                self._kept.add(digest)
            self._kept.update(layer["digest"] for layer in layers)
            own[descriptor["digest"]] = descriptor
        index = {"schemaVersion": 2, "mediaType": formats.INDEX, "manifests": list(own.values())}
        self._write("index.json", formats.encode(index))

    def _remove_others(self) -> None:
        """Removes files of the archive that no layout has."""
        directory = os.path.join(self._output, "blobs", "sha256")
        for name in os.listdir(directory):
            if "sha256:" + name not in self._kept:
                os.unlink(os.path.join(directory, name))

    def _document(self, path: str, fields: Any) -> Any:
        """Returns the value of a JSON file; None if the archive does not have it."""
        path = self._follow(path)
        if path not in self._blobs:
            return None
        name = path[1:]
        try:
            value = strict_json.parse_document(self._read(path), fields, self._budget)
        except strict_json.DocumentError as error:
            raise ArchiveError(f"its {name} {error}") from None
        if value is None:
            raise ArchiveError(f"its {name} is null")
        return value

    def _read(self, path: str) -> bytes:
        """Returns the bytes of a file that is JSON."""
        blob = self._blobs[self._follow(path)]
        if blob["size"] > limits.JSON:
            raise ArchiveError(f"its {quote(path[1:])} has {blob['size']} bytes; more than {limits.JSON} are not read (limit JSON)")
        with open_regular(base.blob_path(self._output, blob["digest"])) as file:
            return file.read()

    def _follow(self, name: str) -> str:
        """Returns the path of what a name in the archive leads to."""
        try:
            path = normalize_name(name.encode("utf-8", "surrogateescape"))
            for _ in range(limits.LINKS):
                if path not in self._links:
                    return path
                path = normalize_name(self._links[path].encode("utf-8", "surrogateescape"))
        except UnicodeEncodeError:
            raise ArchiveError(f"{quote(name)} is not a valid name") from None
        raise ArchiveError(f"links that go round at {quote(name)}")

    def _write(self, name: str, data: bytes) -> None:
        write_whole(os.path.join(self._output, name), data)

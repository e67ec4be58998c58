"""Unpacks an image archive into an OCI image layout directory.

Two kinds of archive are read, plain or compressed:

- An OCI archive: an OCI image layout as a tar, with index.json (OCI image-spec, "OCI Image Layout Specification").
- A Docker archive: the manifest.json of `docker save` (moby's image-spec v1.2), which names a config and layers. It may use
  any names: `<id>.json` and `<id>/layer.tar` (Docker 1.10 to 24, podman, skopeo, Nix), `sha256:<digest>` and
  `<digest>.tar.gz` (crane, ko, kaniko, jib), `blobs/sha256/<digest>` (Docker since 25, BuildKit). Members may be links.

In an archive with both, index.json must have the images of manifest.json: containerd reads index.json, and Docker with the
classic image store reads manifest.json. apko writes an index.json whose blobs are not in blobs/; engines read manifest.json then.
The bytes of layers stay as they are.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
import shutil
from collections import namedtuple
from typing import TYPE_CHECKING, NamedTuple

from rules_setcap.archive.budget import ReadBudget
from rules_setcap.archive.decompress import DecompressedStream, DecompressionError
from rules_setcap.archive.entry import FILE, HARDLINK, SYMLINK
from rules_setcap.archive.reader import TarError, TarReader, normalize_name
from rules_setcap.archive.records import CAPABILITY_RECORD, CAPABILITY_TWIN
from rules_setcap.diagnostics import limits, strict_json
from rules_setcap.diagnostics.errors import InputError, format_problem, quote
from rules_setcap.diagnostics.files import open_regular, write_whole
from rules_setcap.oci import image_documents, manifest_checks, media_types
from rules_setcap.oci.archive_detection import DOCKER_1_9_MEMBER
from rules_setcap.oci.blobs import BLOBS, HashingReader, blob_path
from rules_setcap.oci.descriptors import compute_digest, describe_blob, encode_document
from rules_setcap.oci.index import build_index_document
from rules_setcap.oci.layout_writer import OCI_LAYOUT
from rules_setcap.oci.manifest import build_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from rules_setcap.archive.reader import Member

_BLOB_MEMBER = re.compile(r"/blobs/sha256/([0-9a-f]{64})", re.ASCII)
_CODEC_SUFFIXES = {"none": "", "gzip": "+gzip", "zstd": "+zstd"}
_HINT = "give an OCI layout directory, an OCI archive, or an archive as docker save writes it"

_LAYER_HINT = f"{_HINT}; to add the files of a tar to an image, write setcap(name = ..., tar = ...) and give that to layers"


class ImportedArchive(NamedTuple):
    """What an archive had.

    Attributes:
      has_manifests: whether the manifests of its images are in it; if not, they are made from its manifest.json.
      codec: how it is compressed, as DecompressedStream has it.
      docker_images: for each image of its manifest.json, the digest of the config and the names; None if there is no manifest.json.
      unverified: the digests of compressed layers of a Docker archive, and the diff_ids that the configs say.
    """

    has_manifests: bool
    codec: str
    docker_images: list[tuple[str, list[str]]] | None
    unverified: set[tuple[str, str]]

    def list_docker_names(self) -> dict[str, list[str]]:
        """Returns the names of the images of manifest.json by the digest of the config."""
        names: dict[str, list[str]] = {}
        for digest, more in self.docker_images or ():
            names.setdefault(digest, []).extend(more)
        return names


_DockerImage = namedtuple("_DockerImage", ("config", "layers", "names"))
"""An image that manifest.json names. config: bytes; layers: list of dict, the descriptors of its layers; names: list of str."""


def import_archive(output: str, source: str, attribute: str = "base", *, verify_later: bool = False) -> ImportedArchive:
    """Writes the layout of the images in an archive.

    Args:
      output: the path of the layout directory; what is there is replaced.
      source: the path of the archive.
      attribute: the attribute that names the archive, for messages.
      verify_later: whether the caller decompresses the layers anyway, and verifies their diff_ids then.

    Returns:
      What the archive had.

    Raises:
      InputError: the file is not an image archive, or a member does not have the digest that the archive says.
      OSError: the archive cannot be read, or the layout cannot be written.
    """
    try:
        os.makedirs(os.path.join(output, BLOBS), exist_ok=True)
        with open_regular(source) as file:
            importer = _ArchiveImporter(output, ReadBudget(os.fstat(file.fileno()).st_size), verify_later)
            stream = DecompressedStream(file)
            with stream.read_ahead() as ahead:
                has_manifests, images = importer.import_members(TarReader(ahead))
            docker_images = None if images is None else [(compute_digest(image.config), image.names) for image in images]
            return ImportedArchive(has_manifests, stream.codec, docker_images, importer.unverified)
    except (TarError, DecompressionError) as error:
        shutil.rmtree(output, ignore_errors=True)
        hint = _LAYER_HINT if isinstance(error, _NoImageError) else _HINT
        raise InputError([format_problem(attribute, source, f"{error}; {hint}")]) from None
    except InputError as error:
        shutil.rmtree(output, ignore_errors=True)
        texts = [
            text.replace(format_problem("base", output, ""), format_problem(attribute, source, ""), 1) for text in error.problems
        ]
        raise InputError(texts) from None
    except BaseException:
        shutil.rmtree(output, ignore_errors=True)
        raise


class _NoImageError(TarError):
    """The archive is a tar of files."""


class _ArchiveImporter:
    """Writes every file of an archive as a blob, and then the manifests and the index that make the blobs a layout.

    Attributes:
      unverified: as in ImportedArchive.
    """

    def __init__(self, output: str, read_budget: ReadBudget, verify_later: bool) -> None:
        self._output, self._read_budget, self._verify_later = output, read_budget, verify_later
        self.unverified: set[tuple[str, str]] = set()
        self._layers: dict[str, str] = {}  # By digest of a layer, its codec.
        self._files: dict[str, dict[str, Any]] = {}  # By path of a file, its digest and size.
        self._links: dict[str, str] = {}  # By path of a link, the path of its target.
        self._kept: set[str] = set()  # Digests of the blobs that the layout has.
        self._json_budget = strict_json.JsonBudget()

    def import_members(self, archive: TarReader) -> tuple[bool, list[_DockerImage] | None]:
        """Writes the layout; returns whether its manifests are in the archive, and the images of manifest.json, None without it.

        Raises:
          TarError: it is not an image archive.
          InputError: its index.json is not valid.
        """
        names = 0
        for count, member in enumerate(archive):
            names += len(member.path) + len(member.link)
            if names > limits.ARCHIVE_NAMES:
                raise TarError(f"names of more than {limits.ARCHIVE_NAMES} bytes together (limit ARCHIVE_NAMES)")
            if count == limits.ARCHIVE_FILES:
                raise TarError(f"more than {limits.ARCHIVE_FILES} members (limit ARCHIVE_FILES)")
            if CAPABILITY_RECORD in member.records or CAPABILITY_TWIN in member.records:
                raise TarError(
                    f"{quote(member.path)} has file capabilities, and no member of an image archive has: it is a layer"
                )
            self._add_member(member, archive.read_content())
        for _ in archive.read_rest():
            pass
        if not archive.ended:
            raise TarError("ends without an end-of-archive marker: a part is missing")
        self._check_version()
        index, docker = (
            self._parse_file("/index.json", strict_json.MANIFEST),
            self._parse_file("/manifest.json", strict_json.DOCKER),
        )
        images = None if docker is None else self._read_docker_images(docker)
        has_manifests = isinstance(index, dict) and bool(index.get("manifests")) and not (images and not self._has_layout())
        if has_manifests:
            self._write_file("index.json", self._read_file("/index.json"))
            if images is not None:
                self._check_same_images(images)
        elif images:
            self._write_docker_images(images)
        elif index is not None or images is not None:
            raise TarError(f"its {'index.json' if images is None else 'manifest.json'} names no image")
        elif any(map(DOCKER_1_9_MEMBER.fullmatch, self._files)):
            raise TarError(
                "has no manifest.json: it is an archive of Docker before 1.10, which is not read; save the image again"
            )
        else:
            error = TarError if "/oci-layout" in self._files else _NoImageError
            raise error("has neither index.json nor manifest.json")
        self._write_file("oci-layout", OCI_LAYOUT)
        self._remove_other_files()
        return has_manifests, images

    def _add_member(self, member: Member, content: Iterator[bytes]) -> None:
        """Adds a member. If its path is not new, it must be the same link, or a file with the same bytes."""
        link = ""
        if member.type == SYMLINK:
            link = posixpath.normpath(posixpath.join(posixpath.dirname(member.path), member.link))
        elif member.type == HARDLINK:
            link = member.link
        elif member.type != FILE:
            return
        before = self._links.get(member.path) or self._files.get(member.path)
        after: Any = link
        if link:
            self._links[member.path] = link
        else:
            if member.sparse:
                raise TarError(f"{quote(member.path)} is a sparse file, which image archives do not have")
            after = self._files[member.path] = self._store_file(member, content)
        if before is not None and before != after:
            raise TarError(f"has {quote(member.path)} twice")

    def _store_file(self, member: Member, content: Iterator[bytes]) -> dict[str, Any]:
        """Writes a file as a blob; returns its digest and size."""
        partial = os.path.join(self._output, BLOBS, "partial")
        digest = _write_content(partial, content, member.size)
        os.replace(partial, blob_path(self._output, digest))
        if match := _BLOB_MEMBER.fullmatch(member.path):
            if "sha256:" + match[1] != digest:
                raise TarError(f"{quote(member.path)} has digest {digest}")
            self._kept.add(digest)
        return {"digest": digest, "size": member.size}

    def _has_layout(self) -> bool:
        """Returns whether an engine can take the archive for an OCI image layout: it has oci-layout, or a blob in its place."""
        return "/oci-layout" in self._files or any(path.startswith("/blobs/") for path in (*self._files, *self._links))

    def _check_version(self) -> None:
        value = self._parse_file("/oci-layout", strict_json.LAYOUT)
        if value is None:
            return
        version = value.get("imageLayoutVersion") if isinstance(value, dict) else None
        if version != "1.0.0":
            what = "no imageLayoutVersion" if version is None else f"imageLayoutVersion {quote(version)}"
            raise TarError(f"its oci-layout has {what}; only version 1.0.0 is read")

    def _check_same_images(self, images: list[_DockerImage]) -> None:
        """Checks that index.json, which has been written, has the images of manifest.json.

        Raises:
          TarError: it lacks one.
          InputError: index.json is not valid.
        """
        index_images = [
            (image.manifest["config"]["digest"], [layer["digest"] for layer in image.manifest["layers"]])
            for image in image_documents.read_layout_images(self._output).images
        ]
        for config, layers, _ in images:
            digest = compute_digest(config)
            if (digest, [layer["digest"] for layer in layers]) not in index_images:
                what = f"the image with config {digest}, and index.json does not have it"
                raise TarError(f"its manifest.json has {what}: engines differ in which of the two they read")

    def _read_docker_images(self, items: Any) -> list[_DockerImage]:
        """Returns the images that manifest.json names."""
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise TarError("its manifest.json is not a list of images")
        if len(items) > limits.IMAGES:
            raise TarError(f"its manifest.json has more than {limits.IMAGES} images (limit IMAGES)")
        return [self._read_docker_image(item) for item in items]

    def _read_docker_image(self, item: dict[str, Any]) -> _DockerImage:
        names = item.get("Layers")
        names = [] if names is None else names  # Go writes an empty list as null.
        if not isinstance(names, list) or not all(isinstance(name, str) for name in [item.get("Config"), *names]):
            raise TarError("its manifest.json has an image without Config or Layers")
        config_path = self._follow_links(item["Config"])
        if config_path not in self._files:
            raise TarError(f"has no config {quote(item['Config'])}")
        config = self._read_file(config_path)
        blobs = []
        for name in names:
            blob = self._files.get(self._follow_links(name))
            if blob is None:
                raise TarError(f"has no layer {quote(name)}")
            blobs.append(blob)
        try:
            value = strict_json.parse_document(config, strict_json.CONFIG, self._json_budget)
        except strict_json.DocumentError as error:
            raise TarError(f"its config {quote(item['Config'])} {error}") from None
        rootfs = value.get("rootfs") if isinstance(value, dict) else None
        diff_ids = (rootfs.get("diff_ids") or []) if isinstance(rootfs, dict) else None
        if not isinstance(diff_ids, list) or len(diff_ids) != len(blobs):
            raise TarError(f"its config {quote(item['Config'])} does not have the diff_ids of {len(blobs)} layers")
        layers = [self._describe_layer(blob, diff_id) for blob, diff_id in zip(blobs, diff_ids, strict=True)]
        tags = item.get("RepoTags") or []
        return _DockerImage(config, layers, [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else [])

    def _describe_layer(self, blob: dict[str, Any], diff_id: Any) -> dict[str, Any]:
        """Returns the descriptor of a layer.

        The layer must have the diff_id, which is the only digest of a layer in a Docker archive.
        """
        if not manifest_checks.is_digest(diff_id):
            raise TarError(f"a layer with digest {blob['digest']}, and its diff_id in the image's config is {quote(diff_id)}")
        if blob["digest"] not in self._layers:
            with open_regular(blob_path(self._output, blob["digest"])) as file:
                codec = DecompressedStream(file, self._read_budget).codec
            if codec not in _CODEC_SUFFIXES:
                what = f"a layer compressed by {codec}, which containerd does not read in layers; compress it by gzip or zstd"
                raise TarError(what)
            self._layers[blob["digest"]] = codec
        codec = self._layers[blob["digest"]]
        if codec == "none" and blob["digest"] != diff_id:
            raise TarError(f"a layer with digest {blob['digest']}, and its diff_id in the image's config is {quote(diff_id)}")
        if codec != "none" and (blob["digest"], diff_id) not in self.unverified:
            self.unverified.add((blob["digest"], diff_id))
            if not self._verify_later:
                verify_diff_id(self._output, blob["digest"], diff_id, self._read_budget)
        return {"mediaType": media_types.LAYER + _CODEC_SUFFIXES[codec], **blob}

    def _write_docker_images(self, images: list[_DockerImage]) -> None:
        """Writes OCI manifests and an index for the images that manifest.json names."""
        descriptors: dict[str, dict[str, Any]] = {}
        for config, layers, _ in images:
            manifest = encode_document(build_manifest(config, layers, {}))
            descriptor = describe_blob(media_types.MANIFEST, manifest)
            for digest, data in ((compute_digest(config), config), (descriptor["digest"], manifest)):
                self._write_file(blob_path("", digest), data)
                self._kept.add(digest)
            self._kept.update(layer["digest"] for layer in layers)
            descriptors[descriptor["digest"]] = descriptor
        self._write_file("index.json", encode_document(build_index_document(descriptors.values())))

    def _remove_other_files(self) -> None:
        """Removes the files of the archive that are not blobs of the layout."""
        directory = os.path.join(self._output, BLOBS)
        for name in os.listdir(directory):
            if "sha256:" + name not in self._kept:
                os.unlink(os.path.join(directory, name))

    def _parse_file(self, path: str, fields: Any) -> Any:
        """Returns the value of a JSON file; None if the archive does not have it."""
        path = self._follow_links(path)
        if path not in self._files:
            return None
        name = path[1:]
        try:
            value = strict_json.parse_document(self._read_file(path), fields, self._json_budget)
        except strict_json.DocumentError as error:
            raise TarError(f"its {name} {error}") from None
        if value is None:
            raise TarError(f"its {name} is null")
        return value

    def _read_file(self, path: str) -> bytes:
        """Returns the bytes of a file of the archive that is JSON."""
        blob = self._files[self._follow_links(path)]
        if blob["size"] > limits.JSON:
            raise TarError(f"its {quote(path[1:])} has {blob['size']} bytes; more than {limits.JSON} are not read (limit JSON)")
        with open_regular(blob_path(self._output, blob["digest"])) as file:
            return file.read()

    def _follow_links(self, name: str) -> str:
        """Returns the path to which a name in the archive leads."""
        try:
            path = normalize_name(name.encode("utf-8", "surrogateescape"))
            for _ in range(limits.LINKS):
                if path not in self._links:
                    return path
                path = normalize_name(self._links[path].encode("utf-8", "surrogateescape"))
        except UnicodeEncodeError:
            raise TarError(f"{quote(name)} is not a valid name") from None
        raise TarError(f"links that go round at {quote(name)}")

    def _write_file(self, name: str, data: bytes) -> None:
        write_whole(os.path.join(self._output, name), data)


def verify_diff_id(layout: str, digest: str, diff_id: str, budget: ReadBudget) -> None:
    """Verifies that a compressed layer unpacks to a diff_id.

    Args:
      layout: the path of the layout that has the layer.
      digest: the digest of the layer.
      diff_id: the expected digest of its tar.
      budget: counts what is read.

    Raises:
      TarError: it has another diff_id.
      DecompressionError: it is damaged.
    """
    with open_regular(blob_path(layout, digest)) as file:
        actual, _ = HashingReader(DecompressedStream(file, budget)).read_rest()
    if actual != diff_id:
        raise TarError(f"a layer with digest {actual}, and its diff_id in the image's config is {quote(diff_id)}")


def _write_content(path: str, content: Iterator[bytes], size: int) -> str:
    """Writes the first `size` bytes of a member's content to a file; returns their digest."""
    hashed = hashlib.sha256()
    with open(path, "wb") as file:
        for piece in content:
            hashed.update(piece[:size])
            file.write(piece[:size])
            size -= min(size, len(piece))
    return "sha256:" + hashed.hexdigest()

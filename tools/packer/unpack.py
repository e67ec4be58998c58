"""An image in one file as an OCI image layout directory.

Two kinds of file are read, plain or compressed: an OCI archive, which is a layout as a tar
(skopeo, podman, `docker save` since Docker 25), and what `docker save` wrote before
(manifest.json, and for each layer a tar). The layers' bytes stay as they are.
"""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
import re
import shutil

from . import layout, limits, oci
from .archive import Archive, ArchiveError, plain
from .decompress import Decompressed, DecompressionError
from .entries import FILE, HARDLINK, SYMLINK
from .errors import InputError, problem, quote
from .files import write_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator

    from .archive import Member

_BLOB = re.compile(r"/blobs/sha256/([0-9a-f]{64})", re.ASCII)
_LAYER = re.compile(r".*(/layer|\.tar|\.tar\.gz|/layer\.tar)", re.ASCII | re.DOTALL)
_CODECS = {"none": "", "gzip": "+gzip", "zstd": "+zstd"}


def write(output: str, source: str, attribute: str = "base") -> None:
    """Writes the layout.

    Args:
      output: path of the directory; what is there is replaced.
      source: path of the archive.
      attribute: the attribute that names the archive, for messages.

    Raises:
      InputError: it holds no image, or not the bytes that its names say.
      OSError: it cannot be read, or the layout written.
    """
    try:
        os.makedirs(os.path.join(output, "blobs", "sha256"), exist_ok=True)
        with open(source, "rb") as file:
            _Unpacker(output, source).run(Archive(Decompressed(file)))
    except (ArchiveError, DecompressionError) as error:
        shutil.rmtree(output, ignore_errors=True)
        what = f"{error}; give an OCI layout directory, an OCI archive or what docker save writes"
        raise InputError([problem(attribute, source, what)]) from None
    except BaseException:
        shutil.rmtree(output, ignore_errors=True)
        raise


class _Unpacker:
    def __init__(self, output: str, source: str) -> None:
        self._output, self._source = output, source
        self._texts: dict[str, bytes] = {}  # Files that may be JSON, by path.
        self._blobs: dict[str, dict[str, Any]] = {}  # Digest and size of the others that are kept, by path.
        self._links: dict[str, str] = {}

    def run(self, archive: Archive) -> None:
        """Reads it all, once, and then writes what says which bytes are what."""
        for count, member in enumerate(archive):
            if count == limits.ARCHIVE_FILES:
                raise ArchiveError(f"more than {limits.ARCHIVE_FILES} files, which is no image")
            if member.path in self._texts or member.path in self._blobs:
                raise ArchiveError(f"has {quote(member.path)} twice")
            if member.type == SYMLINK:
                self._links[member.path] = posixpath.join(posixpath.dirname(member.path), member.link)
            elif member.type == HARDLINK:
                self._links[member.path] = member.link
            elif member.type == FILE:
                self._file(member, archive.content())
        if not archive.ended:
            raise ArchiveError("ends without an end-of-archive marker: a part is missing")
        if "/index.json" in self._texts:
            write_whole(os.path.join(self._output, "index.json"), self._texts["/index.json"])
        elif "/manifest.json" in self._texts:
            self._docker()
        else:
            raise ArchiveError("has neither index.json nor manifest.json")
        write_whole(os.path.join(self._output, "oci-layout"), layout.VERSION)

    def _file(self, member: Member, content: Iterator[bytes]) -> None:
        blob = _BLOB.fullmatch(member.path)
        if not blob and not _LAYER.fullmatch(member.path):
            if member.path.endswith(".json"):
                if member.size > limits.JSON:
                    raise ArchiveError(f"{quote(member.path)} is larger than {limits.JSON} bytes")
                self._texts[member.path] = b"".join(content)[: member.size]
            return
        found = hashlib.sha256()
        left = member.size
        partial = os.path.join(self._output, "blobs", "sha256", "partial")
        with open(partial, "wb") as file:
            for piece in content:
                found.update(piece[:left])
                file.write(piece[:left])
                left -= min(left, len(piece))
        digest = found.hexdigest()
        if blob and blob[1] != digest:
            raise ArchiveError(f"{quote(member.path)} has digest sha256:{digest}")
        os.replace(partial, os.path.join(self._output, "blobs", "sha256", digest))
        self._blobs[member.path] = {"digest": f"sha256:{digest}", "size": member.size}

    def _docker(self) -> None:
        """What docker save wrote before Docker 25, with an OCI manifest in place of its own."""
        images = _json(self._texts["/manifest.json"], "manifest.json")
        if not isinstance(images, list) or len(images) != 1 or not isinstance(images[0], dict):
            count = len(images) if isinstance(images, list) else 0
            raise ArchiveError(f"its manifest.json has {count} images, not one")
        names = images[0].get("Layers")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in [images[0].get("Config"), *names]):
            raise ArchiveError("its manifest.json has no Config and Layers")
        config = self._text(images[0]["Config"])
        layers = []
        for name in names:
            path = self._follow(name)
            if path not in self._blobs:
                raise ArchiveError(f"has no layer {quote(name)}")
            blob = self._blobs[path]
            layers.append({"mediaType": self._media_type(blob["digest"]), **blob})
        self._check(config, layers)
        manifest = oci.encode(oci.build_manifest(config, layers, {}))
        own = oci.descriptor(oci.MANIFEST, manifest)
        for digest, data in ((oci.descriptor(oci.CONFIG, config)["digest"], config), (own["digest"], manifest)):
            write_whole(os.path.join(self._output, "blobs", "sha256", digest[len("sha256:") :]), data)
        index = {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": [own]}
        write_whole(os.path.join(self._output, "index.json"), oci.encode(index))

    def _text(self, name: str) -> bytes:
        """A JSON file by its name, or by a blob's."""
        path = self._follow(name)
        if path in self._texts:
            return self._texts[path]
        blob = self._blobs.get(path)
        if blob is None or blob["size"] > limits.JSON:
            raise ArchiveError(f"has no config {quote(name)}")
        with open(os.path.join(self._output, "blobs", "sha256", blob["digest"][len("sha256:") :]), "rb") as file:
            return file.read()

    def _follow(self, name: str) -> str:
        path = plain(name.encode("utf-8", "surrogateescape"))
        for _ in range(limits.LINKS):
            if path not in self._links:
                return path
            path = plain(posixpath.normpath(self._links[path]).encode("utf-8", "surrogateescape"))
        raise ArchiveError(f"links that go round at {quote(name)}")

    def _media_type(self, digest: str) -> str:
        with open(os.path.join(self._output, "blobs", "sha256", digest[len("sha256:") :]), "rb") as file:
            codec = Decompressed(file).codec
        if codec not in _CODECS:
            raise ArchiveError(f"a layer compressed by {codec}, which images do not have")
        return "application/vnd.oci.image.layer.v1.tar" + _CODECS[codec]

    def _check(self, config: bytes, layers: list[dict[str, Any]]) -> None:
        """The config says which bytes each tar has: the only digests that such an archive holds."""
        known = _json(config, "config")
        rootfs = known.get("rootfs") if isinstance(known, dict) else None
        diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
        if not isinstance(diff_ids, list) or len(diff_ids) != len(layers):
            raise ArchiveError(f"its config does not have the diff_ids of {len(layers)} layers")
        for diff_id, layer in zip(diff_ids, layers):
            if layer["mediaType"].endswith(".tar") and layer["digest"] != diff_id:
                raise ArchiveError(f"a layer with digest {layer['digest']}, which is to be {quote(diff_id)}")


def _json(data: bytes, name: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise ArchiveError(f"its {name} is not JSON") from None

"""The image below: an OCI image layout directory, believed only as far as its digests go.

OCI image-spec, "Image Layout". No layer is read here.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import namedtuple

from . import limits, oci
from .errors import InputError, problem, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping

Base = namedtuple("Base", ("manifest", "config"))
"""Manifest and config of the image below, as dicts."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
_INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
MANIFESTS = (oci.MANIFEST, "application/vnd.docker.distribution.manifest.v2+json")

# Docker's media types say the same in other words; a manifest has all of one kind.
_LAYERS = {
    "application/vnd.docker.image.rootfs.diff.tar": "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd": "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
}
_OCI_LAYER = re.compile(r"application/vnd\.oci\.image\.layer\.(nondistributable\.)?v1\.tar(\+gzip|\+zstd)?", re.ASCII)


class Verified:
    """A blob that is read as a file, and found to be what its descriptor says when all of it is read.

    Use it in a with statement; its end reads what is left.
    """

    def __init__(self, path: str, descriptor: Mapping[str, Any], layout: str) -> None:
        self._path, self._descriptor, self._layout = path, descriptor, layout
        self._hash = hashlib.sha256()
        self._size = 0

    def __enter__(self) -> Verified:
        try:
            self._file = open(self._path, "rb")
        except OSError as error:
            what = f"{self._descriptor['digest']} cannot be read: {error.strerror}"
            raise InputError([problem("base", self._layout, what)]) from None
        return self

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        data = self._file.read(size)
        self._hash.update(data)
        self._size += len(data)
        return data

    def __exit__(self, kind: object, *_rest: object) -> None:
        with self._file:
            if kind is not None:
                return
            while self.read(1 << 20):
                pass
        if (self._size, self._hash.hexdigest()) != (self._descriptor["size"], self._descriptor["digest"][len("sha256:") :]):
            what = f"has {self._size} bytes and digest sha256:{self._hash.hexdigest()}"
            raise InputError([problem("base", self._layout, f"{self._descriptor['digest']} {what}")])


def blob_path(layout: str, digest: str) -> str:
    """Where a layout keeps a blob; `digest` has been checked."""
    return os.path.join(layout, "blobs", "sha256", digest[len("sha256:") :])


def load_layout(layout: str, platform: Mapping[str, str]) -> Base:
    """The image for `platform` (os, architecture, variant) in an OCI layout directory.

    Raises:
      InputError: there is none, or it is not what its digests say.
    """
    index = _json(os.path.join(layout, "index.json"), layout)
    chosen = _manifests(layout, index, platform, 0, set())
    if len(chosen) != 1:
        raise InputError([problem("base", layout, _choice_fault(layout, platform, len(chosen)))])
    (manifest,) = chosen
    return check(layout, manifest, _blob(layout, manifest["config"]))


def _choice_fault(layout: str, platform: Mapping[str, str], count: int) -> str:
    """Returns why no image can be chosen for a platform."""
    wanted = oci.platform_text(platform)
    if count:
        return f"has {count} images for {wanted}; it must have one"
    have = sorted({oci.platform_text(each.config) for each in load_all(layout)})
    return f"has no image for {wanted}" + (f"; it has {', '.join(have)}" if have else "")


def only_descriptor(layout: str, attribute: str = "image") -> Mapping[str, Any]:
    """Returns the descriptor of the only image, or index, in an OCI layout directory.

    Args:
      layout: its path.
      attribute: the attribute that names the layout, for messages.

    Raises:
      InputError: there is not exactly one, or its descriptor is invalid.
    """
    try:
        index = _json(os.path.join(layout, "index.json"), layout)
        entries = index.get("manifests") if isinstance(index, dict) else None
        if not isinstance(entries, list):
            raise InputError([problem("base", layout, "its index has no list of manifests")])
        for entry in entries:
            _check_descriptor(layout, entry)
    except InputError as error:
        raise InputError(text.replace("base: ", f"{attribute}: ", 1) for text in error.problems) from None
    # A name for each tag of one image.
    by_digest = {entry["digest"]: entry for entry in entries}
    if len(by_digest) != 1:
        what = f"its index.json names {len(by_digest)} images; give a layout of one image, or of one image index"
        raise InputError([problem(attribute, layout, what)])
    return entries[0]  # type: ignore[no-any-return]


def load_all(layout: str, platform: Mapping[str, str] | None = None) -> list[Base]:
    """Returns every image in an OCI layout directory, or every one for `platform`, but for those that an index names and the layout lacks.

    Raises:
      InputError: one of them is not what its digests say.
    """
    index = _json(os.path.join(layout, "index.json"), layout)
    return [check(layout, manifest, _blob(layout, manifest["config"])) for manifest in _manifests(layout, index, platform, 0, set(), sparse=True)]


def load_files(manifest: str, config: str) -> Base:
    """Another image of this build: its manifest and config.

    Raises:
      InputError: they are not what they should be.
    """
    return check(manifest, _json(manifest, manifest), _json(config, config))


def check(where: str, manifest: Any, config: Any) -> Base:
    """A manifest and config that fit each other, Docker's media types turned into OCI's.

    Raises:
      InputError: with everything wrong.
    """
    wrong: list[str] = []
    if len(manifest["layers"]) > limits.LAYERS:
        raise InputError([problem("base", where, f"its manifest has {len(manifest['layers'])} layers (limit: {limits.LAYERS})")])
    layers = []
    for layer in manifest["layers"]:
        media_type = _LAYERS.get(layer["mediaType"], layer["mediaType"])
        if not _OCI_LAYER.fullmatch(media_type):
            wrong.append(problem("base", where, f"layer of unknown media type {quote(media_type)}"))
        layers.append({**layer, "mediaType": media_type})
    rootfs = config.get("rootfs") if isinstance(config, dict) else None
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if not isinstance(diff_ids, list) or not all(isinstance(each, str) and _DIGEST.fullmatch(each) for each in diff_ids):
        wrong.append(problem("base", where, "its config has no rootfs.diff_ids"))
    elif len(diff_ids) != len(layers):
        wrong.append(problem("base", where, f"its manifest has {len(layers)} layers, its config {len(diff_ids)} diff_ids"))
    if isinstance(config, dict):
        wrong += [problem("base", where, f"its config has an invalid {name}") for name in _wrong_fields(config)]
    if wrong:
        raise InputError(wrong)
    return Base({**manifest, "layers": layers}, config)


def _wrong_fields(config: Mapping[str, Any]) -> list[str]:
    """The fields that are read further on and have another type than the specification says."""
    execution = config.get("config")
    if execution is not None and not isinstance(execution, dict):
        return ["config"]
    execution = execution or {}
    wrong = [name for name in ("architecture", "os", "variant") if not isinstance(config.get(name, ""), str)]
    wrong += [name for name in ("ExposedPorts", "Volumes", "Labels") if not isinstance(execution.get(name) or {}, dict)]
    environment = execution.get("Env") or []
    if not isinstance(environment, list) or not all(isinstance(text, str) for text in environment):
        wrong.append("Env")
    if not isinstance(config.get("history") or [], list):
        wrong.append("history")
    return wrong


def _manifests(
    layout: str, index: Any, wanted: Mapping[str, str] | None, depth: int, seen: set[str], sparse: bool = False
) -> list[Mapping[str, Any]]:
    """Returns the manifests for a platform, or for any, in an index and in those that it names, each once, however many names it has.

    Args:
      layout: OCI layout directory.
      index: the index.
      wanted: the platform; None for any.
      depth: of the index within others.
      seen: digests to skip, to which those found are added.
      sparse: skip what an index names and the layout lacks.
    """
    if depth > limits.INDEX_DEPTH:
        raise InputError([problem("base", layout, f"indexes within indexes, more than {limits.INDEX_DEPTH} deep")])
    entries = index.get("manifests") if isinstance(index, dict) else None
    if not isinstance(entries, list):
        raise InputError([problem("base", layout, "its index has no list of manifests")])
    found: list[Mapping[str, Any]] = []
    for entry in entries:
        _check_descriptor(layout, entry)
        if entry["digest"] in seen:
            continue
        seen.add(entry["digest"])
        platform = entry.get("platform")
        if isinstance(platform, dict) and not _matches(platform, wanted):
            continue  # An index may name images that the layout leaves out.
        if sparse and depth and not os.path.exists(blob_path(layout, entry["digest"])):
            continue
        if entry["mediaType"] in _INDEXES:
            found += _manifests(layout, _blob(layout, entry), wanted, depth + 1, seen, sparse)
        elif entry["mediaType"] in MANIFESTS:
            manifest = _blob(layout, entry)
            _check_manifest(layout, manifest)
            if isinstance(platform, dict) or _matches(_blob(layout, manifest["config"]), wanted):
                found.append(manifest)
    return found


def _matches(platform: Any, wanted: Mapping[str, str] | None) -> bool:
    """Whether an image is for the platform; a variant counts where both name one."""
    if not isinstance(platform, dict):
        return False
    if wanted is None:
        # BuildKit's attestations are manifests too.
        return platform.get("os") != "unknown"
    variant = platform.get("variant")
    return (platform.get("os"), platform.get("architecture")) == (wanted["os"], wanted["architecture"]) and (
        not variant or not wanted["variant"] or variant == wanted["variant"]
    )


def _check_manifest(where: str, manifest: Any) -> None:
    layers = manifest.get("layers") if isinstance(manifest, dict) else None
    if not isinstance(layers, list):
        raise InputError([problem("base", where, "its manifest has no list of layers")])
    for descriptor in [manifest.get("config"), *layers]:
        _check_descriptor(where, descriptor)


def _check_descriptor(where: str, descriptor: Any) -> None:
    if (
        not isinstance(descriptor, dict)
        or not isinstance(descriptor.get("mediaType"), str)
        or not isinstance(descriptor.get("digest"), str)
        or not _DIGEST.fullmatch(descriptor["digest"])
        or type(descriptor.get("size")) is not int
        or descriptor["size"] < 0
    ):
        raise InputError([problem("base", where, f"{quote(descriptor)} is not a valid descriptor (mediaType, digest by sha256, size)")])


def _blob(layout: str, descriptor: Any) -> Any:
    """The JSON that a descriptor names, if it is what the descriptor says."""
    _check_descriptor(layout, descriptor)
    if descriptor["size"] > limits.JSON:
        what = f"{descriptor['digest']} has {descriptor['size']} bytes; more than {limits.JSON} are not read"
        raise InputError([problem("base", layout, what)])
    return _json(blob_path(layout, descriptor["digest"]), layout, descriptor)


def _json(path: str, layout: str, descriptor: Mapping[str, Any] | None = None) -> Any:
    """A JSON file of at most 4 MiB, checked against its descriptor."""
    name = os.path.relpath(path, layout) if path != layout else path
    try:
        with open(path, "rb") as file:
            data = file.read(limits.JSON + 1)
    except OSError as error:
        raise InputError([problem("base", layout, f"{name} cannot be read: {error.strerror}; is it an OCI layout directory?")]) from None
    if len(data) > limits.JSON:
        raise InputError([problem("base", layout, f"{name} is larger than {limits.JSON} bytes")])
    if descriptor is not None:
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        if digest != descriptor["digest"] or len(data) != descriptor["size"]:
            raise InputError(
                [
                    problem(
                        "base",
                        layout,
                        f"{name} has digest {digest} and {len(data)} bytes, "
                        f"and should have {descriptor['digest']} and {descriptor['size']}",
                    )
                ]
            )
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise InputError([problem("base", layout, f"{name} is not JSON")]) from None

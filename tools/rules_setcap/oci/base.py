"""Reads images from OCI layouts, and verifies every blob against its digest.

OCI image-spec, "Image Layout". Layers are not read here.
"""

from __future__ import annotations

import re
from collections import namedtuple

from rules_setcap.diagnostics import limits, strict_json
from rules_setcap.diagnostics.errors import InputError, problem, quote
from rules_setcap.oci import formats, manifests
from rules_setcap.oci.layout_reader import Other, Reader, Verified, blob_path, parse, read_document
from rules_setcap.oci.manifests import MANIFESTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping

__all__ = [
    "MANIFESTS",
    "Base",
    "Images",
    "Other",
    "Verified",
    "blob_path",
    "check",
    "load_all",
    "load_files",
    "load_layout",
    "only_descriptor",
    "others_text",
    "read_images",
]

Base = namedtuple("Base", ("manifest", "config"))
"""Manifest and config of an image, as dicts."""
Images = namedtuple("Images", ("images", "passed_over"))
"""What an OCI layout holds. images: list of Base; passed_over: list of Other."""

# Docker's media types say the same in other words; a manifest has all of one kind.
_LAYERS = {
    "application/vnd.docker.image.rootfs.diff.tar": "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd": "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.foreign.diff.tar": "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
}
_OCI_LAYER = re.compile(r"application/vnd\.oci\.image\.layer\.(nondistributable\.)?v1\.tar(\+gzip|\+zstd)?", re.ASCII)


def load_layout(layout: str, platform: Mapping[str, str]) -> Base:
    """Returns the image for a platform (os, architecture, variant) in an OCI layout directory.

    Raises:
      InputError: there is not exactly one, or a blob does not have its digest.
    """
    images = _find(layout, platform, sparse=False).images
    if len(images) != 1:
        raise InputError([problem("base", layout, _choice_fault(layout, platform, len(images)))])
    return images[0]  # type: ignore[no-any-return]


def _choice_fault(layout: str, platform: Mapping[str, str], count: int) -> str:
    """Returns why no image can be chosen for a platform."""
    wanted = formats.platform_text(platform)
    if count:
        return f"has {count} images for {wanted}; it must have one"
    images, passed_over = read_images(layout)
    have = sorted({formats.platform_text(each.config) for each in images})
    return f"has no image for {wanted}" + (f"; it has {', '.join(have)}" if have else "") + others_text(passed_over)


def others_text(passed_over: list[Other]) -> str:
    """Returns the end of a sentence that names what is beside the images, or ""."""
    return "".join(f"; {other.digest} is {other.why}" for other in passed_over[:3])


def only_descriptor(layout: str, attribute: str = "image") -> Mapping[str, Any]:
    """Returns the descriptor of the only image, or index, in an OCI layout directory.

    Args:
      layout: its path.
      attribute: the attribute that names the layout, for messages.

    Raises:
      InputError: there is not exactly one, or its descriptor is invalid.
    """
    try:
        descriptors = Reader(layout).top()
    except InputError as error:
        raise InputError(text.replace("base: ", f"{attribute}: ", 1) for text in error.problems) from None
    # A name for each tag of one image.
    by_digest = {entry["digest"]: entry for entry in descriptors}
    if len(by_digest) != 1:
        what = f"its index.json names {len(by_digest)} images; give a layout of one image, or of one image index"
        raise InputError([problem(attribute, layout, what)])
    return descriptors[0]


def load_all(layout: str, platform: Mapping[str, str] | None = None) -> list[Base]:
    """Returns the images of read_images()."""
    return read_images(layout, platform).images  # type: ignore[no-any-return]


def read_images(layout: str, platform: Mapping[str, str] | None = None) -> Images:
    """Returns what is in an OCI layout directory, but for images that an index names and the layout lacks.

    Args:
      layout: its path.
      platform: os, architecture and variant of the images to return; None for all.

    Raises:
      InputError: an image is invalid, or a blob does not have its digest.
    """
    return _find(layout, platform, sparse=True)


def _find(layout: str, platform: Mapping[str, str] | None, sparse: bool) -> Images:
    reader = Reader(layout)
    pairs = reader.find(platform, sparse)
    return Images([check(layout, *pair) for pair in pairs], reader.passed_over)


def load_files(manifest: str, config: str) -> Base:
    """Returns another image of this build.

    Args:
      manifest: path of its manifest.
      config: path of its config.

    Raises:
      InputError: they are invalid.
    """
    values = [parse(read_document(path, path), path, path, fields) for path, fields in ((manifest, strict_json.MANIFEST), (config, strict_json.CONFIG))]
    return check(manifest, *values)


def check(where: str, manifest: Any, config: Any) -> Base:
    """Returns a manifest and its config, with OCI's media types in place of Docker's.

    Raises:
      InputError: they are invalid, or do not have the same number of layers.
    """
    wrong: list[str] = []
    if len(manifest["layers"]) > limits.LAYERS:
        raise InputError([problem("base", where, f"its manifest has {len(manifest['layers'])} layers (limit LAYERS: {limits.LAYERS})")])
    layers = []
    for layer in manifest["layers"]:
        media_type = _LAYERS.get(layer["mediaType"], layer["mediaType"])
        if not _OCI_LAYER.fullmatch(media_type):
            wrong.append(problem("base", where, f"layer of unknown media type {quote(media_type)}"))
        layers.append({**layer, "mediaType": media_type})
    rootfs = config.get("rootfs") if isinstance(config, dict) else None
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if isinstance(rootfs, dict) and diff_ids is None and not layers:
        diff_ids = rootfs["diff_ids"] = []  # As Go writes no layers.
    if not isinstance(diff_ids, list) or not all(map(manifests.is_digest, diff_ids)):
        wrong.append(problem("base", where, "its config has no rootfs.diff_ids"))
    elif len(diff_ids) != len(layers):
        wrong.append(problem("base", where, f"its manifest has {len(layers)} layers, its config {len(diff_ids)} diff_ids"))
    if isinstance(config, dict):
        wrong += [problem("base", where, f"its config has an invalid {name}") for name in _wrong_fields(config)]
    if wrong:
        raise InputError(wrong)
    return Base({**manifest, "layers": layers}, config)


def _wrong_fields(config: Mapping[str, Any]) -> list[str]:
    """Returns the names of fields that have another type than the specification says."""
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

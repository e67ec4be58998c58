"""Reads the manifest and config of images from OCI image layouts, verified against their digests.

OCI image-spec, "OCI Image Layout Specification". Layers are not read here; layer_blobs.py reads them.
"""

from __future__ import annotations

from collections import namedtuple
from typing import TYPE_CHECKING

from rules_setcap.diagnostics import limits, strict_json
from rules_setcap.diagnostics.errors import InputError, format_problem, quote
from rules_setcap.diagnostics.problems import Problems
from rules_setcap.oci import manifest_checks, media_types
from rules_setcap.oci.layout_reader import LayoutReader, NonImage, parse_layout_document, read_layout_document
from rules_setcap.oci.platforms import format_platform

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

__all__ = [
    "ImageDocuments",
    "LayoutImages",
    "NonImage",
    "check_image_documents",
    "describe_non_images",
    "find_only_descriptor",
    "read_image_files",
    "read_layout_image",
    "read_layout_images",
]

ImageDocuments = namedtuple("ImageDocuments", ("manifest", "config", "descriptor"), defaults=({},))
"""The manifest and the config of an image. manifest, config: dict; descriptor: dict, the descriptor of the manifest in the index
of a layout; empty if the image is not from a layout."""

LayoutImages = namedtuple("LayoutImages", ("images", "non_images"))
"""The entries of an OCI image layout. images: list of ImageDocuments; non_images: list of NonImage."""


def read_layout_image(layout: str, platform: Mapping[str, str]) -> ImageDocuments:
    """Returns the image for a platform in an OCI image layout directory.

    Args:
      layout: the path of the directory.
      platform: os, architecture and variant.

    Raises:
      InputError: there is not exactly one image for the platform, or a blob does not have its digest.
    """
    images = _read_images(layout, platform, sparse=False).images
    if len(images) != 1:
        raise InputError([format_problem("base", layout, _describe_choice_fault(layout, platform, images))])
    return images[0]  # type: ignore[no-any-return]


def read_layout_images(layout: str, platform: Mapping[str, str] | None = None) -> LayoutImages:
    """Returns the images in an OCI image layout directory, without those that an index names and the layout lacks.

    Args:
      layout: the path of the directory.
      platform: os, architecture and variant of the images to return; None for all.

    Raises:
      InputError: an image is not valid, or a blob does not have its digest.
    """
    return _read_images(layout, platform, sparse=True)


def read_image_files(manifest: str, config: str) -> ImageDocuments:
    """Returns an image of which other actions of the build wrote the manifest and the config.

    Args:
      manifest: the path of the manifest.
      config: the path of the config.

    Raises:
      InputError: they are not valid.
    """
    values = [
        parse_layout_document(read_layout_document(path, path), path, path, fields)
        for path, fields in ((manifest, strict_json.MANIFEST), (config, strict_json.CONFIG))
    ]
    return check_image_documents(manifest, *values)


def find_only_descriptor(layout: str, attribute: str = "image") -> Mapping[str, Any]:
    """Returns the descriptor of the only image, or the only index, in an OCI image layout directory.

    Args:
      layout: the path of the directory.
      attribute: the attribute that names the layout, for messages.

    Raises:
      InputError: there is not exactly one, or its descriptor is not valid.
    """
    try:
        descriptors = LayoutReader(layout).list_top_descriptors()
    except InputError as error:
        raise InputError(text.replace("base: ", f"{attribute}: ", 1) for text in error.problems) from None
    # One image has a descriptor for each of its tags.
    by_digest = {descriptor["digest"]: descriptor for descriptor in descriptors}
    if len(by_digest) != 1:
        what = f"its index.json names {len(by_digest)} images; give a layout of one image, or of one image index"
        raise InputError([format_problem(attribute, layout, what)])
    return descriptors[0]


def describe_non_images(non_images: Sequence[NonImage]) -> str:
    """Returns the end of a sentence that names the entries that are not images; "" if there are none."""
    return "".join(f"; {entry.digest} is {entry.description}" for entry in non_images[:3])


def check_image_documents(place: str, manifest: Any, config: Any) -> ImageDocuments:
    """Checks a manifest and its config; returns them with the media types of the OCI image-spec in place of Docker's.

    Args:
      place: the path of the layout, or of the manifest, for messages.
      manifest: the manifest, which has been checked as a document.
      config: the value of the config.

    Raises:
      InputError: they are not valid, or do not have the same number of layers.
    """
    problems = Problems()
    if len(manifest["layers"]) > limits.LAYERS:
        raise InputError(
            [format_problem("base", place, f"its manifest has {len(manifest['layers'])} layers (limit LAYERS: {limits.LAYERS})")]
        )
    layers = []
    for layer in manifest["layers"]:
        media_type = media_types.convert_layer_type(layer["mediaType"])
        if media_type.endswith("+encrypted"):
            what = f"layer {layer['digest']} is encrypted; decrypt the image first, as with skopeo copy --decryption-key"
            problems.add("base", place, what)
        elif not media_types.is_layer_type(media_type):
            problems.add("base", place, f"layer of unknown media type {quote(media_type)}")
        layers.append({**layer, "mediaType": media_type})
    rootfs = config.get("rootfs") if isinstance(config, dict) else None
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if isinstance(rootfs, dict) and diff_ids is None and not layers:
        diff_ids = rootfs["diff_ids"] = []  # Go writes an empty list as null.
    if not isinstance(diff_ids, list) or not all(map(manifest_checks.is_digest, diff_ids)):
        problems.add("base", place, "its config has no rootfs.diff_ids")
    elif len(diff_ids) != len(layers):
        problems.add("base", place, f"its manifest has {len(layers)} layers, its config {len(diff_ids)} diff_ids")
    if isinstance(config, dict):
        for name in _find_invalid_fields(config):
            problems.add("base", place, f"its config has an invalid {name}")
    problems.raise_if_any()
    return ImageDocuments({**manifest, "layers": layers}, config)


def _read_images(layout: str, platform: Mapping[str, str] | None, sparse: bool) -> LayoutImages:
    reader = LayoutReader(layout)
    images = [
        check_image_documents(layout, manifest, config)._replace(descriptor=descriptor)
        for manifest, config, descriptor in reader.find_images(platform, sparse)
    ]
    return LayoutImages(images, reader.non_images)


def _describe_choice_fault(layout: str, platform: Mapping[str, str], images: Sequence[ImageDocuments]) -> str:
    """Returns why the images for a platform are not one, as a sentence."""
    name = format_platform(platform)
    if images:
        named = [image.descriptor.get("platform") for image in images]
        pairs = zip(named, images, strict=True)
        platforms = sorted({format_platform(value if isinstance(value, dict) else image.config) for value, image in pairs})
        differ = len(platforms) == len(images)
        instead = f"set platform to one of {', '.join(platforms)}" if differ else "it must have one"
        return f"has {len(images)} images for {name}; {instead}"
    all_images, non_images = read_layout_images(layout)
    existing = sorted({format_platform(image.config) for image in all_images})
    return f"has no image for {name}" + (f"; it has {', '.join(existing)}" if existing else "") + describe_non_images(non_images)


def _find_invalid_fields(config: Mapping[str, Any]) -> list[str]:
    """Returns the names of the fields of a config whose type is not that of the specification."""
    execution = config.get("config")
    if execution is not None and not isinstance(execution, dict):
        return ["config"]
    execution = execution or {}
    invalid = [name for name in ("architecture", "os", "variant") if not isinstance(config.get(name, ""), str)]
    invalid += [name for name in ("ExposedPorts", "Volumes", "Labels") if not isinstance(execution.get(name) or {}, dict)]
    environment = execution.get("Env") or []
    if not isinstance(environment, list) or not all(isinstance(text, str) for text in environment):
        invalid.append("Env")
    if not isinstance(config.get("history") or [], list):
        invalid.append("history")
    return invalid

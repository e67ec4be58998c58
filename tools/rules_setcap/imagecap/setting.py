"""Sets capabilities of files of an image: reads it, changes it, and writes the new one."""

from __future__ import annotations

import errno
import json
import os
import sys
import tempfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rules_setcap.diagnostics import progress
from rules_setcap.diagnostics.errors import InputError, format_problem, quote
from rules_setcap.diagnostics.problems import Problems
from rules_setcap.imagecap import compression
from rules_setcap.imagecap.changed_images import ChangedImage, LayerRewriter, add_layer, keep_image
from rules_setcap.imagecap.changed_layouts import ChangedLayout, change_layout
from rules_setcap.imagecap.plans import plan_changes
from rules_setcap.imagecap.source_images import Source, label_images, name_layout, open_source, read_images, verify_other_layers
from rules_setcap.imagecap.staging import STANDARD_OUTPUT, check_output, open_workspace, place_output
from rules_setcap.imagecap.writers import (
    DockerImage,
    make_docker_manifest,
    name_docker_members,
    name_images,
    write_archive,
    write_directory,
)
from rules_setcap.oci import media_types
from rules_setcap.oci.descriptors import compute_digest
from rules_setcap.oci.layout_writer import OCI_LAYOUT
from rules_setcap.oci.named_images import IMAGE_FLAG, describe_names, list_names, list_other_names
from rules_setcap.oci.root_filesystem import RootFilesystem
from rules_setcap.packer.assignments import MODE_HINT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

    from rules_setcap.oci.image_documents import ImageDocuments
    from rules_setcap.packer.assignments import Assignment

_ERRORS_OF_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of write(2), which do not say what is written."""


@dataclass(frozen=True, slots=True)
class SetRequest:
    """What to set.

    Attributes:
      source: the image: a layout directory, an archive, or "-" for an archive on standard input.
      output: the path of the new image; "-" for standard output.
      assignments: the files that the user named, and their capabilities.
      rewrite: whether to change the layers that have the files; otherwise the files are copied into a new layer.
      removes_others: whether all other files lose their capabilities.
      platform: of an index, the platform of the images to change; "" for all.
      image_name: of several images, the name or the digest of the image to change; "" for all.
      format: the kind of the output; None for that of the source.
      compression: how written layers are compressed, as --compression has it; "" for the default of the way.
      force: whether an existing output is replaced.
      follow_links: whether a path that is a symbolic link names the file to which it leads; otherwise it is an error.
    """

    source: str
    output: str
    assignments: Sequence[Assignment]
    rewrite: bool = False
    removes_others: bool = False
    platform: str = ""
    image_name: str = ""
    format: str | None = None
    compression: str = ""
    force: bool = False
    follow_links: bool = False


@dataclass(frozen=True, slots=True)
class SetResult:
    """What was set.

    Attributes:
      kind: the kind of the output.
      has_manifests: whether the output has manifests; a plain Docker archive has none.
      images: the images that were changed.
      notes: sentences for the user.
    """

    kind: str
    has_manifests: bool
    images: list[ChangedImage]
    notes: list[str] = field(default_factory=list)


def set_image_capabilities(request: SetRequest) -> SetResult:
    """Writes an image with other capabilities; writes nothing if there is a problem.

    Raises:
      InputError: the image is not valid, or a file cannot have the capabilities; it has all problems that were found.
      OSError: a file cannot be read or written.
    """
    is_directory = request.format == "oci" or (request.format is None and os.path.isdir(request.source))
    check_output(request.output, request.source, is_directory, request.force)
    codec = compression.choose_codec(request.compression) if request.compression else None
    try:
        return _set_in_workspace(request, codec)
    except OSError as error:
        if error.filename is None and error.errno in _ERRORS_OF_WRITING:
            where = "stdout" if request.output == STANDARD_OUTPUT else request.output
            raise OSError(error.errno, error.strerror, where) from None
        raise


def _set_in_workspace(request: SetRequest, codec: tuple[str, str] | None) -> SetResult:
    """Writes the new image in a temporary directory, and puts it into its place."""
    with open_workspace(request.output) as workspace:
        source = open_source(request.source, workspace)
        kind = request.format or source.kind
        check_output(request.output, request.source, kind == "oci", request.force)
        entries = read_images(source, request.platform, request.image_name)
        verify_other_layers(source, entries.images)
        with name_layout(source):
            codec = codec or _choose_codec(request, source, entries.images)
            images = _change_images(request, source, entries.images, workspace, codec)
            layout = change_layout(source, images)
            notes = [*_collect_notes(images, layout), *_describe_other_names(request.image_name, source, entries.images)]
            result = SetResult(kind, kind != "docker-archive" or source.has_manifests, images, notes)
            progress.begin_step("writing", None)
            _write_output(request, source, layout, result, workspace)
    return result


def _choose_codec(request: SetRequest, source: Source, images: Sequence[ImageDocuments]) -> tuple[str, str]:
    """Returns the default compression of a new layer, and the library for it.

    In a Docker archive of layers that are not compressed, a new layer is not either: buildImage of nixpkgs takes the digests of
    the files for the diff_ids. An image ID does not depend on it.

    Raises:
      InputError: the library is missing.
    """
    if request.rewrite:
        return "", ""
    layers = (layer for image in images for layer in image.manifest["layers"])
    is_plain = not source.has_manifests and all(layer["mediaType"] == media_types.LAYER for layer in layers)
    return compression.choose_codec("none" if is_plain and request.format in (None, "docker-archive") else "gzip")


def _change_images(
    request: SetRequest, source: Source, images: Sequence[ImageDocuments], workspace: str, codec: tuple[str, str]
) -> list[ChangedImage]:
    """Returns the changed images; the problems of all of them are reported together.

    One image is in memory at a time.
    """
    problems = Problems()
    changed: list[ChangedImage] = []
    changer = _ImageChanger(request, source, workspace, codec)
    labels = label_images(source, images)
    for number, (image, label) in enumerate(zip(images, labels, strict=True), 1):
        progress.begin_step(f"reading image {number} of {len(images)}", None)
        image_problems = Problems()
        with image_problems.collect():
            changed.append(changer.change_image(image)._replace(label=label))
        suffix = f" ({label})" if len(images) > 1 else ""
        problems.extend(message.removesuffix(MODE_HINT) + suffix for message in image_problems)
    problems.raise_if_any()
    return changed


class _ImageChanger:
    """Changes the images of a source, one after the other."""

    def __init__(self, request: SetRequest, source: Source, workspace: str, codec: tuple[str, str]) -> None:
        self._request, self._source, self._workspace, self._codec = request, source, workspace, codec
        self._budget = source.make_budget(copies=not request.rewrite)
        self._copy_budget = source.make_budget(copies=True)
        self._rewriter = LayerRewriter(source, workspace, request.compression or "zlib")

    def change_image(self, image: ImageDocuments) -> ChangedImage:
        """Returns an image with its changes, without its root filesystem.

        Raises:
          InputError: there are problems.
        """
        problems = Problems()
        with tempfile.TemporaryDirectory(dir=self._workspace) as directory:
            plan = plan_changes(
                self._source,
                image,
                self._request.assignments,
                removes_others=self._request.removes_others,
                in_place=self._request.rewrite,
                follow_links=self._request.follow_links,
                directory=directory,
                budget=self._budget,
                problems=problems,
            )
            problems.raise_if_any()
            if not plan.files:
                changed = keep_image(plan, self._source.layout)
            elif self._request.rewrite:
                changed = self._rewriter.rewrite_image(plan, problems)
            else:
                changed = add_layer(plan, self._workspace, self._codec, self._copy_budget, problems)
        return changed._replace(plan=plan._replace(tree=RootFilesystem(), extracted={}))


def _collect_notes(images: Sequence[ChangedImage], layout: ChangedLayout) -> list[str]:
    unchanged = [
        f"{quote(change.path)} has no capabilities, so that none are taken away"
        for image in images
        for change in image.plan.changes
        if change.before is None and change.after is None
    ]
    return [*dict.fromkeys([*unchanged, *(note for image in images for note in image.notes)]), *layout.notes]


def _describe_other_names(image_name: str, source: Source, images: Sequence[ImageDocuments]) -> list[str]:
    """Returns a sentence for each other name of an image that the user has chosen by a name."""
    if not image_name:
        return []
    others = list_other_names(list_names(source.layout, images, source.docker_names), image_name)
    return [f"{quote(name)} is a name of the same image, so that it names the new image too" for name in others]


def _write_output(request: SetRequest, source: Source, layout: ChangedLayout, result: SetResult, workspace: str) -> None:
    """Writes the new image, and puts it into its place."""
    index = layout.index
    if not source.has_manifests and result.kind != "docker-archive":
        changed = {image.plan.image.descriptor["digest"]: compute_digest(image.manifest) for image in result.images}
        names = {
            changed.get(image.descriptor["digest"], image.descriptor["digest"]): source.docker_names.get(
                image.manifest["config"]["digest"], []
            )
            for image in read_images(source, "").images
        }
        index = name_images(index, names)
    complete = os.path.join(workspace, "complete")
    if result.kind == "oci":
        write_directory(complete, layout, index, may_move=source.is_unpacked)
        place_output(complete, request.output)
        return
    documents = {"index.json": index, "oci-layout": OCI_LAYOUT} if result.has_manifests else {}
    members: dict[str, str] = {}
    if result.kind == "docker-archive":
        docker_images = _list_docker_images(source, result)
        members = {} if result.has_manifests else name_docker_members(docker_images)
        documents["manifest.json"] = make_docker_manifest(docker_images, members)
    codec = source.codec if request.format is None else "none"
    if request.output == STANDARD_OUTPUT:
        _write_archive(sys.stdout.buffer, source, layout, members, documents, codec, result)
        sys.stdout.buffer.flush()
        return
    with open(complete, "wb") as file:
        _write_archive(file, source, layout, members, documents, codec, result)
    place_output(complete, request.output)


def _write_archive(
    file: BinaryIO,
    source: Source,
    layout: ChangedLayout,
    members: dict[str, str],
    documents: dict[str, bytes],
    codec: str,
    result: SetResult,
) -> None:
    """Writes an archive; a plain Docker archive is without the manifests that were made for it."""
    if not result.has_manifests:
        made = {entry.descriptor["digest"] for entry in read_images(source, "").images}
        layout = layout.without(made | {compute_digest(image.manifest) for image in result.images})
    write_archive(file, layout, members, documents, codec)


def _list_docker_images(source: Source, result: SetResult) -> list[DockerImage]:
    """Returns the images that the manifest.json of the output names.

    Raises:
      InputError: the source is not a Docker archive, and it is not clear which of its images Docker is to load.
    """
    if source.kind != "docker-archive":
        if len(result.images) != 1:
            documents = [image.plan.image for image in result.images]
            all_names = list_names(source.layout, documents, source.docker_names)
            several = len(set(all_names)) > 1
            flag = f"{IMAGE_FLAG}, one of {describe_names(documents, all_names)}" if several else "--platform"
            what = f"{len(result.images)} images, and Docker loads one of them; choose it with {flag}"
            raise InputError([format_problem("--format", "docker-archive", what)])
        (image,) = result.images
        return [DockerImage(compute_digest(image.config), _list_layers(image.manifest), _find_names(image))]
    changed = {image.plan.image.descriptor["digest"]: image for image in result.images}
    items = []
    for entry in read_images(source, "").images:
        config, layers = entry.manifest["config"]["digest"], [layer["digest"] for layer in entry.manifest["layers"]]
        if config in source.docker_names:  # Others are in index.json alone.
            names = source.docker_names[config]
            if new := changed.get(entry.descriptor["digest"]):
                config, layers = compute_digest(new.config), _list_layers(new.manifest)
            items.append(DockerImage(config, layers, names))
    return items


def _list_layers(manifest: bytes) -> list[str]:
    """Returns the digests of the layers of a manifest."""
    return [layer["digest"] for layer in json.loads(manifest).get("layers") or ()]


def _find_names(image: ChangedImage) -> list[str]:
    """Returns the names of an image in an index, as a Docker archive has them."""
    annotations = image.plan.image.descriptor.get("annotations") or {}
    for key in ("io.containerd.image.name", "org.opencontainers.image.ref.name"):
        name = annotations.get(key)
        if isinstance(name, str) and ":" in name.rpartition("/")[2]:
            return [name]
    return []

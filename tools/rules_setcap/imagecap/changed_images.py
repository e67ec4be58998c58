"""The two ways to change an image: with a new layer, or in the layers that have the files."""

from __future__ import annotations

import itertools
import json
import os
import tempfile
from typing import TYPE_CHECKING, Any, NamedTuple

from rules_setcap.archive.budget import ReadBudget
from rules_setcap.archive.decompress import DecompressedStream
from rules_setcap.diagnostics import progress
from rules_setcap.diagnostics.errors import InputError, format_problem, quote
from rules_setcap.diagnostics.files import open_regular
from rules_setcap.diagnostics.problems import Problems
from rules_setcap.imagecap import compression
from rules_setcap.imagecap.json_edits import edit_document
from rules_setcap.imagecap.layer_rewriter import EntryChange, RewrittenLayer, rewrite_layer
from rules_setcap.imagecap.plans import list_capabilities
from rules_setcap.oci import media_types
from rules_setcap.oci.annotations import CAPABILITIES_ANNOTATION
from rules_setcap.oci.blobs import blob_path
from rules_setcap.oci.config import build_config
from rules_setcap.oci.descriptors import compute_digest, encode_document
from rules_setcap.oci.layer_merge import apply_layers, unpack_if_engines_differ
from rules_setcap.oci.manifest import build_manifest
from rules_setcap.packer import lower_files
from rules_setcap.packer.assignments import assign_capabilities
from rules_setcap.packer.layer_writer import write_layer
from rules_setcap.packer.tar_styles import TAR_STYLES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rules_setcap.imagecap.plans import Plan
    from rules_setcap.imagecap.source_images import Source


class ChangedImage(NamedTuple):
    """An image with other capabilities.

    Attributes:
      plan: the changes.
      manifest, config: the bytes of its documents.
      media_type: the media type of the manifest.
      blobs: by digest, the paths of its new layers.
      layers: for each layer that was rewritten, the digests before and after; ("", digest) for a new layer.
      notes: sentences for the user.
      label: what tells the image from others, for a line of output: its platform, and its name if the images have other names.
    """

    plan: Plan
    manifest: bytes
    config: bytes
    media_type: str
    blobs: Mapping[str, str]
    layers: list[tuple[str, str]]
    notes: list[str]
    label: str = ""


def keep_image(plan: Plan, layout: str) -> ChangedImage:
    """Returns an image in which nothing changes.

    Args:
      plan: a plan without files.
      layout: the path of the layout that has the image.
    """
    manifest, config = (_read_blob(layout, digest) for digest in _list_digests(plan))
    return ChangedImage(plan, manifest, config, plan.image.descriptor["mediaType"], {}, [], [])


def add_layer(plan: Plan, directory: str, codec: tuple[str, str], budget: ReadBudget, problems: Problems) -> ChangedImage:
    """Copies files into a new layer with their capabilities, as the rule image does with `base` and `file_capabilities`.

    Args:
      plan: the changes.
      directory: an existing directory for the new layer.
      codec: the compression of the layer, and the library that compresses it.
      budget: counts what is read of the layers of all images.
      problems: the collector of problems: files that cannot have capabilities.

    Raises:
      InputError: there are problems.
      OSError: a file cannot be written.
    """
    compression_name, library = codec
    with tempfile.TemporaryDirectory(dir=directory) as contents:
        copied = lower_files.copy_files(plan.tree, plan.files, plan.blobs, contents, budget, plan.extracted)
        # Any file can lose capabilities, also one that cannot have any.
        assignments = [assignment for assignment in copied.assignments if assignment.value is not None]
        assigned = assign_capabilities(assignments, copied.entries, problems)
        problems.raise_if_any()
        output = os.path.join(contents, "layer")
        metadata = write_layer(
            output,
            copied.entries.values(),
            assigned,
            compression=compression_name,
            level=0,
            library=library,
            threads=compression.count_threads(),
            mtime=0,
            created_by="rules_setcap",
            style=TAR_STYLES["plain"],
        )
        digest = metadata["descriptor"]["digest"]
        path = os.path.join(directory, digest.removeprefix("sha256:"))
        os.replace(output, path)
    base = plan.image
    config = encode_document(build_config(_make_spec(base.config), [metadata], base.config, "", problems))
    problems.raise_if_any()
    manifest = build_manifest(config, [*base.manifest["layers"], metadata["descriptor"]], {})
    notes = []
    if dropped := sorted(key for key in ("annotations", "artifactType", "subject") if base.manifest.get(key)):
        notes.append(f"the new manifest is without the {' and '.join(dropped)} of the old one, as an image of the rules is")
    return ChangedImage(plan, encode_document(manifest), config, media_types.MANIFEST, {digest: path}, [("", digest)], notes)


def _make_spec(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the attributes of an image that has a base and sets nothing else, as build_config() takes them."""
    platform = {key: config.get(key, "") for key in ("architecture", "os", "variant")}
    empty: dict[str, Any] = {
        "exposed_ports": [],
        "volumes": [],
        "env": {},
        "labels": {},
        **dict.fromkeys(("created", "stop_signal", "user", "working_dir"), ""),
        **dict.fromkeys(("cmd", "entrypoint")),
    }
    return platform | empty


class LayerRewriter:
    """Rewrites layers of images; a layer that several images share is written once."""

    def __init__(self, source: Source, directory: str, gzip_compression: str) -> None:
        """Prepares the rewriting.

        Args:
          source: the source of the images.
          directory: an existing directory for the new layers.
          gzip_compression: what compresses layers that are gzip: "gzip" or "zlib", as --compression has it.
        """
        self._source, self._directory, self._gzip_compression = source, directory, gzip_compression
        self._numbers = itertools.count()
        self._budget = source.make_budget(copies=True)
        self._done: dict[tuple[str, tuple[tuple[int, EntryChange], ...]], RewrittenLayer] = {}

    def rewrite_image(self, plan: Plan, problems: Problems) -> ChangedImage:
        """Puts the capabilities into the layers that have the files.

        Args:
          plan: the changes.
          problems: the collector of problems: files that cannot have capabilities.

        Raises:
          InputError: a layer is not valid, or engines would give files other capabilities.
          OSError: a layer cannot be written.
        """
        changes: dict[int, dict[int, EntryChange]] = {}  # By layer and entry.
        for position, file in enumerate(plan.files):
            value = file.assignment.value.to_xattr() if file.assignment.value is not None else None
            attribute = file.assignment.attribute if position < plan.named else ""
            change = EntryChange(file.path, value, file.node.mode, attribute)
            changes.setdefault(file.node.layer, {})[file.node.entry] = change
        rewritten: dict[int, RewrittenLayer] = {}
        for number, entries in sorted(changes.items()):
            layer = plan.image.manifest["layers"][number]
            if layer.get("urls"):
                what = f"{quote(layer['digest'])} is at the URLs of its descriptor, so that it cannot be changed; write --layer"
                problems.add("--rewrite", self._source.name, what)
                continue
            progress.begin_step(f"writing layer {number + 1} of {len(plan.blobs)}", layer["size"])
            rewritten[number] = self._rewrite_layer(plan, number, entries, problems)
        problems.raise_if_any()
        changed = self._build_image(plan, {number: layer for number, layer in rewritten.items() if _differs(plan, number, layer)})
        if plan.engines_may_differ:
            self._check_capabilities(plan, rewritten)
        return changed

    def _rewrite_layer(self, plan: Plan, number: int, entries: Mapping[int, EntryChange], problems: Problems) -> RewrittenLayer:
        blob = plan.blobs[number]
        key = blob.descriptor["digest"], tuple(sorted(entries.items()))
        if key not in self._done:
            with open_regular(blob.path) as file:
                codec = DecompressedStream(file).codec
            choice = (
                ("none", "")
                if codec == "none"
                else compression.choose_codec(self._gzip_compression if codec == "gzip" else codec)
            )
            output = os.path.join(self._directory, f"rewritten{next(self._numbers)}")
            self._done[key] = rewrite_layer(blob, entries, output, (*choice, compression.count_threads()), self._budget, problems)
        return self._done[key]

    def _build_image(self, plan: Plan, rewritten: Mapping[int, RewrittenLayer]) -> ChangedImage:
        """Returns the image with its documents changed where they name the rewritten layers."""
        image, layout = plan.image, self._source.layout
        old_manifest, old_config = (_read_blob(layout, digest) for digest in _list_digests(plan))
        config = edit_document(old_config, {("rootfs", "diff_ids", number): layer.diff_id for number, layer in rewritten.items()})
        document = json.loads(old_manifest)
        values: dict[tuple[str | int, ...], Any] = {
            ("config", "digest"): compute_digest(config),
            ("config", "size"): len(config),
        }
        removed: list[tuple[str | int, ...]] = []
        if document["config"].get("data") is not None and config != old_config:
            removed.append(("config", "data"))
        notes = []
        for number, layer in rewritten.items():
            values[("layers", number, "digest")], values[("layers", number, "size")] = layer.digest, layer.size
            descriptor = document["layers"][number]
            removed += [("layers", number, "data")] if descriptor.get("data") is not None else []
            for name, text in (descriptor.get("annotations") or {}).items():
                place = "layers", number, "annotations", name
                if name == CAPABILITIES_ANNOTATION:
                    values[place] = _update_annotation(text, plan, number)
                elif name.startswith(_ANNOTATIONS_OF_BYTES):
                    removed.append(place)
                    notes.append(
                        f"the annotation {quote(name)} of layer {descriptor['digest']} is removed: it described the old bytes"
                    )
        annotation = (document.get("annotations") or {}).get(CAPABILITIES_ANNOTATION)
        if annotation is not None:
            values[("annotations", CAPABILITIES_ANNOTATION)] = _update_annotation(annotation, plan, None)
        manifest = edit_document(old_manifest, values, removed) if rewritten else old_manifest
        layers = [(plan.blobs[number].descriptor["digest"], layer.digest) for number, layer in sorted(rewritten.items())]
        blobs = {layer.digest: layer.path for layer in rewritten.values()}
        return ChangedImage(plan, manifest, config, image.descriptor["mediaType"], blobs, layers, notes)

    def _check_capabilities(self, plan: Plan, rewritten: Mapping[int, RewrittenLayer]) -> None:
        """Checks that the image has the capabilities that were assigned, if engines may differ about its layers.

        Raises:
          InputError: it does not.
        """
        expected = list_capabilities(plan.tree)
        values = {id(file.node): file.assignment.value for file in plan.files}
        for path, node in plan.tree.walk():
            if id(node) in values:
                expected.pop(path, None)
                value = values[id(node)]
                expected |= {path: value.to_xattr()} if value is not None else {}
        blobs = [
            blob._replace(
                path=rewritten[number].path,
                descriptor={**blob.descriptor, "digest": rewritten[number].digest, "size": rewritten[number].size},
                diff_id=rewritten[number].diff_id,
            )
            if number in rewritten
            else blob
            for number, blob in enumerate(plan.blobs)
        ]
        root = apply_layers(blobs, self._budget)
        tree, differing = unpack_if_engines_differ(root, blobs)
        actual = list_capabilities(tree)
        wrong = sorted(path for path in expected.keys() | actual.keys() if expected.get(path) != actual.get(path))
        if wrong or differing:
            path = (wrong or differing)[0]
            what = f"container engines would differ about the capabilities of {quote(path)}; write --layer"
            raise InputError([format_problem("--rewrite", self._source.name, what)])


_ANNOTATIONS_OF_BYTES = (
    "containerd.io/snapshot/stargz/",
    "io.containers.estargz.",
    "io.github.containers.zstd-chunked.",
)
"""The beginnings of annotations that describe the compressed bytes of a layer (eStargz, zstd:chunked)."""


def _differs(plan: Plan, number: int, layer: RewrittenLayer) -> bool:
    """Returns whether the tar of a rewritten layer is another one; if not, the old blob stays, whatever compressed it."""
    return bool(layer.diff_id != plan.blobs[number].diff_id)


def _update_annotation(text: object, plan: Plan, layer: int | None) -> str:
    """Returns the annotation with the capabilities of files, with those that the plan changes.

    Args:
      text: the annotation: a JSON object of capability text by path.
      plan: the changes.
      layer: the number of the layer whose descriptor has it; None for the manifest.
    """
    try:
        values = json.loads(text) if isinstance(text, str) else {}
    except ValueError:
        values = {}
    values = dict(values) if isinstance(values, dict) else {}
    for change in plan.changes:
        if layer in (None, change.layer):
            values.pop(change.path, None)
            if change.after is not None:
                values[change.path] = change.after
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _list_digests(plan: Plan) -> tuple[str, str]:
    """Returns the digests of the manifest and the config of an image."""
    return plan.image.descriptor["digest"], plan.image.manifest["config"]["digest"]


def _read_blob(layout: str, digest: str) -> bytes:
    """Returns a document, which was verified when the image was read."""
    with open_regular(blob_path(layout, digest)) as file:
        data = file.read()
    if compute_digest(data) != digest:
        raise InputError([format_problem("base", layout, f"{digest} changed while it was read")])
    return data

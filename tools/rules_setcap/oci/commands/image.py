"""Writes config, manifest and descriptor of an image from the metadata of its layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_setcap.diagnostics import files
from rules_setcap.diagnostics.errors import InputError
from rules_setcap.oci import image_documents, media_types
from rules_setcap.oci.annotations import annotate_capabilities
from rules_setcap.oci.config import build_config
from rules_setcap.oci.descriptors import describe_blob, encode_document
from rules_setcap.oci.manifest import build_manifest
from rules_setcap.oci.platforms import describe_platform

if TYPE_CHECKING:
    from rules_setcap.actions.arguments import Arguments
    from rules_setcap.diagnostics.problems import Problems


def run_command(arguments: Arguments, problems: Problems) -> None:
    """Runs the subcommand."""
    spec = files.read_json(arguments.take_value("spec"))
    layers = [metadata for path in arguments.take_values("layer") if not (metadata := files.read_json(path)).get("empty")]
    outputs = [arguments.take_value(f"{name}-output") for name in ("manifest", "config", "descriptor")]
    layout, manifest_file = arguments.take_value("base-layout", ""), arguments.take_value("base-manifest", "")
    base_contents = [files.read_json(path) for path in arguments.take_values("base-contents")]
    config_file, base_name = arguments.take_value("base-config", ""), arguments.take_value("base-name", "")
    arguments.check_all_taken()
    if problems.concern("base", "platform"):
        raise InputError(problems)

    if layout:
        base = image_documents.read_layout_image(layout, spec)
    elif manifest_file:
        base = image_documents.read_image_files(manifest_file, config_file)
    else:
        base = image_documents.ImageDocuments({"layers": []}, {})

    config = build_config(spec, layers, base.config, base_name, problems)
    problems.raise_if_any()
    encoded_config = encode_document(config)
    layer_descriptors = [layer["descriptor"] for layer in layers]
    annotations = dict(spec["annotations"])
    if spec.get("annotate_capabilities"):
        image_annotations, layer_annotations = annotate_capabilities(base_contents, layers)
        annotations.update(image_annotations)
        layer_descriptors = [
            {**descriptor, "annotations": added} for descriptor, added in zip(layer_descriptors, layer_annotations, strict=True)
        ]
    manifest = encode_document(build_manifest(encoded_config, base.manifest["layers"] + layer_descriptors, annotations))
    descriptor = {**describe_blob(media_types.MANIFEST, manifest), "platform": describe_platform(config)}
    for path, data in zip(outputs, (manifest, encoded_config, encode_document(descriptor)), strict=True):
        files.write_whole(path, data)

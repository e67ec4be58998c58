"""Writes config, manifest and descriptor, from the layers' metadata alone."""

from __future__ import annotations

from rules_setcap.diagnostics import files
from rules_setcap.diagnostics.errors import InputError
from rules_setcap.oci import base, formats
from rules_setcap.oci.annotations import annotate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_setcap.actions.arguments import Arguments
    from rules_setcap.diagnostics.problems import Problems


def run_command(arguments: Arguments, problems: Problems) -> None:
    spec = files.read_json(arguments.take_value("spec"))
    layers = [metadata for path in arguments.take_values("layer") if not (metadata := files.read_json(path)).get("empty")]
    outputs = [arguments.take_value(f"{name}-output") for name in ("manifest", "config", "descriptor")]
    layout, manifest_file = arguments.take_value("base-layout", ""), arguments.take_value("base-manifest", "")
    contents = [files.read_json(path) for path in arguments.take_values("base-contents")]
    config_file, base_name = arguments.take_value("base-config", ""), arguments.take_value("base-name", "")
    arguments.check_all_taken()
    if problems.concern("base", "platform"):
        raise InputError(problems)

    if layout:
        below = base.load_layout(layout, spec)
    elif manifest_file:
        below = base.load_files(manifest_file, config_file)
    else:
        below = base.Base({"layers": []}, {})

    config = formats.build_config(spec, layers, below.config, base_name, problems)
    if problems:
        raise InputError(problems)
    encoded_config = formats.encode(config)
    descriptors = [layer["descriptor"] for layer in layers]
    annotations = dict(spec["annotations"])
    if spec.get("annotate_capabilities"):
        of_image, of_layers = annotate(contents, layers)
        annotations.update(of_image)
        descriptors = [{**descriptor, "annotations": each} for descriptor, each in zip(descriptors, of_layers)]
    manifest = formats.encode(formats.build_manifest(encoded_config, below.manifest["layers"] + descriptors, annotations))
    descriptor = {**formats.descriptor(formats.MANIFEST, manifest), "platform": formats.platform(config)}
    for path, data in zip(outputs, (manifest, encoded_config, formats.encode(descriptor))):
        files.write_whole(path, data)

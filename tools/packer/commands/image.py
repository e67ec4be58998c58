"""Makes config, manifest and descriptor, from the layers' metadata alone."""

from __future__ import annotations

from .. import base, files, oci, stamps
from ..annotations import of_image, of_layer
from ..errors import InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..arguments import Arguments


def run(arguments: Arguments, problems: list[str]) -> None:
    spec = files.read_json(arguments.one("config"))
    layers = [metadata for path in arguments.all("layer") if not (metadata := files.read_json(path)).get("empty")]
    outputs = [arguments.one(f"{name}-output") for name in ("manifest", "config", "descriptor")]
    layout, manifest_file = arguments.one("base-layout", ""), arguments.one("base-manifest", "")
    config_file = arguments.one("base-config", "")
    if (stamp := arguments.one("stamp", "")) and not spec["created"]:
        spec["created"] = stamps.rfc3339(stamps.timestamp(stamp))
    arguments.end()

    if layout:
        below = base.load_layout(layout, spec)
    elif manifest_file:
        below = base.load_files(manifest_file, config_file)
    else:
        below = base.Base({"layers": []}, {})

    config = oci.build_config(spec, layers, below.config, problems)
    if problems:
        raise InputError(problems)
    encoded_config = oci.encode(config)
    descriptors = below.manifest["layers"] + [layer["descriptor"] for layer in layers]
    said = dict(spec["annotations"])
    if spec.get("annotate_capabilities"):
        descriptors = below.manifest["layers"] + [of_layer(layer) for layer in layers]
        said.update(of_image(descriptors, problems))
    if problems:
        raise InputError(problems)
    manifest = oci.encode(oci.build_manifest(encoded_config, descriptors, said))
    descriptor = {**oci.descriptor(oci.MANIFEST, manifest), "platform": oci.platform(config)}
    for path, data in zip(outputs, (manifest, encoded_config, oci.encode(descriptor))):
        files.write_whole(path, data)

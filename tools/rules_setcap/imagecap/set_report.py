"""Reports what `imagecap set` has done.

`imagecap set --json` prints one object:

    version        1
    output         the path of the new image
    format         its kind: oci, oci-archive or docker-archive
    images         a list of objects, one for each image that was read for changes:
      platform       os/architecture[/variant]
      before, after  `manifest` and `config`, the digests; `manifest` is null for a Docker archive without manifests
      layers         a list of the layers that were written: `before`, the digest of the layer that it replaces, null for a new layer,
                     and `after`
      files          a list of the files: `path`; `before` and `after`, the capabilities as text, null for none
    notes          a list of sentences
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rules_setcap.diagnostics.errors import escape
from rules_setcap.getcap.output import JSON_VERSION
from rules_setcap.oci.descriptors import compute_digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rules_setcap.imagecap.changed_images import ChangedImage
    from rules_setcap.imagecap.setting import SetResult


def make_json_report(result: SetResult, output: str) -> dict[str, Any]:
    """Returns the JSON object.

    Args:
      result: what was set.
      output: the path of the new image.
    """
    return {
        "version": JSON_VERSION,
        "output": output,
        "format": result.kind,
        "images": [_describe_image(image, result.has_manifests) for image in result.images],
        "notes": result.notes,
    }


def format_report(result: SetResult) -> Iterator[str]:
    """Yields the lines of the report."""
    for image in result.images:
        described = _describe_image(image, result.has_manifests)
        key = "manifest" if result.has_manifests else "config"
        before, after = described["before"][key], described["after"][key]
        change = f"{before} -> {after}" if before != after else f"{before}, unchanged"
        yield f"{image.label or escape(image.plan.platform)}: {change}"
        for file in described["files"]:
            yield f"  {escape(file['path'])} {file['before'] or 'none'} -> {file['after'] or 'none'}"
        for layer in described["layers"]:
            yield f"  layer {layer['before']} -> {layer['after']}" if layer["before"] else f"  new layer {layer['after']}"
    for note in result.notes:
        yield f"note: {note}"


def _describe_image(image: ChangedImage, has_manifests: bool) -> dict[str, Any]:
    plan = image.plan
    old = plan.image.descriptor["digest"], plan.image.manifest["config"]["digest"]
    new = compute_digest(image.manifest), compute_digest(image.config)
    return {
        "platform": plan.platform,
        "before": {"manifest": old[0] if has_manifests else None, "config": old[1]},
        "after": {"manifest": new[0] if has_manifests else None, "config": new[1]},
        "layers": [{"before": before or None, "after": after} for before, after in image.layers],
        "files": [{"path": change.path, "before": change.before, "after": change.after} for change in plan.changes],
    }

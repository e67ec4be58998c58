"""Config and manifest of an image: OCI image-spec, "Image Configuration" and "Image Manifest"."""

from __future__ import annotations

import hashlib
import json
import re

from rules_setcap.archive.times import EPOCH
from rules_setcap.diagnostics.errors import InputError, problem, quote
from rules_setcap.oci.attributes import parse_ports

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping, Sequence

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"

# The order of the fields in the specification's Go types, which is how others print them.
_CONFIG_ORDER = ("created", "author", "architecture", "os", "os.version", "os.features", "variant", "config", "rootfs", "history")
_EXECUTION_ORDER = (
    "User",
    "ExposedPorts",
    "Env",
    "Entrypoint",
    "Cmd",
    "Volumes",
    "WorkingDir",
    "Labels",
    "StopSignal",
)


def encode(value: Mapping[str, Any]) -> bytes:
    """Returns JSON without white space, in the order of the keys.

    Raises:
      InputError: a base's config has half a surrogate pair, which cannot be encoded.
    """
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError as error:
        raise InputError([problem("base", error.object[error.start : error.end], "a string of its config is not UTF-8")]) from None


def descriptor(media_type: str, data: bytes) -> dict[str, Any]:
    """OCI image-spec, "Content Descriptors"."""
    return {"mediaType": media_type, "digest": "sha256:" + hashlib.sha256(data).hexdigest(), "size": len(data)}


def platform(config: Mapping[str, Any]) -> dict[str, str]:
    """The platform of a config, as descriptors in an index have it."""
    return {key: config[key] for key in ("architecture", "os", "variant") if config.get(key)}


def platform_text(config: Mapping[str, Any]) -> str:
    """Returns the platform of a config as users write it."""
    return "/".join(filter(None, (config.get(name) for name in ("os", "architecture", "variant"))))


def build_config(
    spec: Mapping[str, Any], layers: Sequence[Mapping[str, Any]], base: Mapping[str, Any], base_name: str, problems: list[str]
) -> dict[str, Any]:
    """Returns the config: the base's, changed by the target's attributes as Dockerfile instructions change it.

    `entrypoint` resets the base's `cmd`; `env`, `labels`, `exposed_ports` and `volumes` are
    added to the base's; the others replace it.

    Args:
      spec: the attributes of the target, checked and resolved by the command `attributes`.
      layers: metadata of the layers on top of the base, the lowest first.
      base: the config of the base; empty if there is none.
      base_name: the base's label, for messages.
      problems: list to which problems of attributes that refer to the base are added.
    """
    created = spec["created"] or EPOCH
    check_platform(spec, base, base_name, problems)

    execution = dict(base.get("config") or {})
    changes = {
        "User": spec["user"],
        "ExposedPorts": _added(execution.get("ExposedPorts"), parse_ports(spec["exposed_ports"], [])),
        "Env": _environment(execution.get("Env") or [], spec["env"], problems),
        "Entrypoint": spec["entrypoint"],
        "Cmd": spec["cmd"],
        "Volumes": _added(execution.get("Volumes"), spec["volumes"]),
        "WorkingDir": spec["working_dir"],
        "Labels": _sorted({**(execution.get("Labels") or {}), **spec["labels"]}),
        "StopSignal": spec["stop_signal"],
    }
    if spec["entrypoint"] is not None:
        execution.pop("Cmd", None)
    execution.update({key: value for key, value in changes.items() if value})

    rootfs = base.get("rootfs") or {"type": "layers", "diff_ids": []}
    config = dict(base)
    config.update(
        {
            "created": created,
            "architecture": spec["architecture"],
            "os": spec["os"],
            "config": _ordered(execution, _EXECUTION_ORDER),
            "rootfs": {"type": "layers", "diff_ids": rootfs["diff_ids"] + [layer["diff_id"] for layer in layers]},
            "history": (base.get("history") or [])
            + [{"created": created, "created_by": layer["created_by"]} for layer in layers],
        }
    )
    if spec["variant"] or base.get("variant"):
        config["variant"] = spec["variant"] or base["variant"]
    return _ordered(config, _CONFIG_ORDER)


def build_manifest(
    config: bytes, layers: Sequence[Mapping[str, Any]], annotations: Mapping[str, str]
) -> dict[str, Any]:
    """The manifest.

    Args:
      config: the config's bytes.
      layers: descriptors, the lowest first.
      annotations: of the manifest.
    """
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, config),
        "layers": [_ordered(layer, ("mediaType", "digest", "size")) for layer in layers],
    }
    if annotations:
        manifest["annotations"] = _sorted(annotations)
    return manifest


def _sorted(value: Mapping[str, Any]) -> dict[str, Any]:
    """By key, as Go prints maps."""
    return {key: value[key] for key in sorted(value)}


def _ordered(value: Mapping[str, Any], order: Sequence[str]) -> dict[str, Any]:
    """The keys of `order` first; others, which a base may have, after them by name."""
    keys = [key for key in order if key in value] + sorted(set(value) - set(order))
    return {key: value[key] for key in keys}


def check_platform(spec: Mapping[str, Any], base: Mapping[str, Any], base_name: str, problems: list[str]) -> None:
    """Adds a problem if the base is for another platform.

    Args:
      spec: the attributes of the target.
      base: the config of the base, or an object with its os, architecture and variant.
      base_name: the base's label.
      problems: list to add to.
    """
    names = ("os", "architecture", "variant")
    if any(base.get(name) and spec[name] and base[name] != spec[name] for name in names):
        what = f"is for {platform_text(base)}, and the image for {platform_text(spec)}; build for the base's platform, or choose another base"
        problems.append(problem("base", base_name, what))


def _added(known: Mapping[str, Any] | None, new: Sequence[str]) -> dict[str, Any]:
    """A set, as Go's map[string]struct{}."""
    return {key: {} for key in sorted({*(known or {}), *new})}


def _environment(known: Sequence[str], new: Mapping[str, str], problems: list[str]) -> list[str]:
    """Returns the base's variables, in place, and the new ones after them."""
    variables = dict(text.partition("=")[::2] for text in known)
    before = dict(variables)
    for name, value in new.items():

        def expand(match: re.Match[str], name: str = name) -> str:
            if match[0] == "$$":
                return "$"
            variable = match[1] or match[2]
            if variable not in before:
                what = f"the base has no variable {quote(variable)}; write $$ for a dollar sign"
                problems.append(problem("env", f"{name}={new[name]}", what))
                return ""
            return before[variable]

        variables[name] = re.sub(r"\$\$|\$\{(\w+)\}|\$(\w+)", expand, value, flags=re.ASCII)
    return [f"{name}={value}" for name, value in variables.items()]

"""Builds the config of an image: OCI image-spec, "OCI Image Configuration"."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rules_setcap.archive.times import EPOCH
from rules_setcap.diagnostics.errors import quote
from rules_setcap.oci.descriptors import order_keys, sort_keys
from rules_setcap.oci.image_attributes.checks import parse_ports
from rules_setcap.oci.platforms import format_platform

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from rules_setcap.diagnostics.problems import Problems

# The order of the fields in the specification's Go types, which is the order in which other tools write them.
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


def build_config(
    spec: Mapping[str, Any], layers: Sequence[Mapping[str, Any]], base: Mapping[str, Any], base_name: str, problems: Problems
) -> dict[str, Any]:
    """Returns the config of the base, changed by the attributes of the target as Dockerfile instructions change it.

    `entrypoint` resets the base's `cmd`; `env`, `labels`, `exposed_ports` and `volumes` are
    added to the base's; the others replace it.

    Args:
      spec: the attributes of the target, checked and resolved by the command `attributes`.
      layers: metadata of the layers on top of the base, the lowest first.
      base: the config of the base; empty if there is none.
      base_name: the label of the base, for messages.
      problems: collects the problems of attributes that refer to the base.
    """
    created = spec["created"] or EPOCH
    check_platform(spec, base, base_name, problems)

    execution = dict(base.get("config") or {})
    changes = {
        "User": spec["user"],
        "ExposedPorts": _add_to_set(execution.get("ExposedPorts"), parse_ports(spec["exposed_ports"])),
        "Env": _add_variables(execution.get("Env") or [], spec["env"], problems),
        "Entrypoint": spec["entrypoint"],
        "Cmd": spec["cmd"],
        "Volumes": _add_to_set(execution.get("Volumes"), spec["volumes"]),
        "WorkingDir": spec["working_dir"],
        "Labels": sort_keys({**(execution.get("Labels") or {}), **spec["labels"]}),
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
            "config": order_keys(execution, _EXECUTION_ORDER),
            "rootfs": {"type": "layers", "diff_ids": rootfs["diff_ids"] + [layer["diff_id"] for layer in layers]},
            "history": (base.get("history") or [])
            + [{"created": created, "created_by": layer["created_by"]} for layer in layers],
        }
    )
    if spec["variant"] or base.get("variant"):
        config["variant"] = spec["variant"] or base["variant"]
    return order_keys(config, _CONFIG_ORDER)


def check_platform(spec: Mapping[str, Any], base: Mapping[str, Any], base_name: str, problems: Problems) -> None:
    """Adds a problem if the base is for another platform than the image.

    Args:
      spec: the attributes of the target.
      base: the config of the base, or an object with its os, architecture and variant.
      base_name: the label of the base.
      problems: collects the problem.
    """
    names = ("os", "architecture", "variant")
    if any(base.get(name) and spec[name] and base[name] != spec[name] for name in names):
        what = f"is for {format_platform(base)}, and the image for {format_platform(spec)}; build for the base's platform, or choose another base"
        problems.add("base", base_name, what)


def _add_to_set(base: Mapping[str, Any] | None, added: Sequence[str]) -> dict[str, Any]:
    """Returns the union of two sets as JSON has a set: an object with an empty object for each member."""
    return {key: {} for key in sorted({*(base or {}), *added})}


def _add_variables(base: Sequence[str], added: Mapping[str, str], problems: Problems) -> list[str]:
    """Returns the variables of the base, each in its place, and the new ones after them.

    Args:
      base: NAME=VALUE each.
      added: values by name; $NAME and ${NAME} stand for a variable of the base, and $$ for a dollar sign.
      problems: collects the variables that the base does not have.
    """
    base_variables = dict(text.partition("=")[::2] for text in base)
    variables = dict(base_variables)
    for name, value in added.items():

        def expand(match: re.Match[str], name: str = name) -> str:
            if match[0] == "$$":
                return "$"
            variable = match[1] or match[2]
            if variable not in base_variables:
                what = f"the base has no variable {quote(variable)}; write $$ for a dollar sign"
                problems.add("env", f"{name}={added[name]}", what)
                return ""
            return base_variables[variable]

        variables[name] = re.sub(r"\$\$|\$\{(\w+)\}|\$(\w+)", expand, value, flags=re.ASCII)
    return [f"{name}={value}" for name, value in variables.items()]

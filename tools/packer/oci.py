"""Config and manifest of an image: OCI image-spec, "Image Configuration" and "Image Manifest"."""

from __future__ import annotations

import hashlib
import json
import re
import time

from .errors import InputError, problem, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping, Sequence

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
EPOCH = "1970-01-01T00:00:00Z"

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
    """JSON without white space; the order of keys is the caller's.

    Raises:
      InputError: a base's config has half a surrogate pair, which is no text.
    """
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError as error:
        raise InputError([problem("base", error.object[error.start : error.end], "a string of its config is no UTF-8")]) from None


def descriptor(media_type: str, data: bytes) -> dict[str, Any]:
    """OCI image-spec, "Content Descriptors"."""
    return {"mediaType": media_type, "digest": "sha256:" + hashlib.sha256(data).hexdigest(), "size": len(data)}


def platform(config: Mapping[str, Any]) -> dict[str, str]:
    """The platform of a config, as descriptors in an index have it."""
    return {key: config[key] for key in ("architecture", "os", "variant") if config.get(key)}


def build_config(
    spec: Mapping[str, Any], layers: Sequence[Mapping[str, Any]], base: Mapping[str, Any], problems: list[str]
) -> dict[str, Any]:
    """The config: what the base says, changed by what the target says, as Dockerfile instructions do.

    `entrypoint` resets the base's `cmd`; `env`, `labels`, `exposed_ports` and `volumes` are
    added to the base's; the others replace it.

    Args:
      spec: the attributes of the target, as the rule writes them.
      layers: metadata of the layers on top of the base, the lowest first.
      base: the config of the base, or nothing.
      problems: gets what is wrong with the attributes.
    """
    created = spec["created"] or EPOCH
    if not _is_time(created):
        problems.append(problem("created", created, f"not a time of RFC 3339; write it as {quote(EPOCH)}"))
    _check_platform(spec, base, problems)

    execution = dict(base.get("config") or {})
    changes = {
        "User": _checked(spec, "user", _is_user, "not a user; write uid, uid:gid, or names", problems),
        "ExposedPorts": _added(execution.get("ExposedPorts"), _ports(spec["exposed_ports"], problems)),
        "Env": _environment(execution.get("Env") or [], spec["env"], problems),
        "Entrypoint": spec["entrypoint"],
        "Cmd": spec["cmd"],
        "Volumes": _added(execution.get("Volumes"), spec["volumes"]),
        "WorkingDir": _checked(spec, "working_dir", lambda path: path.startswith("/"), "not absolute", problems),
        "Labels": _sorted({**(execution.get("Labels") or {}), **spec["labels"]}),
        "StopSignal": _checked(spec, "stop_signal", _is_signal, 'not a signal; write it as "SIGTERM" or "15"', problems),
    }
    if spec["entrypoint"] is not None:
        execution.pop("Cmd", None)
    execution.update({key: value for key, value in changes.items() if value})
    for path in spec["volumes"]:
        if not path.startswith("/"):
            problems.append(problem("volumes", path, "not absolute"))
    for key in spec["labels"]:
        if not key:
            problems.append(problem("labels", key, "a label has a name"))

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


def _check_platform(spec: Mapping[str, Any], base: Mapping[str, Any], problems: list[str]) -> None:
    for key in ("os", "architecture", "variant"):
        if base.get(key) and spec[key] and base[key] != spec[key]:
            problems.append(
                problem(
                    "base",
                    base[key],
                    f"is the base's {key}, and the image is for {quote(spec[key])}; build for the base's platform, or choose another base",
                )
            )


def _checked(spec: Mapping[str, Any], name: str, valid: Any, what: str, problems: list[str]) -> str:
    value: str = spec[name]
    if value and not valid(value):
        problems.append(problem(name, value, what))
    return value


def _is_user(text: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.@-]*(:[A-Za-z0-9_][A-Za-z0-9_.@-]*)?", text, re.ASCII) is not None


def _is_signal(text: str) -> bool:
    return re.fullmatch(r"SIG[A-Z0-9+-]+|[1-9][0-9]?", text, re.ASCII) is not None


def _is_time(text: str) -> bool:
    match = re.fullmatch(
        r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)", text, re.ASCII
    )
    if not match:
        return False
    try:
        time.strptime(match[1], "%Y-%m-%dT%H:%M:%S")
    except ValueError:
        return False
    return True


def _ports(ports: Sequence[str], problems: list[str]) -> list[str]:
    """`port/protocol` of each; tcp where none is named."""
    result = []
    for port in ports:
        number, _, protocol = port.partition("/")
        if re.fullmatch(r"[1-9][0-9]{0,4}", number, re.ASCII) and int(number) < 1 << 16 and protocol in ("", "tcp", "udp", "sctp"):
            result.append(f"{number}/{protocol or 'tcp'}")
        else:
            problems.append(problem("exposed_ports", port, 'not a port; write it as "80", "80/tcp" or "53/udp"'))
    return result


def _added(known: Mapping[str, Any] | None, new: Sequence[str]) -> dict[str, Any]:
    """A set, as Go's map[string]struct{}."""
    return {key: {} for key in sorted({*(known or {}), *new})}


def _environment(known: Sequence[str], new: Mapping[str, str], problems: list[str]) -> list[str]:
    """The base's variables, in place, and the new ones after them."""
    variables = dict(text.partition("=")[::2] for text in known)
    before = dict(variables)
    for name, value in new.items():
        if not re.fullmatch(r"[^=\0\s]+", name):
            problems.append(problem("env", name, "not a name of a variable"))
            continue

        def expand(match: re.Match[str], name: str = name) -> str:
            if match[0] == "$$":
                return "$"
            variable = match[1] or match[2]
            if variable not in before:
                problems.append(
                    problem("env", f"{name}={new[name]}", f"the base has no variable {quote(variable)}; write $$ for a dollar sign")
                )
                return ""
            return before[variable]

        variables[name] = re.sub(r"\$\$|\$\{(\w+)\}|\$(\w+)", expand, value, flags=re.ASCII)
    return [f"{name}={value}" for name, value in variables.items()]

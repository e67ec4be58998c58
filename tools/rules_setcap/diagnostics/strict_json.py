"""Reads JSON documents that come from outside: manifests, configs and indexes.

Container engines are written in Go. Its encoding/json takes the last of two equal keys, compares the names of fields
without regard to case, and replaces what is not Unicode. A document that it could read in another way than Python does
is refused.
"""

from __future__ import annotations

import json
import re

from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

_BRACKETS = re.compile(r"[][{}]")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class DocumentError(ValueError):
    """What is wrong with a document, as the end of a sentence that begins with its name."""


class Budget:
    """What the documents of one image archive or layout may take together."""

    def __init__(self) -> None:
        self._bytes = limits.JSON_BYTES
        self._values = limits.JSON_VALUES

    def spend(self, size: int, values: int) -> None:
        """Takes the size of a document off the budget.

        Args:
          size: bytes of the document.
          values: about the number of values in it.

        Raises:
          DocumentError: the budget is spent.
        """
        self._bytes -= size
        self._values -= values
        if self._bytes < 0:
            raise DocumentError(f"is one of JSON files that have together more than {limits.JSON_BYTES} bytes (limit JSON_BYTES)")
        if self._values < 0:
            raise DocumentError(f"is one of JSON files that have together more than {limits.JSON_VALUES} values (limit JSON_VALUES)")


# The names of fields, by document. A field with None holds a text, a number, or names that users choose.
_PLATFORM = dict.fromkeys(("architecture", "features", "os", "os.features", "os.version", "variant"))
_DESCRIPTOR: dict[str, Any] = {
    **dict.fromkeys(("annotations", "artifactType", "data", "digest", "mediaType", "size", "urls")),
    "platform": _PLATFORM,
}
MANIFEST: dict[str, Any] = {
    **dict.fromkeys(("annotations", "artifactType", "blobs", "fsLayers", "mediaType", "schemaVersion")),
    **{"config": _DESCRIPTOR, "subject": _DESCRIPTOR, "layers": [_DESCRIPTOR], "manifests": [_DESCRIPTOR]},
}
"""A manifest or an index."""
_EXECUTION: dict[str, Any] = {
    **dict.fromkeys(("ArgsEscaped", "AttachStderr", "AttachStdin", "AttachStdout", "Cmd", "Domainname", "Entrypoint", "Env")),
    **dict.fromkeys(("ExposedPorts", "Healthcheck", "Hostname", "Image", "Labels", "MacAddress", "NetworkDisabled", "OnBuild")),
    **dict.fromkeys(("OpenStdin", "Shell", "StdinOnce", "StopSignal", "StopTimeout", "Tty", "User", "Volumes", "WorkingDir")),
}
CONFIG: dict[str, Any] = {
    **_PLATFORM,
    **dict.fromkeys(("Size", "author", "comment", "container", "created", "docker_version", "id", "parent")),
    **{"config": _EXECUTION, "container_config": _EXECUTION, "rootfs": {"type": None, "diff_ids": None}},
    "history": [dict.fromkeys(("author", "comment", "created", "created_by", "empty_layer"))],
}
DOCKER: list[Any] = [dict.fromkeys(("Config", "LayerSources", "Layers", "Parent", "RepoTags"))]
"""The manifest.json of `docker save`."""
LAYOUT: dict[str, Any] = {"imageLayoutVersion": None}
"""The file oci-layout."""


def parse(data: bytes, fields: Any = None, budget: Budget | None = None) -> Any:
    """Returns the value of a document.

    Args:
      data: its bytes.
      fields: the names of its fields, one of the constants of this module; None if all of its keys are chosen by users.
      budget: what it and others may take together.

    Raises:
      DocumentError: it is not JSON, exceeds a limit, or could be read in two ways.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise DocumentError(f"is not UTF-8 at byte {error.start}") from None
    values = _count(text)
    (budget or Budget()).spend(len(data), values)
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_refuse_constant,
            parse_float=_float,
            parse_int=_int,
        )
    except DocumentError:
        raise
    except ValueError as error:
        what = f" at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        raise DocumentError(f"is not JSON{what}") from None
    if _SURROGATE.search(text):
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise DocumentError("has half of a surrogate pair, which is not Unicode") from None
    _check_fields(value, fields)
    return value


def _count(text: str) -> int:
    """Returns about how many values a document has.

    Raises:
      DocumentError: it has too many, or too many within each other, for json.loads().
    """
    text = text.replace("\\\\", "").replace('\\"', "")
    if text.count('"') > 4 * limits.JSON_VALUES:
        raise DocumentError(f"has more than {limits.JSON_VALUES} values (limit JSON_VALUES)")
    outside = "".join(text.split('"')[::2])  # What is between two quotes is a string.
    opened = outside.count("[") + outside.count("{")
    values = opened + outside.count(",")
    if values > limits.JSON_VALUES:
        raise DocumentError(f"has more than {limits.JSON_VALUES} values (limit JSON_VALUES)")
    if outside.count("]") + outside.count("}") > opened:
        raise DocumentError("is not JSON")
    if opened > limits.JSON_DEPTH:
        depth = 0
        for match in _BRACKETS.finditer(outside):
            depth += 1 if match[0] in "[{" else -1
            if depth > limits.JSON_DEPTH:
                raise DocumentError(f"has values more than {limits.JSON_DEPTH} levels deep (limit JSON_DEPTH)")
    return values + 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        names: set[str] = set()
        name = next(name for name, _ in pairs if name in names or names.add(name))  # type: ignore[func-returns-value]
        raise DocumentError(f"has the key {quote(name)} twice in one object; keep one")
    return made


def _refuse_constant(text: str) -> NoReturn:
    raise DocumentError(f"is not JSON: it has {text}")


def _int(text: str) -> int:
    # What Go's int64 and uint64 hold.
    if len(text) > 20 or not -(1 << 63) <= int(text) < 1 << 64:
        raise DocumentError(f"has the number {quote(text)}, which is out of range (64 bits)")
    return int(text)


def _float(text: str) -> float:
    import decimal

    number = float(text)
    # Others would read another number after it is written again.
    if len(text) > 32 or decimal.Decimal(text) != decimal.Decimal(repr(number)):
        raise DocumentError(f"has the number {quote(text)}, which a 64-bit floating-point number does not hold")
    return number


def _check_fields(value: Any, fields: Any) -> None:
    """Raises DocumentError if a key differs from the name of a field only in case: engines take it for the field."""
    if isinstance(fields, list) and isinstance(value, list):
        for each in value:
            _check_fields(each, fields[0])
    if not isinstance(fields, dict) or not isinstance(value, dict):
        return
    folded = {field.casefold(): field for field in fields} if value.keys() - fields.keys() else {}
    for key, each in value.items():
        if key in fields:
            _check_fields(each, fields[key])
        elif field := folded.get(key.casefold()):
            raise DocumentError(f"has the key {quote(key)}, which engines take for {quote(field)}; write {quote(field)}")

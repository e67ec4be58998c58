"""Parses JSON documents that come from outside: manifests, configs and indexes.

Container engines are written in Go. Its encoding/json takes the last of two equal keys, ignores case in the names of fields,
and replaces text that is not Unicode. A document that Go could read differently from Python is refused.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import quote

if TYPE_CHECKING:
    from typing import Any, NoReturn

_BRACKETS = re.compile(r"[][{}]")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class DocumentError(ValueError):
    """An invalid document. The message is the end of a sentence that begins with the name of the document."""


class JsonBudget:
    """The bytes and the values that the documents of one image archive or layout may have together."""

    def __init__(self) -> None:
        """Creates a budget with the limits JSON_BYTES and JSON_VALUES."""
        self._bytes_left = limits.JSON_BYTES
        self._values_left = limits.JSON_VALUES

    def spend_document(self, size: int, values: int) -> None:
        """Spends the bytes and values of one document.

        Args:
          size: the size of the document in bytes.
          values: the approximate number of values in it.

        Raises:
          DocumentError: the documents exceed a limit.
        """
        self._bytes_left -= size
        self._values_left -= values
        if self._bytes_left < 0:
            raise DocumentError(f"is one of JSON files that have together more than {limits.JSON_BYTES} bytes (limit JSON_BYTES)")
        if self._values_left < 0:
            raise DocumentError(
                f"is one of JSON files that have together more than {limits.JSON_VALUES} values (limit JSON_VALUES)"
            )


# The names of the fields of each kind of document. The value of a field is None if the field holds a text, a number, or an
# object whose keys users choose; else it is the fields of the object, in a list if the field holds a list of objects.
_PLATFORM = dict.fromkeys(("architecture", "features", "os", "os.features", "os.version", "variant"))
_DESCRIPTOR: dict[str, Any] = {
    **dict.fromkeys(("annotations", "artifactType", "data", "digest", "mediaType", "size", "urls")),
    "platform": _PLATFORM,
}
MANIFEST: dict[str, Any] = {
    **dict.fromkeys(("annotations", "artifactType", "blobs", "fsLayers", "mediaType", "schemaVersion")),
    "config": _DESCRIPTOR,
    "subject": _DESCRIPTOR,
    "layers": [_DESCRIPTOR],
    "manifests": [_DESCRIPTOR],
}
"""The fields of a manifest or an index."""
_EXECUTION: dict[str, Any] = {
    **dict.fromkeys(("ArgsEscaped", "AttachStderr", "AttachStdin", "AttachStdout", "Cmd", "Domainname", "Entrypoint", "Env")),
    **dict.fromkeys(("ExposedPorts", "Healthcheck", "Hostname", "Image", "Labels", "MacAddress", "NetworkDisabled", "OnBuild")),
    **dict.fromkeys(("OpenStdin", "Shell", "StdinOnce", "StopSignal", "StopTimeout", "Tty", "User", "Volumes", "WorkingDir")),
}
CONFIG: dict[str, Any] = {
    **_PLATFORM,
    **dict.fromkeys(("Size", "author", "comment", "container", "created", "docker_version", "id", "parent")),
    "config": _EXECUTION,
    "container_config": _EXECUTION,
    "rootfs": {"type": None, "diff_ids": None},
    "history": [dict.fromkeys(("author", "comment", "created", "created_by", "empty_layer"))],
}
"""The fields of a config."""
DOCKER: list[Any] = [dict.fromkeys(("Config", "LayerSources", "Layers", "Parent", "RepoTags"))]
"""The fields of the manifest.json of `docker save`."""
LAYOUT: dict[str, Any] = {"imageLayoutVersion": None}
"""The fields of the file oci-layout."""


def parse_document(data: bytes, fields: Any = None, budget: JsonBudget | None = None) -> Any:
    """Returns the value of a document.

    Args:
      data: the bytes of the document.
      fields: its fields, one of the constants of this module; None if users choose all of its keys.
      budget: the budget that it shares with other documents; by default, it has one of its own.

    Raises:
      DocumentError: the document is not JSON, exceeds a limit, or could be read in two ways.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise DocumentError(f"is not UTF-8 at byte {error.start}") from None
    values = _count_values(text)
    (budget or JsonBudget()).spend_document(len(data), values)
    try:
        value = json.loads(
            text,
            object_pairs_hook=_make_object,
            parse_constant=_refuse_constant,
            parse_float=_parse_float,
            parse_int=_parse_int,
        )
    except DocumentError:
        raise
    except ValueError as error:
        where = f" at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        raise DocumentError(f"is not JSON{where}") from None
    if _SURROGATE.search(text):
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise DocumentError("has half of a surrogate pair, which is not Unicode") from None
    _check_fields(value, fields)
    return value


def _count_values(text: str) -> int:
    """Returns the approximate number of values in a document, before json.loads() takes memory for them.

    Raises:
      DocumentError: the document has too many values, or too many levels of values.
    """
    text = text.replace("\\\\", "").replace('\\"', "")
    if text.count('"') > 4 * limits.JSON_VALUES:
        raise DocumentError(f"has more than {limits.JSON_VALUES} values (limit JSON_VALUES)")
    outside = "".join(text.split('"')[::2])  # Every second part is within quotes.
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


def _make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Returns the object of these keys and values; DocumentError if a key is repeated."""
    values = dict(pairs)
    if len(values) != len(pairs):
        keys: set[str] = set()
        for key, _ in pairs:
            if key in keys:
                raise DocumentError(f"has the key {quote(key)} twice in one object; keep one")
            keys.add(key)
    return values


def _refuse_constant(text: str) -> NoReturn:
    raise DocumentError(f"is not JSON: it has {text}")


def _parse_int(text: str) -> int:
    """Returns a number that Go's int64 or uint64 holds; DocumentError for other numbers."""
    if len(text) > 20 or not -(1 << 63) <= int(text) < 1 << 64:
        raise DocumentError(f"has the number {quote(text)}, which is out of range (64 bits)")
    return int(text)


def _parse_float(text: str) -> float:
    """Returns a number that keeps its value when it is written again as a 64-bit floating-point number; DocumentError for others."""
    import decimal

    number = float(text)
    if len(text) > 32 or decimal.Decimal(text) != decimal.Decimal(repr(number)):
        raise DocumentError(f"has the number {quote(text)}, which a 64-bit floating-point number does not hold")
    return number


def _check_fields(value: Any, fields: Any) -> None:
    """Raises DocumentError if a key differs from the name of a field only in case, because engines take it for the field."""
    if isinstance(fields, list) and isinstance(value, list):
        for item in value:
            _check_fields(item, fields[0])
    if not isinstance(fields, dict) or not isinstance(value, dict):
        return
    folded = {field.casefold(): field for field in fields} if value.keys() - fields.keys() else {}
    for key, item in value.items():
        if key in fields:
            _check_fields(item, fields[key])
        elif field := folded.get(key.casefold()):
            raise DocumentError(f"has the key {quote(key)}, which engines take for {quote(field)}; write {quote(field)}")

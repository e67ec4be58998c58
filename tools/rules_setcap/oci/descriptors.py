"""Encodes documents as JSON and describes blobs: OCI image-spec, "OCI Content Descriptors"."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from rules_setcap.diagnostics.errors import InputError, format_problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any


def encode_document(value: Mapping[str, Any]) -> bytes:
    """Returns JSON without white space, with the keys in the order that they have.

    Raises:
      InputError: a string has half a surrogate pair, which UTF-8 cannot encode; only the config of a base can have one.
    """
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError as error:
        raise InputError(
            [format_problem("base", error.object[error.start : error.end], "a string of its config is not UTF-8")]
        ) from None


def compute_digest(data: bytes) -> str:
    """Returns the digest of a blob: "sha256:" and 64 hexadecimal digits."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def describe_blob(media_type: str, data: bytes) -> dict[str, Any]:
    """Returns the descriptor of a blob."""
    return {"mediaType": media_type, "digest": compute_digest(data), "size": len(data)}


def order_keys(value: Mapping[str, Any], order: Sequence[str]) -> dict[str, Any]:
    """Returns a mapping with the keys of `order` first, and the other keys, which a base may have, after them by name."""
    keys = [key for key in order if key in value] + sorted(set(value) - set(order))
    return {key: value[key] for key in keys}


def sort_keys(value: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a mapping sorted by key, as Go prints maps."""
    return {key: value[key] for key in sorted(value)}

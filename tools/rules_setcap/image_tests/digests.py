"""Compares the digest of an image or index with the expected one."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rules_setcap.diagnostics import files, limits, strict_json
from rules_setcap.diagnostics.errors import InputError, escape, problem, quote
from rules_setcap.diagnostics.files import open_regular
from rules_setcap.oci import archive_import, blobs, image_documents

_DIGEST = re.compile("sha256:[0-9a-f]{64}", re.ASCII)

_Load = Callable[[str], Any]
"""Returns the manifest or index that has a digest; None if it is not there."""


def check_files(descriptor: str, contents: Sequence[str], expected: str, target: str) -> list[str]:
    """Returns the findings about an image, or index, of these rules.

    Args:
      descriptor: path of its descriptor.
      contents: paths of its manifests and indexes.
      expected: its expected digest.
      target: the test's label.

    Returns:
      An empty list if the digest is the expected one; else the digests of all its parts, and the command that writes
      the new digest into the BUILD file.

    Raises:
      InputError: `expected` is not a valid digest.
    """
    _check(expected)
    by_digest = {}
    for path in contents:
        data = files.read_file(path)
        by_digest["sha256:" + hashlib.sha256(data).hexdigest()] = data

    def load(digest: str) -> Any:
        return strict_json.parse_document(by_digest[digest]) if digest in by_digest else None

    return _compare(files.read_json(descriptor), load, expected, target)


def check_image(path: str, expected: str, target: str) -> list[str]:
    """Returns the findings about an image of another ruleset, as check_files does.

    Args:
      path: an OCI layout directory, or an archive.
      expected: its expected digest.
      target: the test's label.

    Raises:
      InputError: `expected` is not a valid digest.
    """
    _check(expected)
    with tempfile.TemporaryDirectory() as directory:
        layout = path if os.path.isdir(path) else os.path.join(directory, "layout")
        try:
            if layout != path:
                archive_import.import_archive(layout, path, attribute="image")
            return _layout(layout, expected, target)
        except InputError as error:
            return [text.replace(quote(layout), quote(path)) for text in error.problems]
        except OSError as error:
            return [problem("image", path, f"cannot be read: {error.strerror}")]


def _check(expected: str) -> None:
    if not _DIGEST.fullmatch(expected):
        what = "not a digest; write sha256: and 64 hexadecimal digits (with 64 zeros, the test prints the digest)"
        raise InputError([problem("digest", expected, what)])


def _layout(layout: str, expected: str, target: str) -> list[str]:
    def load(digest: str) -> Any:
        try:
            with open_regular(blobs.blob_path(layout, digest)) as file:
                return strict_json.parse_document(file.read(limits.JSON))
        except (OSError, ValueError, RecursionError):
            return None

    return _compare(image_documents.find_only_descriptor(layout), load, expected, target)


def _compare(descriptor: Mapping[str, Any], load: _Load, expected: str, target: str) -> list[str]:
    digest = descriptor["digest"]
    if digest == expected:
        return []
    # Bazel's labels may hold the shell's quotes.
    label = target if re.fullmatch("[-@/:.+_~A-Za-z0-9]+", target) else "'" + target.replace("'", "'\\''") + "'"
    return [
        problem("digest", expected, f"the image is {digest}, made of"),
        *_parts(descriptor, load, "  ", set()),
        f"if that is right, run\n  buildozer 'set digest \"{digest}\"' {label}",
    ]


def _parts(descriptor: Any, load: _Load, indent: str, seen: set[str]) -> list[str]:
    """Returns a line for each part of an image or index; what is not valid is left out.

    Args:
      descriptor: of the image or index.
      load: returns its content.
      indent: of the lines.
      seen: digests that are listed already, to which those of this one are added.
    """
    digest = descriptor.get("digest") if isinstance(descriptor, dict) else None
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest) or digest in seen or len(indent) > 2 + 2 * limits.INDEX_DEPTH:
        return []
    seen.add(digest)
    content = load(digest)
    if not isinstance(content, dict):
        return []  # An index may name images that the layout leaves out.
    members = content.get("manifests")
    if not isinstance(members, list):
        layers = content.get("layers")
        named = [("config", content.get("config"))]
        named += [(f"layer {at}", each) for at, each in enumerate(layers if isinstance(layers, list) else ())]
        return [f"{indent}{name} {escape(str(each.get('digest')))}" for name, each in named if isinstance(each, dict)]
    lines = []
    for each in members:
        if isinstance(each, dict):
            platform = each.get("platform")
            words = [platform.get(key) for key in ("os", "architecture")] if isinstance(platform, dict) else [None, None]
            lines.append(f"{indent}{escape('/'.join(map(str, words)))} {escape(str(each.get('digest')))}")
            lines += _parts(each, load, indent + "  ", seen)
    return lines

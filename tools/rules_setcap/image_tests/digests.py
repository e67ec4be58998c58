"""Compares the digest of an image or an index with the expected one."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rules_setcap.diagnostics import files, limits, strict_json
from rules_setcap.diagnostics.errors import InputError, escape, format_problem, quote
from rules_setcap.diagnostics.files import open_regular
from rules_setcap.oci import archive_import, blobs, image_documents

_DIGEST = re.compile("sha256:[0-9a-f]{64}", re.ASCII)

_LoadDocument = Callable[[str], Any]
"""Returns the manifest or index that has a digest; None if there is none."""


def check_built_image(descriptor: str, contents: Sequence[str], expected: str, target: str) -> list[str]:
    """Checks the digest of an image or an index that these rules have built.

    Args:
      descriptor: the path of its descriptor.
      contents: the paths of its manifests and indexes.
      expected: the expected digest.
      target: the label of the test.

    Returns:
      An empty list if the digest is the expected one; otherwise the digests of all parts, and the command that writes the new
      digest into the BUILD file.

    Raises:
      InputError: `expected` is not a valid digest.
    """
    _check_digest(expected)
    by_digest = {}
    for path in contents:
        data = files.read_file(path)
        by_digest["sha256:" + hashlib.sha256(data).hexdigest()] = data

    def load_document(digest: str) -> Any:
        return strict_json.parse_document(by_digest[digest]) if digest in by_digest else None

    return _compare_digests(files.read_json(descriptor), load_document, expected, target)


def check_foreign_image(path: str, expected: str, target: str) -> list[str]:
    """Checks the digest of an image of another ruleset.

    Args:
      path: the path of an OCI layout directory or an archive.
      expected: the expected digest.
      target: the label of the test.

    Returns:
      The findings, as check_built_image() returns them.

    Raises:
      InputError: `expected` is not a valid digest.
    """
    _check_digest(expected)
    with tempfile.TemporaryDirectory() as directory:
        layout = path if os.path.isdir(path) else os.path.join(directory, "layout")
        try:
            if layout != path:
                archive_import.import_archive(layout, path, attribute="image")
            return _check_layout(layout, expected, target)
        except InputError as error:
            return [text.replace(quote(layout), quote(path)) for text in error.problems]
        except OSError as error:
            return [format_problem("image", path, f"cannot be read: {error.strerror}")]


def _check_digest(expected: str) -> None:
    if not _DIGEST.fullmatch(expected):
        what = "not a valid digest; write sha256: and 64 hexadecimal digits (with 64 zeros, the test prints the digest)"
        raise InputError([format_problem("digest", expected, what)])


def _check_layout(layout: str, expected: str, target: str) -> list[str]:
    def load_document(digest: str) -> Any:
        try:
            with open_regular(blobs.blob_path(layout, digest)) as file:
                return strict_json.parse_document(file.read(limits.JSON))
        except (OSError, ValueError, RecursionError):
            return None

    return _compare_digests(image_documents.find_only_descriptor(layout), load_document, expected, target)


def _compare_digests(descriptor: Mapping[str, Any], load_document: _LoadDocument, expected: str, target: str) -> list[str]:
    digest = descriptor["digest"]
    if digest == expected:
        return []
    # Labels may have quotes, which the shell would interpret.
    label = target if re.fullmatch("[-@/:.+_~A-Za-z0-9]+", target) else "'" + target.replace("'", "'\\''") + "'"
    return [
        format_problem("digest", expected, f"the image is {digest}, made of"),
        *_list_parts(descriptor, load_document, "  ", set()),
        f"if that is right, run\n  buildozer 'set digest \"{digest}\"' {label}",
    ]


def _list_parts(descriptor: Any, load_document: _LoadDocument, indent: str, seen: set[str]) -> list[str]:
    """Returns a line for each part of an image or an index. Parts that are not valid are left out.

    Args:
      descriptor: the descriptor of the image or the index.
      load_document: returns its manifest or index.
      indent: the spaces before each line.
      seen: the digests that are listed already; those of this part are added.
    """
    digest = descriptor.get("digest") if isinstance(descriptor, dict) else None
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest) or digest in seen or len(indent) > 2 + 2 * limits.INDEX_DEPTH:
        return []
    seen.add(digest)
    content = load_document(digest)
    if not isinstance(content, dict):
        return []  # An index may name images that the layout does not have.
    members = content.get("manifests")
    if not isinstance(members, list):
        layers = content.get("layers")
        named = [("config", content.get("config"))]
        named += [(f"layer {number}", layer) for number, layer in enumerate(layers if isinstance(layers, list) else ())]
        return [f"{indent}{name} {escape(str(part.get('digest')))}" for name, part in named if isinstance(part, dict)]
    lines = []
    for member in members:
        if isinstance(member, dict):
            platform = member.get("platform")
            words = [platform.get(key) for key in ("os", "architecture")] if isinstance(platform, dict) else [None, None]
            lines.append(f"{indent}{escape('/'.join(map(str, words)))} {escape(str(member.get('digest')))}")
            lines += _list_parts(member, load_document, indent + "  ", seen)
    return lines

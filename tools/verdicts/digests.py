"""Compares the digest of an image or index with the expected one."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from packer import base, documents, files, unpack
from packer.errors import InputError, problem, quote

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
        data = files.read(path)
        by_digest["sha256:" + hashlib.sha256(data).hexdigest()] = data

    def load(digest: str) -> Any:
        return documents.parse(by_digest[digest]) if digest in by_digest else None

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
                unpack.write(layout, path, attribute="image")
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
            return documents.parse(files.read(base.blob_path(layout, digest)))
        except (OSError, ValueError, RecursionError):
            return None

    return _compare(base.only_descriptor(layout), load, expected, target)


def _compare(descriptor: Mapping[str, Any], load: _Load, expected: str, target: str) -> list[str]:
    digest = descriptor["digest"]
    if digest == expected:
        return []
    # Bazel's labels may hold the shell's quotes.
    label = target if re.fullmatch("[-@/:.+_~A-Za-z0-9]+", target) else "'" + target.replace("'", "'\\''") + "'"
    return [
        problem("digest", expected, f"the image is {digest}, made of"),
        *_parts(descriptor, load, "  "),
        f"if that is right, run\n  buildozer 'set digest \"{digest}\"' {label}",
    ]


def _parts(descriptor: Mapping[str, Any], load: _Load, indent: str) -> list[str]:
    content = load(descriptor["digest"])
    if not isinstance(content, dict):
        return []  # An index may name images that the layout leaves out.
    if "manifests" not in content:
        named = [("config", content.get("config")), *((f"layer {at}", each) for at, each in enumerate(content.get("layers") or []))]
        return [f"{indent}{name} {each['digest']}" for name, each in named if isinstance(each, dict)]
    lines = []
    for each in content["manifests"] or []:
        platform = each.get("platform") or {}
        lines.append(f"{indent}{platform.get('os')}/{platform.get('architecture')} {each['digest']}")
        lines += _parts(each, load, indent + "  ")
    return lines

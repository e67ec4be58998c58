"""Divides manifests by the images that they may name, so that the check of an image runs again only if those change.

    divide --name=NAME... --bundle=FILE... --manifest=FILE...

rules/private/kubernetes_manifests.bzl runs it. The bundle of a name is a JSON object: the texts of the manifests that may name
it, by path. Manifests that cannot be read are in no bundle: the action that writes the digests reports them. The exit code is 0;
1 if a file cannot be read or written; 2 if the command line is invalid.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from typing import TYPE_CHECKING

from rules_setcap.diagnostics import files, limits
from rules_setcap.diagnostics.errors import escape
from rules_setcap.oci.reference import parse_reference

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_WORD = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
_HIDING_ESCAPE = re.compile(r"\\(?:[xuU]|[ \t]*[\r\n])", re.ASCII)
"""The escapes that can stand for a part of a name: other characters by their number, and the end of a line."""


def main(arguments: Sequence[str]) -> int:
    """Writes the bundles that the command line names; returns the exit code."""
    parser = argparse.ArgumentParser(allow_abbrev=False, fromfile_prefix_chars="@")
    for flag in ("name", "bundle", "manifest"):
        parser.add_argument(f"--{flag}", action="append", default=[])
    options = parser.parse_args(arguments)
    try:
        texts = {path: text for path in options.manifest if (text := _read_text(path)) is not None}
        for path, bundle in zip(options.bundle, divide_manifests(options.name, texts), strict=True):
            files.write_whole(path, json.dumps(bundle).encode())
    except OSError as error:
        print(f"{escape(str(error.filename))}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def divide_manifests(names: Sequence[str], texts: Mapping[str, str]) -> list[dict[str, str]]:
    """Returns for each name the texts of the manifests that may name the image.

    Args:
      names: the names of images, as in the attribute `images` of kubernetes_manifests.
      texts: the texts of the manifests, by path.
    """
    words = {path: frozenset(_WORD.findall(text)) for path, text in texts.items()}
    hiding = {path for path, text in texts.items() if _HIDING_ESCAPE.search(text)}
    bundles = []
    for name in names:
        word = _find_word(name)
        bundles.append({path: text for path, text in texts.items() if not word or word in words[path] or path in hiding})
    return bundles


def read_bundle(path: str) -> dict[str, bytes]:
    """Returns the manifests of a bundle by their paths."""
    return {name: text.encode() for name, text in json.loads(files.read_file(path)).items()}


def _read_text(path: str) -> str | None:
    """Returns the text of a manifest; None if it is too large, or not UTF-8."""
    with files.open_regular(path) as file:
        data = file.read(limits.YAML + 1)
    try:
        return data.decode() if len(data) <= limits.YAML else None
    except UnicodeDecodeError:
        return None


def _find_word(name: str) -> str:
    """Returns a word that every text has that names an image: the last part of its repository; "" if the name is not valid."""
    if name.startswith("ko://"):
        return name.rpartition("/")[2] if _WORD.fullmatch(name.rpartition("/")[2]) else ""
    try:
        return str(parse_reference(name).repository).rpartition("/")[2]
    except ValueError:
        return ""

"""Compares the digest of an image or an index with the expected one."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from rules_setcap.archive.times import EPOCH
from rules_setcap.diagnostics import files, limits, strict_json
from rules_setcap.diagnostics.errors import InputError, escape, format_problem, quote
from rules_setcap.diagnostics.files import open_regular
from rules_setcap.oci import archive_import, blobs, image_documents

_DIGEST = re.compile("sha256:[0-9a-f]{64}", re.ASCII)
_NO_DIGEST = "sha256:" + "0" * 64  # Users write it to see the digest.


class ImageName(NamedTuple):
    """How users name an image of the build.

    Attributes:
      label: its label.
      path: its path below the workspace, after it has been built.
    """

    label: str
    path: str


class DigestTest(NamedTuple):
    """A target of digest_test.

    Attributes:
      label: its label.
      digest: the expected digest.
      image: the name of the image.
    """

    label: str
    digest: str
    image: ImageName


_LoadDocument = Callable[[str], Any]
"""Returns the manifest or index that has a digest; None if there is none."""


def check_built_image(descriptor: str, contents: Sequence[str], test: DigestTest) -> list[str]:
    """Checks the digest of an image or an index that these rules have built.

    Args:
      descriptor: the path of its descriptor.
      contents: the paths of its manifests, configs and indexes.
      test: the target.

    Returns:
      An empty list if the digest is the expected one; otherwise the digests of all parts, the command that shows what differs,
      and the command that writes the new digest into the BUILD file.

    Raises:
      InputError: the expected digest is not valid.
    """
    check_digest(test.digest)
    by_digest = {}
    for path in contents:
        data = files.read_file(path)
        by_digest["sha256:" + hashlib.sha256(data).hexdigest()] = data

    def load_document(digest: str) -> Any:
        return strict_json.parse_document(by_digest[digest]) if digest in by_digest else None

    return _compare_digests(files.read_json(descriptor), load_document, test)


def check_foreign_image(path: str, test: DigestTest) -> list[str]:
    """Checks the digest of an image of another ruleset.

    Args:
      path: the path of an OCI layout directory or an archive.
      test: the target.

    Returns:
      The findings, as check_built_image() returns them.

    Raises:
      InputError: the expected digest is not valid.
    """
    check_digest(test.digest)
    with tempfile.TemporaryDirectory() as directory:
        layout = path if os.path.isdir(path) else os.path.join(directory, "layout")
        try:
            if layout != path:
                archive_import.import_archive(layout, path, attribute="image")
            return _check_layout(layout, test)
        except InputError as error:
            return [text.replace(quote(layout), quote(path)) for text in error.problems]
        except OSError as error:
            return [format_problem("image", path, f"cannot be read: {error.strerror}")]


def check_digest(expected: str) -> None:
    """Raises InputError if the expected digest is not valid."""
    if not _DIGEST.fullmatch(expected):
        what = "not a valid digest; write sha256: and 64 hexadecimal digits (with 64 zeros, the test prints the digest)"
        raise InputError([format_problem("digest", expected, what)])


def _check_layout(layout: str, test: DigestTest) -> list[str]:
    def load_document(digest: str) -> Any:
        try:
            with open_regular(blobs.blob_path(layout, digest)) as file:
                return strict_json.parse_document(file.read(limits.JSON))
        except (OSError, ValueError, RecursionError):
            return None

    return _compare_digests(image_documents.find_only_descriptor(layout), load_document, test)


def _compare_digests(descriptor: Mapping[str, Any], load_document: _LoadDocument, test: DigestTest) -> list[str]:
    digest = descriptor["digest"]
    if digest == test.digest:
        return []
    command = [] if test.digest == _NO_DIGEST else [describe_command(test.image, f"REGISTRY/IMAGE@{test.digest}")]
    return [
        format_problem("digest", test.digest, f"the image is {digest}, made of"),
        *_list_parts(descriptor, load_document, "  ", set()),
        *command,
        describe_update(digest, test),
    ]


def describe_command(image: ImageName, expected: str, expected_label: str = "") -> str:
    """Returns the lines with the command that shows what differs.

    Args:
      image: the image.
      expected: the path or the name of the expected image.
      expected_label: its label; "" if it is not built.
    """
    labels = " ".join(_quote(label) for label in (expected_label, image.label) if label)
    compare = f"bazel run @rules_setcap//tools/image_diff -- {_quote(expected)} {_quote(image.path)}"
    return f"to see what differs, run\n  bazel build --output_groups=+oci_layout {labels} && {compare}"


def describe_update(digest: str, test: DigestTest) -> str:
    """Returns the lines with the command that writes a digest into the BUILD file."""
    return f"if that is right, run\n  buildozer 'set digest \"{digest}\"' {_quote(test.label)}"


def _quote(text: str) -> str:
    """Returns a label or a path for a shell. Labels may have quotes."""
    return text if re.fullmatch("[-@/:.+_~A-Za-z0-9]+", text) else "'" + text.replace("'", "'\\''") + "'"


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
        return [
            f"{indent}{name} {escape(str(part.get('digest')))}{_describe_time(part, load_document) if name == 'config' else ''}"
            for name, part in named
            if isinstance(part, dict)
        ]
    lines = []
    for member in members:
        if isinstance(member, dict):
            platform = member.get("platform")
            words = [platform.get(key) for key in ("os", "architecture")] if isinstance(platform, dict) else [None, None]
            lines.append(f"{indent}{escape('/'.join(map(str, words)))} {escape(str(member.get('digest')))}")
            lines += _list_parts(member, load_document, indent + "  ", seen)
    return lines


def _describe_time(descriptor: Mapping[str, Any], load_document: _LoadDocument) -> str:
    """Returns the time in a config, if it is one that may differ from build to build; "" otherwise."""
    config = load_document(str(descriptor.get("digest")))
    created = config.get("created") if isinstance(config, dict) else None
    if not isinstance(created, str) or created == EPOCH:
        return ""
    return f", created {escape(created[:40])}: a time that differs from build to build changes the digest"

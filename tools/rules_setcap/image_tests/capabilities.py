"""Compares the capabilities in an image with the expected ones."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from rules_setcap import capabilities
from rules_setcap.diagnostics.errors import InputError, escape, problem, quote
from rules_setcap.oci.image_reader import Image


def parse_expected(texts: Mapping[str, str]) -> dict[str, capabilities.FileCapabilities]:
    """Returns the expected capabilities by path.

    Args:
      texts: path -> text, as in file_capabilities.

    Raises:
      InputError: with every invalid path and text.
    """
    expected: dict[str, capabilities.FileCapabilities] = {}
    problems: list[str] = []
    for path, text in texts.items():
        if not path.startswith("/"):
            problems.append(problem("expected", path, f"must be absolute; write {quote('/' + path)}"))
        try:
            known = capabilities.from_list([text])
            if known is not None:  # It is None only for an empty list.
                expected[path] = known
        except capabilities.CapabilityError as error:
            problems += [f"expected: {text}" for text in error.problems]
    if problems:
        raise InputError(problems)
    return expected


def compare(images: Sequence[Image], expected: Mapping[str, capabilities.FileCapabilities]) -> list[str]:
    """Returns a sentence for each difference, and the lines to write if the image is right.

    Args:
      images: one for each platform.
      expected: by path, for all files that have capabilities.

    Returns:
      An empty list if there is no difference.
    """
    findings: list[str] = []
    for image in images:
        where = f" ({escape(image.platform)})" if len(images) > 1 else ""
        findings += image.problems
        for path in sorted(expected.keys() | image.capabilities.keys()):
            have, want = image.capabilities.get(path), expected.get(path)
            if have == want:
                continue
            present = have.to_text() if have is not None else "no capabilities"
            what = f"has {present}, and {want.to_text()} is expected" if want is not None else f"has {present}, which is not expected"
            findings.append(problem("expected", path, what + where))
    if not findings:
        return []
    actual = {path: known.to_text() for image in images for path, known in sorted(image.capabilities.items())}
    lines = "".join(f"\n    {json.dumps(path)}: {json.dumps(text)}," for path, text in actual.items())
    return [*findings, "if the image is right, write\n  expected = {" + lines + ("\n  }," if lines else "},")]

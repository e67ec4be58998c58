"""Compares the capabilities of an image's files with the expected ones."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rules_setcap import capabilities
from rules_setcap.diagnostics.errors import escape, format_problem, quote
from rules_setcap.diagnostics.problems import Problems

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rules_setcap.oci.image_reader import Image


def parse_expected_capabilities(texts: Mapping[str, str]) -> dict[str, capabilities.FileCapabilities]:
    """Parses the attribute expected of a capability_test.

    Args:
      texts: capability text by path, as in file_capabilities.

    Returns:
      The capabilities by path.

    Raises:
      InputError: paths or texts are not valid.
    """
    expected: dict[str, capabilities.FileCapabilities] = {}
    problems = Problems()
    for path, text in texts.items():
        if not path.startswith("/"):
            problems.add("expected", path, f"must be absolute; write {quote('/' + path)}")
        try:
            value = capabilities.from_list([text])
            if value is not None:  # It is None only for an empty list.
                expected[path] = value
        except capabilities.CapabilityError as error:
            problems.extend(f"expected: {message}" for message in error.problems)
    problems.raise_if_any()
    return expected


def compare_capabilities(images: Sequence[Image], expected: Mapping[str, capabilities.FileCapabilities]) -> list[str]:
    """Compares the capabilities of images with the expected ones.

    Args:
      images: the images, one for each platform.
      expected: the capabilities by path, of all files that have some.

    Returns:
      A finding for each difference, and the lines to write if the image is right; an empty list if there is no difference.
    """
    findings: list[str] = []
    for image in images:
        platform = f" ({escape(image.platform)})" if len(images) > 1 else ""
        findings += image.problems
        for path in sorted(expected.keys() | image.capabilities.keys()):
            actual_value, expected_value = image.capabilities.get(path), expected.get(path)
            if actual_value == expected_value:
                continue
            actual = actual_value.to_text() if actual_value is not None else "no capabilities"
            if expected_value is not None:
                what = f"has {actual}, and {expected_value.to_text()} is expected"
            else:
                what = f"has {actual}, which is not expected"
            findings.append(format_problem("expected", path, what + platform))
    if not findings:
        return []
    texts = {path: value.to_text() for image in images for path, value in sorted(image.capabilities.items())}
    lines = "".join(f"\n    {json.dumps(path)}: {json.dumps(text)}," for path, text in texts.items())
    return [*findings, "if the image is right, write\n  expected = {" + lines + ("\n  }," if lines else "},")]

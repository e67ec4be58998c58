"""Compares an image with one that has the expected digest, and reports the differences."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from rules_setcap.diagnostics.errors import InputError, format_problem, quote
from rules_setcap.diff.compare import compare_sources
from rules_setcap.diff.report_text import format_report
from rules_setcap.diff.sources import open_source
from rules_setcap.image_tests.digests import check_digest, describe_command, describe_update

if TYPE_CHECKING:
    from rules_setcap.image_tests.digests import DigestTest, ImageName


def compare_with_image(path: str, expected_path: str, test: DigestTest, expected_name: ImageName) -> list[str]:
    """Checks the digest of an image, and compares the image with the expected one if it has another digest.

    Args:
      path: the path of the image: an OCI layout directory or an archive.
      expected_path: the path of the image with the expected digest, likewise.
      test: the target.
      expected_name: the name of the image with the expected digest.

    Returns:
      An empty list if both images have the expected digest; otherwise the findings.

    Raises:
      InputError: the expected digest is not valid.
    """
    check_digest(test.digest)
    try:
        with contextlib.ExitStack() as stack:
            before = open_source(expected_name.path, expected_path, stack)
            after = open_source(test.image.path, path, stack)
            if before.digest != test.digest:
                what = f"its digest is {before.digest or 'not known'}, and `digest` is {test.digest}; give the image that has this digest"
                return [format_problem("expected_image", expected_name.label, what)]
            if after.digest == test.digest:
                return []
            lines = format_report(compare_sources(before, after))
            return [
                format_problem("digest", test.digest, f"the image is {after.digest}"),
                *(line for line in lines if line),
                describe_command(test.image, expected_name.path, expected_name.label),
                describe_update(after.digest, test),
            ]
    except InputError as error:
        return error.problems
    except OSError as error:
        return [f"image: {quote(error.filename)}: cannot be read: {error.strerror}"]

"""Writes the report of a test; an empty report means that the test passes. rules/private/verdict.bzl runs it.

    capabilities --target=LABEL --report=FILE --image=IMAGE --expected=JSON
    digest --target=LABEL --report=FILE --digest=DIGEST (--descriptor=FILE --content=FILE... | --image=IMAGE)
    kubernetes --target=LABEL --report=FILE --image=IMAGE --name=IMAGE --runtime=RUNTIME --level=LEVEL --manifest=FILE...
        [--program=PATH...]

IMAGE is an OCI layout directory, the index.json of one, or an archive of an image. --problem=TEXT is a problem that
the rule found.

Findings about images and manifests go to the report, so that they fail the test and not the build. Invalid
attributes fail the build. The exit status is 0 with a report; 1 without one, if attributes are invalid; 2 if the
command line is; 70 after an internal error.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence

from rules_setcap.diagnostics.errors import INTERNAL, InputError, format_internal_error, printable
from rules_setcap.diagnostics.files import write_whole
from rules_setcap.oci import image_reader


def main(arguments: Sequence[str]) -> int:
    """Runs a subcommand; returns the exit status."""
    parser = argparse.ArgumentParser(allow_abbrev=False, fromfile_prefix_chars="@")
    parser.add_argument("subject", choices=["capabilities", "digest", "kubernetes"])
    for flag in ("target", "report"):
        parser.add_argument(f"--{flag}", required=True)
    for flag in ("descriptor", "digest", "image", "level", "name", "runtime"):
        parser.add_argument(f"--{flag}", default="")
    parser.add_argument("--expected", default="{}")
    for flag in ("content", "manifest", "problem", "program"):
        parser.add_argument(f"--{flag}", action="append", default=[])
    options = parser.parse_args(arguments)
    try:
        if options.problem:
            raise InputError(options.problem)
        findings = _findings(options)
    except InputError as error:
        for text in error.problems:
            print(f"{options.target}: {printable(text)}", file=sys.stderr)
        return 1
    except Exception as error:
        print(f"{options.target}: {format_internal_error(error)}", file=sys.stderr)
        return INTERNAL
    write_whole(options.report, "".join(f"{options.target}: {_report(text)}\n" for text in findings).encode())
    return 0


def _findings(options: argparse.Namespace) -> list[str]:
    """Returns the findings of the subject's check.

    Raises:
      InputError: attributes are invalid.
    """
    image = options.image
    if os.path.basename(image) == "index.json":
        image = os.path.dirname(image)
    # Each check imports only what it needs: only that of Kubernetes has PyYAML.
    if options.subject == "digest":
        from rules_setcap.image_tests import digests

        if image:
            return digests.check_image(image, options.digest, options.target)
        return digests.check_files(options.descriptor, options.content, options.digest, options.target)
    if options.subject == "capabilities":
        from rules_setcap.image_tests import capabilities

        expected = capabilities.parse_expected(json.loads(options.expected))
        return _of_images(image, lambda found: capabilities.compare(found, expected))
    from rules_setcap.image_tests import manifests

    attributes = manifests.parse_attributes(options.name, options.runtime, options.level, options.program)
    return _of_images(image, lambda found: manifests.check(found, options.manifest, attributes))


def _report(finding: str) -> str:
    """Returns a finding with printable lines; some have lines to copy into a BUILD file."""
    return "\n".join(map(printable, finding.split("\n")))


def _of_images(path: str, check: Callable[[Sequence[image_reader.Image]], list[str]]) -> list[str]:
    """Returns what a check finds in the images at a path; images and manifests that cannot be read are findings."""
    try:
        return check(image_reader.read_images(path))
    except InputError as error:
        return error.problems
    except OSError as error:
        return [f"image: {error.filename or path}: {error.strerror}"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

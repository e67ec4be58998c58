"""Writes the report of a test. An empty report means that the test passes. rules/private/image_tests.bzl runs it.

    capabilities --target=LABEL --report=FILE --image=IMAGE --expected=JSON
    digest --target=LABEL --report=FILE --digest=DIGEST --image-name=NAME --image=IMAGE
        [--expected-image=IMAGE --expected-name=NAME]
    kubernetes --target=LABEL --report=FILE --image=IMAGE --name=NAME --runtime=RUNTIME --level=LEVEL [--manifest=FILE...]
        [--program=PATH...] [--mapped] [--bundle=FILE] [--custom-resources]

IMAGE is an OCI layout directory, the index.json of one, or an archive of an image. An image that Bazel built has its single
files instead: --image-descriptor=FILE --image-document=FILE... --image-metadata=FILE... --image-blob=FILE...
--image-base-blob=FILE... --image-base-layout=DIRECTORY..., as BuiltImage describes them. Without --expected-image, `digest` needs
no blobs. NAME is a JSON list of the label and the path of an image, as users type them; in `kubernetes`, the name of the image in
the manifests. --problem=TEXT is a problem that the rule found.

--mapped is for an image of kubernetes_manifests. The action of that rule which writes the manifests reads the report, too. --bundle
has manifests that manifest_bundles.py has written. The tool of Kubernetes has the subcommands `divide` (manifest_bundles.py) and
`resolve` (resolve.py) besides.

Findings about images and manifests are written to the report, so that they fail the test and not the build. Invalid
attributes fail the build. The exit code is 0 with a report; 1 without one, if attributes are invalid; 2 if the command line
is invalid; 70 after an internal error.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from typing import TYPE_CHECKING

from rules_setcap.diagnostics.errors import INTERNAL, InputError, format_internal_error, printable
from rules_setcap.diagnostics.files import write_whole
from rules_setcap.oci import built_images, image_reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_IMAGES = ("image", "expected-image")


def main(arguments: Sequence[str]) -> int:
    """Runs the check that the command line names; returns the exit code."""
    parser = argparse.ArgumentParser(allow_abbrev=False, fromfile_prefix_chars="@")
    parser.add_argument("command", choices=["capabilities", "digest", "kubernetes"])
    for flag in ("target", "report"):
        parser.add_argument(f"--{flag}", required=True)
    for flag in (
        "bundle",
        "digest",
        "level",
        "name",
        "runtime",
        *(f"{image}{suffix}" for image in _IMAGES for suffix in ("", "-descriptor")),
    ):
        parser.add_argument(f"--{flag}", default="")
    parser.add_argument("--expected", default="{}")
    for flag in ("expected-name", "image-name"):
        parser.add_argument(f"--{flag}", type=json.loads, default=("", ""))
    for flag in (
        "manifest",
        "problem",
        "program",
        *(f"{image}-{part}" for image in _IMAGES for part in built_images.PARTS),
    ):
        parser.add_argument(f"--{flag}", action="append", default=[])
    for flag in ("custom-resources", "mapped"):
        parser.add_argument(f"--{flag}", action="store_true")
    options = parser.parse_args(arguments)
    try:
        if options.problem:
            raise InputError(options.problem)
        findings = _run_check(options)
    except InputError as error:
        for problem in error.problems:
            print(f"{options.target}: {problem}", file=sys.stderr)
        return 1
    except Exception as error:
        print(f"{options.target}: {format_internal_error(error)}", file=sys.stderr)
        return INTERNAL
    report = "".join(f"{options.target}: {_make_printable(finding)}\n" for finding in findings)
    write_whole(options.report, report.encode())
    return 0


def _run_check(options: argparse.Namespace) -> list[str]:
    """Runs a check, and returns its findings.

    Raises:
      InputError: attributes are invalid.
    """
    if (
        options.command == "digest"
        and options.image_descriptor
        and not options.expected_image_descriptor + options.expected_image
    ):
        from rules_setcap.image_tests import digests

        target = digests.DigestTest(options.target, options.digest, digests.ImageName(*options.image_name))
        return digests.check_built_image(options.image_descriptor, options.image_document, target)
    with _open_image(options, "image") as image, _open_image(options, "expected_image") as expected_image:
        return _check_image(options, image, expected_image)


@contextlib.contextmanager
def _open_image(options: argparse.Namespace, name: str) -> Iterator[str]:
    """Yields the path of the OCI layout directory or of the archive of an image; "" if it is not given.

    Args:
      options: the flags.
      name: the name of the flag, with underscores.
    """
    if descriptor := getattr(options, f"{name}_descriptor"):
        parts = [getattr(options, f"{name}_{part.replace('-', '_')}") for part in built_images.PARTS]
        with built_images.open_layout(built_images.BuiltImage(descriptor, *parts)) as layout:
            yield layout
    else:
        path = getattr(options, name)
        yield os.path.dirname(path) if os.path.basename(path) == "index.json" else path


def _check_image(options: argparse.Namespace, image: str, expected_image: str) -> list[str]:
    """Runs a check, and returns its findings.

    Args:
      options: the flags.
      image: the path of the OCI layout directory or of the archive of the image.
      expected_image: that of the expected image; "" if there is none.

    Raises:
      InputError: attributes are invalid.
    """
    # Each check imports only what it needs, because only that of Kubernetes has PyYAML.
    if options.command == "digest":
        from rules_setcap.image_tests import digests

        target = digests.DigestTest(options.target, options.digest, digests.ImageName(*options.image_name))
        if expected_image:
            from rules_setcap.image_tests import expected_image as expected_images

            return expected_images.compare_with_image(image, expected_image, target, digests.ImageName(*options.expected_name))
        return digests.check_foreign_image(image, target)
    if options.command == "capabilities":
        from rules_setcap.image_tests import expected_capabilities

        expected = expected_capabilities.parse_expected_capabilities(json.loads(options.expected))
        return _check_images(image, lambda images: expected_capabilities.compare_capabilities(images, expected))
    from rules_setcap.image_tests import kubernetes_manifests

    try:
        attributes = kubernetes_manifests.parse_test_attributes(
            options.name,
            options.runtime,
            options.level,
            options.program,
            is_mapped=options.mapped,
            allows_custom_resources=options.custom_resources,
        )
    except InputError as error:
        if options.mapped:
            return error.problems  # The reader of the report has problems of its own, and reports all at once.
        raise
    if options.bundle:
        from rules_setcap.image_tests import manifest_bundles

        manifests = manifest_bundles.read_bundle(options.bundle)
        return _check_images(image, lambda images: kubernetes_manifests.check_texts(images, manifests, attributes))
    return _check_images(image, lambda images: kubernetes_manifests.check_manifests(images, options.manifest, attributes))


def _make_printable(finding: str) -> str:
    """Returns a finding with printable characters only. Its lines are kept, because some are to be copied into a BUILD file."""
    return "\n".join(map(printable, finding.split("\n")))


def _check_images(path: str, check: Callable[[Sequence[image_reader.Image]], list[str]]) -> list[str]:
    """Returns the findings of a check about the images at a path. An image that cannot be read is a finding too."""
    try:
        return check(image_reader.read_images(path))
    except InputError as error:
        return error.problems
    except OSError as error:
        return [f"image: {error.filename or path}: {error.strerror}"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

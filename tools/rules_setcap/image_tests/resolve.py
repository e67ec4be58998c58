"""Writes what kubernetes_manifests builds. rules/private/kubernetes_manifests.bzl runs it.

    resolve --target=LABEL --image=JSON... [--descriptor=KEY=FILE | --layout=KEY=PATH] [--destination=KEY=FILE]
        [--manifest=FILE --output=FILE]... --joined=FILE --helm=FILE --kustomize=FILE --helm-values=JSON --runtime=RUNTIME
        [--digests-required] [--report=KEY=FILE...] [--problem=TEXT...]

The value of --image is a JSON list of the number, the name and the label of an image; the other flags name the image by KEY,
its number. A report is one of the subcommand `kubernetes` about an image. Its findings are problems too, so that nothing is
written unless the containers get the capabilities of their files. The exit code is 0; 1 if there are problems; 2 if the command
line is invalid; 70 after an internal error.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from rules_setcap.containers.engines import parse_engine
from rules_setcap.diagnostics.errors import INTERNAL, InputError, escape, format_internal_error, quote
from rules_setcap.diagnostics.files import read_file, write_whole
from rules_setcap.diagnostics.problems import Problems
from rules_setcap.documents.yaml_streams import join_files
from rules_setcap.image_tests.mapped_images import ImageMap, Mapping, check_names, read_image
from rules_setcap.image_tests.resolved_manifests import ManifestResolver
from rules_setcap.image_tests.value_files import format_helm_values, format_kustomization

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def main(arguments: Sequence[str]) -> int:
    """Writes the files that the command line names; returns the exit code."""
    options = _parse_options(arguments)
    try:
        for path, data in _make_outputs(options).items():
            write_whole(path, data)
    except InputError as error:
        for problem in dict.fromkeys(error.problems):
            print(f"{options.target}: {problem}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{options.target}: {escape(str(error.filename))}: {error.strerror}", file=sys.stderr)
        return 1
    except Exception as error:
        print(f"{options.target}: {format_internal_error(error)}", file=sys.stderr)
        return INTERNAL
    return 0


def _parse_options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(allow_abbrev=False, fromfile_prefix_chars="@")
    for flag in ("helm", "joined", "kustomize", "runtime", "target"):
        parser.add_argument(f"--{flag}", required=True)
    for flag in ("manifest", "output", "problem"):
        parser.add_argument(f"--{flag}", action="append", default=[])
    for flag in ("descriptor", "destination", "layout", "report"):
        parser.add_argument(f"--{flag}", action="append", default=[], type=_parse_numbered_path)
    parser.add_argument("--image", action="append", default=[], type=json.loads)
    parser.add_argument("--helm-values", type=json.loads, default={})
    parser.add_argument("--digests-required", action="store_true")
    return parser.parse_args(arguments)


def _parse_numbered_path(text: str) -> tuple[int, str]:
    number, _, path = text.partition("=")
    return int(number), path


def _make_outputs(options: argparse.Namespace) -> dict[str, bytes]:
    """Returns the contents of all files by their paths.

    Raises:
      InputError: there are problems.
      OSError: a file cannot be read.
    """
    problems = Problems(options.problem)
    paths = {flag: dict(getattr(options, flag)) for flag in ("descriptor", "destination", "layout")}
    mappings = [
        Mapping(name, label, **{flag: paths[flag].get(number, "") for flag in paths}) for number, name, label in options.image
    ]
    check_names([mapping.name for mapping in mappings], problems)
    images = [read_image(mapping, problems) for mapping in mappings]
    with problems.collect():
        engine_name = "containerd"
        engine_name = parse_engine(options.runtime).name
    resolver = ManifestResolver(ImageMap(images), problems, engine_name=engine_name, digests_required=options.digests_required)
    manifests = resolver.resolve_files(options.manifest)
    helm_values = format_helm_values(images, options.helm_values, problems)
    for number, report in options.report:
        problems.extend(_read_findings(report, options.target, mappings[number], is_readable=bool(images[number].digest)))
    problems.raise_if_any()
    return {
        **dict(zip(options.output, manifests, strict=True)),
        options.joined: join_files(manifests),
        options.helm: helm_values,
        options.kustomize: format_kustomization(images),
    }


def _read_findings(report: str, target: str, mapping: Mapping, *, is_readable: bool) -> Iterator[str]:
    """Yields the findings in a report about an image.

    Args:
      report: the path of the report.
      target: the label with which its lines begin.
      mapping: the image.
      is_readable: whether its digest could be read; if not, that has been reported.
    """
    for line in read_file(report).decode().splitlines():
        finding = line.removeprefix(f"{target}: ")
        prefix = f"image: {quote(mapping.layout)}: "
        if not finding.startswith(prefix):
            yield finding
        elif is_readable:
            yield f"images: {quote(mapping.label)}: {finding.removeprefix(prefix)}"

"""The command `image_diff A B`, or `imagecap diff A B`."""

from __future__ import annotations

import contextlib
import os
import tempfile
from typing import TYPE_CHECKING

from rules_setcap.diagnostics import progress
from rules_setcap.diagnostics.command_line import SHARED_STATUSES, CommandParser
from rules_setcap.diagnostics.console import format_json
from rules_setcap.diagnostics.errors import escape
from rules_setcap.diagnostics.problems import Problems
from rules_setcap.diagnostics.standard_input import (
    STANDARD_INPUT,
    copy_standard_input,
    open_standard_input,
    reject_repeated_standard_input,
)
from rules_setcap.diff.compare import compare_sources
from rules_setcap.diff.model import KINDS
from rules_setcap.diff.registry import parse_registry_name, pull_image
from rules_setcap.diff.report_html import make_html_report
from rules_setcap.diff.report_json import make_json_report
from rules_setcap.diff.report_sarif import make_sarif_log
from rules_setcap.diff.report_text import format_report
from rules_setcap.diff.sources import open_source
from rules_setcap.oci.image_names import reject_image_name, reject_plain_directory
from rules_setcap.oci.named_images import IMAGE_FLAG, IMAGE_FLAG_HELP

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from contextlib import ExitStack

    from rules_setcap.diagnostics.program_names import ProgramNames
    from rules_setcap.diff.model import Difference
    from rules_setcap.diff.sources import Source

STATUSES = {
    0: "the images are the same, apart from what --ignore names",
    1: "the images differ",
    2: "an image cannot be read, the images cannot be compared, or a flag is wrong",
    **SHARED_STATUSES,
}
"""The meaning of each exit status. docs/image-diff.md has the same table."""

_DESCRIPTION = """\
Compares two images without unpacking or running them, and prints the differences in the terms of images: which layer, which
entry, which field. Capabilities come first, as a container sees them. Lines about the first image begin with "-", lines about
the second with "+"; "before -> after" is the value of a field in each."""
_IMAGE_HELP = (
    'an OCI layout directory, an archive of an image, a tar of files, or the name of an image in a registry; "-" for an archive '
    "or a tar on standard input"
)
_EXAMPLES = (
    "{diff} old.tar bazel-bin/app/image",
    "{diff} registry.example/app:v1 registry.example/app:v2",
    "docker save app:dev | {diff} - bazel-bin/app/image",
    "{diff} --ignore mtime --ignore order old.tar new.tar",
    "{diff} --html old.tar new.tar > difference.html",
    "{diff} --json old.tar new.tar | jq '.images[].capabilities'",
)


def compare_images(arguments: Sequence[str], names: ProgramNames) -> int:
    """Compares the images that the command line names, prints the report, and returns the exit status, as STATUSES describes it.

    Args:
      arguments: the command line, without the name of the command.
      names: the names of the program.

    Raises:
      InputError: an image is not valid, or the images cannot be compared.
      OSError: a file cannot be read.
    """
    parser = make_parser(names)
    options = parser.parse_command(arguments)
    reject_repeated_standard_input(parser, (options.before, options.after))
    if len(options.image_names) > 2:
        parser.error(f"argument {IMAGE_FLAG}: there are two images; write it once for both, or twice")
    with contextlib.ExitStack() as stack:
        difference = _compare(options, names, stack)
    _print_report(difference, options)
    return 0 if difference.is_same else 1


def make_parser(names: ProgramNames) -> CommandParser:
    """Returns the parser of the command line."""
    kinds = "\n".join(["kinds of changes, in the order of the report:", *(f"  {kind}: {what}" for kind, what in KINDS.items())])
    notes = [kinds, "docs/image-diff.md describes the report and the keys of JSON."]
    examples = [names.fill(example) for example in _EXAMPLES]
    parser = CommandParser(names.diff, _DESCRIPTION, examples=examples, statuses=STATUSES, notes=notes, program=names.program)
    parser.add_argument("before", metavar="A", help=f"the first image: {_IMAGE_HELP}")
    parser.add_argument("after", metavar="B", help="the second image, likewise")
    parser.add_argument(
        "--platform", default="", metavar="OS/ARCH[/VARIANT]", help="of an index, compare the images for this platform only"
    )
    parser.add_argument(
        IMAGE_FLAG,
        action="append",
        default=[],
        metavar="NAME",
        dest="image_names",
        help=f"{IMAGE_FLAG_HELP}; written twice, the first is for A and the second for B",
    )
    parser.add_argument(
        "--ignore",
        action="append",
        default=[],
        choices=tuple(KINDS),
        metavar="KIND",
        help="leave out changes of this kind, and count them; may be repeated",
    )
    parser.add_argument("--all", action="store_true", help="print long lists completely")
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print JSON")
    output.add_argument("--html", action="store_true", help="print a page for a browser, which needs nothing else")
    output.add_argument(
        "--sarif", action="store_true", help="print the capabilities that differ as SARIF 2.1.0, for code scanning; nothing else"
    )
    return parser


def _compare(options: argparse.Namespace, names: ProgramNames, stack: ExitStack) -> Difference:
    """Opens both images and compares them; the problems of both are reported together."""
    problems = Problems()
    sources: list[Source] = []
    stack.enter_context(progress.show_progress(names.program))
    image_names = (options.image_names * 2)[:2] if len(options.image_names) < 2 else options.image_names
    for name, image_name in zip((options.before, options.after), image_names or ("", ""), strict=True):
        with problems.collect():
            try:
                sources.append(_open_argument(name, image_name, names, stack))
            except OSError as error:
                problems.add_message(f"{escape(error.filename or name)}: {error.strerror or error}")
    problems.raise_if_any()
    before, after = sources
    return compare_sources(before, after, options.platform, options.ignore)


def _open_argument(name: str, image_name: str, names: ProgramNames, stack: ExitStack) -> Source:
    """Opens an argument of the command line.

    Raises:
      InputError: it is not a valid image.
      OSError: it cannot be read.
    """
    if name == STANDARD_INPUT:
        stream = open_standard_input("image", f"docker save app | {names.diff} - B")
        path = os.path.join(stack.enter_context(tempfile.TemporaryDirectory(prefix="image_diff-")), "image")
        progress.begin_step("copying standard input", None)
        copy_standard_input(stream, path)
        return open_source(name, path, stack, image_name)
    if registry_name := parse_registry_name(name):
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="image_diff-"))
        return open_source(name, pull_image(registry_name, name, directory), stack, image_name)
    reject_image_name(name)
    reject_plain_directory(name, f"{names.diff} - B")
    return open_source(name, name, stack, image_name)


def _print_report(difference: Difference, options: argparse.Namespace) -> None:
    """Prints the report in the format that the options select."""
    if options.json:
        print(format_json(make_json_report(difference)))
    elif options.sarif:
        print(format_json(make_sarif_log(difference)))
    elif options.html:
        for line in make_html_report(difference):
            print(line)
    else:
        for line in format_report(difference, show_all=options.all):
            print(line)

"""The command `getcap --review`, or `imagecap review`: reports the dangers of images."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from rules_setcap.containers.engines import BEHAVIOURS, Engine, parse_engine
from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.command_line import CommandParser
from rules_setcap.diagnostics.console import format_json, print_error
from rules_setcap.diagnostics.errors import InputError, escape
from rules_setcap.diagnostics.standard_input import reject_repeated_standard_input
from rules_setcap.getcap import allowlist_format, exit_statuses, review_rules
from rules_setcap.getcap.allowlist import Allowlist
from rules_setcap.getcap.inputs import IMAGE_HELP, read_file, read_images
from rules_setcap.getcap.review_image import Finding, Review, review_image
from rules_setcap.getcap.review_json import make_json_report
from rules_setcap.getcap.review_sarif import make_sarif_log
from rules_setcap.getcap.review_text import format_report
from rules_setcap.getcap.reviewed_image import ReviewedImage
from rules_setcap.oci.named_images import IMAGE_FLAG, IMAGE_FLAG_HELP

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from rules_setcap.diagnostics.program_names import ProgramNames
    from rules_setcap.oci.image import Image

_DESCRIPTION = """\
Lists the files of images that have capabilities or set-ID bits, with what an attacker gains from each, whether a container with
a runtime's defaults can use it, and other problems."""
_EXAMPLES = (
    "{review} app.tar",
    "docker save app:dev | {review} -",
    "{review} --print-allow image > image.allow",
    "{review} --allow image.allow --sarif image > image.sarif",
)
_NOTES = ("docs/review.md describes the format of allowlists, the keys of JSON and the findings.",)
_DEFAULT_WIDTH = 120  # Characters in a line of output that is not a terminal.


def review_images(arguments: Sequence[str], names: ProgramNames) -> int:
    """Runs the command and returns the exit status: 0, 1 or 2, as exit_statuses.REVIEW describes them.

    Raises:
      InputError: the allowlist or the name of a runtime is not valid.
      OSError: the allowlist cannot be read.
    """
    options = _parse_options(arguments, names)
    # nerdctl grants the same capabilities as containerd.
    engines = [parse_engine(options.runtime)] if options.runtime else [Engine(name) for name in BEHAVIOURS if name != "nerdctl"]
    allowlist = Allowlist()
    if options.allow is not None:
        allowlist = allowlist_format.parse_allowlist(read_file(options.allow, limits.TEXT, "--allow", names), options.allow)
    reviews: list[tuple[str, Image, Review]] = []
    errors: list[str] = []
    for path in options.images:
        try:
            images = read_images(path, options.platform, names, image_name=options.image_name)
            reviews += [(path, image, review_image(image, engines)) for image in images]
        except InputError as error:
            errors += error.problems
        except OSError as error:
            errors.append(f"{escape(path)}: {error.strerror or error}")
    for message in errors:
        print_error(names.program, message)
    if options.print_allow:
        print(allowlist_format.format_allowlist((review for _, _, review in reviews), allowlist), end="")
        return 2 if errors else 0
    reviewed = [
        ReviewedImage(path, image.platform, review, allowlist.filter_findings(review), image.names)
        for path, image, review in reviews
    ]
    # An image that cannot be read may need any line.
    stale_lines = [] if errors else list(allowlist.find_stale_lines())
    _print_report(options, reviewed, stale_lines, errors)
    if errors:
        return 2
    return 1 if stale_lines or any(image.findings for image in reviewed) else 0


def make_parser(names: ProgramNames) -> CommandParser:
    """Returns the parser of the command line after `getcap --review` or `imagecap review`."""
    rules = ", ".join(f"{rule.id} {rule.name}" for rule in review_rules.RULES)
    parser = CommandParser(
        names.review,
        _DESCRIPTION,
        examples=[names.fill(example) for example in _EXAMPLES],
        statuses=exit_statuses.REVIEW,
        notes=[*_NOTES, f"rules: {rules}"],
        program=names.program,
    )
    parser.add_argument("images", nargs="+", metavar="IMAGE", help=IMAGE_HELP)
    parser.add_argument(
        "--allow", metavar="FILE", help='the allowlist: the privileges that the images may have; "-" for standard input'
    )
    parser.add_argument(
        "--runtime", metavar="NAME[@VERSION]", help="the runtime whose defaults are used; the newest of each by default"
    )
    parser.add_argument(
        "--platform", default="", metavar="OS/ARCH[/VARIANT]", help="of an index, the images for this platform; all by default"
    )
    parser.add_argument(IMAGE_FLAG, default="", metavar="NAME", dest="image_name", help=IMAGE_FLAG_HELP)
    output = parser.add_mutually_exclusive_group()
    output.add_argument(
        "--print-allow", action="store_true", help="print an allowlist of everything that the images have, and exit with 0"
    )
    output.add_argument("--json", action="store_true", help="print JSON")
    output.add_argument("--sarif", action="store_true", help="print SARIF 2.1.0")
    return parser


def _parse_options(arguments: Sequence[str], names: ProgramNames) -> argparse.Namespace:
    """Parses the command line; exits with 2 if a flag is wrong."""
    parser = make_parser(names)
    options = parser.parse_command(arguments)
    reject_repeated_standard_input(parser, [*options.images, options.allow])
    return options


def _print_report(
    options: argparse.Namespace, images: list[ReviewedImage], stale_lines: list[Finding], errors: list[str]
) -> None:
    """Prints the report in the format that the options select."""
    if options.json:
        print(format_json(make_json_report(images, stale_lines, errors)))
    elif options.sarif:
        print(format_json(make_sarif_log(images, stale_lines, errors, options.allow or "")))
    else:
        width = shutil.get_terminal_size((_DEFAULT_WIDTH, 24)).columns if sys.stdout.isatty() else _DEFAULT_WIDTH
        for line in format_report(images, stale_lines, width):
            print(line)

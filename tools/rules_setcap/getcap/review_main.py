"""The command line of getcap --review."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence

from rules_setcap.containers.engines import BEHAVIOURS, Engine, parse_engine
from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import InputError, printable
from rules_setcap.diagnostics.files import open_regular
from rules_setcap.getcap import allowlist, review_report, rules
from rules_setcap.getcap.cli import Formatter, Parser, read
from rules_setcap.getcap.review import Finding, Review, review

_DESCRIPTION = """\
Lists the files with capabilities and the set-user-ID and set-group-ID files of images, what each gives an attacker,
whether a container with a runtime's defaults can use it, and what else is wrong with them."""
_EPILOG = """\
exit status: 0 if there is nothing beyond the allowlist; 1 if there are findings; 2 if something cannot be read, or a flag is
wrong. The format of allowlists, the keys of JSON and the findings are described in docs/review.md."""
_WIDTH = 120  # Letters, where there is no terminal.


def main(arguments: Sequence[str]) -> int:
    """Runs it; returns the exit status.

    Raises:
      InputError: a flag or the allowlist is wrong.
      OSError: the allowlist cannot be read.
    """
    parser = Parser(
        prog="getcap --review",
        description=_DESCRIPTION,
        epilog=_EPILOG + " Rules: " + ", ".join(f"{rule.id} {rule.name}" for rule in rules.RULES) + ".",
        allow_abbrev=False,
        formatter_class=Formatter,
    )
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="an OCI layout directory, an archive of an image, or a tar of files")
    parser.add_argument("--allow", metavar="FILE", help="the allowlist: what images may have")
    parser.add_argument("--runtime", metavar="NAME[@VERSION]", help="judge by the defaults of this runtime; the newest of all by default")
    parser.add_argument("--platform", default="", metavar="OS/ARCH[/VARIANT]", help="of an index, the images for this; all by default")
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--print-allow", action="store_true", help="print an allowlist of all that the images have, and exit with 0")
    output.add_argument("--json", action="store_true", help="print JSON")
    output.add_argument("--sarif", action="store_true", help="print SARIF 2.1.0")
    options = parser.parse_args(arguments)
    # nerdctl grants what containerd does.
    runtimes = [parse_engine(options.runtime)] if options.runtime else [Engine(name) for name in BEHAVIOURS if name != "nerdctl"]
    allowed = allowlist.Allowlist()
    if options.allow is not None:
        allowed = allowlist.read(_bytes(options.allow), options.allow)
    reviews: list[tuple[str, str, Review]] = []
    errors: list[str] = []
    for path in options.images:
        try:
            reviews += [(path, image.platform, review(image, runtimes)) for image in read(path, options.platform)]
        except InputError as error:
            errors += error.problems
        except OSError as error:
            errors.append(f"{path}: {error.strerror or error}")
    for text in errors:
        print(printable(f"getcap: {text}"), file=sys.stderr)
    if options.print_allow:
        print(allowlist.write((each for _, _, each in reviews), allowed), end="")
        return 2 if errors else 0
    reviewed = [review_report.Reviewed(path, platform, each, allowed.filter(each)) for path, platform, each in reviews]
    # What an image that cannot be read needs of the allowlist is not known.
    stale = [] if errors else list(allowed.stale())
    _print(options, reviewed, stale, errors)
    if errors:
        return 2
    return 1 if stale or any(each.findings for each in reviewed) else 0


def _bytes(path: str) -> bytes:
    """Returns the content of a file, as much as an allowlist may have and one byte more."""
    with open_regular(path) as file:
        return file.read(limits.TEXT + 1)


def _print(options: argparse.Namespace, reviewed: list[review_report.Reviewed], stale: list[Finding], errors: list[str]) -> None:
    if options.json:
        print(json.dumps(review_report.to_json(reviewed, stale, errors), indent=2))
    elif options.sarif:
        print(json.dumps(review_report.to_sarif(reviewed, stale, errors, options.allow or ""), indent=2))
    else:
        width = shutil.get_terminal_size((_WIDTH, 24)).columns if sys.stdout.isatty() else _WIDTH
        for line in review_report.text(reviewed, stale, width):
            print(line)

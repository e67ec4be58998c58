"""The flags of `bazel run` of image_release."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from rules_setcap.delivery.release import selection
from rules_setcap.delivery.release.hooks import find_hook
from rules_setcap.diagnostics.command_line import SHARED_STATUSES, CommandParser
from rules_setcap.diagnostics.errors import quote
from rules_setcap.oci import reference

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

STATUSES = {
    0: "all images are in their registries, with their tags; or --against has printed its report",
    1: "some are not; lines on stderr give the reasons",
    2: "a flag is wrong",
    **SHARED_STATUSES,
}
"""The meaning of each exit status. docs/releases.md has the same table."""


def parse_flags(target: str, flags: Sequence[str]) -> argparse.Namespace:
    """Parses the user's flags for a target of image_release; prints an error and exits with 2 if they are not valid."""
    parser = make_parser(target)
    options = parser.parse_command(flags)
    if options.diff and not options.against:
        parser.error("argument --diff: has no effect without --against; add --against FILE")
    for name in ("output", "hooks", "attach_capabilities", "dry_run"):
        if options.against and getattr(options, name):
            flag = "--hook" if name == "hooks" else f"--{name.replace('_', '-')}"
            parser.error(f"argument {flag}: has no effect with --against, which pushes nothing; remove one of them")
    return options


def make_parser(target: str) -> CommandParser:
    """Returns the parser of the user's flags for a target of image_release."""
    run = f"bazel run {target}"
    parser = CommandParser(
        f"{run} --",
        "Pushes what the registries lack of many images, and moves the tags at the end.",
        examples=[
            run,
            f"{run} -- --tag v42 --tag latest --output digests.json",
            f"{run} -- --dry-run --only //services/...",
            f"{run} -- --repository-prefix localhost:5000/test",
        ],
        statuses=STATUSES,
        notes=["The client for registries, crane or skopeo, uses its own credentials."],
        program="image_release",
        message_prefix=target,
    )
    add = parser.add_argument
    add(
        "--tag",
        dest="tags",
        action="append",
        type=make_type(reference.check_tag),
        help="a tag of all images, in place of those of the targets; may be repeated",
    )
    add(
        "--repository-prefix",
        metavar="PREFIX",
        type=make_type(selection.check_prefix),
        help="a registry, and a path in it, in place of the registry of each target; without a repository, an image has the path of its package",
    )
    add(
        "--only",
        action="append",
        metavar="PATTERN",
        default=[],
        help="only the images of matching targets, such as //services/..., or of matching repositories, such as *-web; may be repeated",
    )
    add("--dry-run", action="store_true", help="ask the registries what they lack, and push nothing")
    add(
        "--output",
        metavar="FILE",
        default="",
        help="write repository, tags, digest, status and capabilities of each image to a JSON file",
    )
    add(
        "--against",
        metavar="FILE",
        default="",
        help="push nothing, and print how the images differ from those in the --output of an earlier release",
    )
    add(
        "--diff", action="store_true", help="with --against, also compare the images as image_diff does, by those in the registry"
    )
    add("--attach-capabilities", action="store_true", help="attach the capabilities of each image as an OCI referrer artifact")
    add(
        "--hook",
        dest="hooks",
        action="append",
        metavar="PROGRAM",
        default=[],
        type=make_type(find_hook),
        help="run a program on each pushed image, repository@digest, before the tags move; may be repeated",
    )
    add(
        "--jobs",
        type=make_type(_parse_jobs),
        metavar="N",
        default=8,
        help="the number of images that are pushed at the same time (default: 8)",
    )
    add(
        "--retries",
        type=make_type(_parse_retries),
        metavar="N",
        default=5,
        help="the number of retries of what may pass (default: 5)",
    )
    add(
        "--insecure",
        action="store_true",
        help="allow plain HTTP, and certificates that cannot be verified; always set for a registry on this machine",
    )
    add(
        "--bazel",
        metavar="COMMAND",
        default="",
        help="the command that downloads blobs from the remote cache (default: $BAZEL, bazelw, bazelisk or bazel)",
    )
    add(
        "--build-flag",
        dest="build_flags",
        action="append",
        metavar="FLAG",
        default=[],
        help="a flag of that bazel build, such as --build-flag=--config=ci; may be repeated",
    )
    return parser


def make_type(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """Returns the type of an argument.

    Args:
      parse: returns the value of the argument, None for the text itself; raises ValueError if it is not valid.
    """

    def convert(text: str) -> Any:
        try:
            value = parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{quote(text)}: {error}") from None
        return text if value is None else value

    return convert


def _parse_jobs(text: str) -> int:
    return _parse_number(text, 1, 256)


def _parse_retries(text: str) -> int:
    return _parse_number(text, 0, 20)


def _parse_number(text: str, low: int, high: int) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 9 and low <= int(text) <= high):
        raise ValueError(f"must be a number from {low} to {high}")
    return int(text)

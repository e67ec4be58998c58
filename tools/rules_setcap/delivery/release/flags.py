"""The flags of `bazel run` of image_release."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_setcap.delivery.program_flags import CREDENTIALS_NOTE, INSECURE_HELP, add_timeout
from rules_setcap.delivery.release import selection
from rules_setcap.delivery.release.hooks import find_hook
from rules_setcap.delivery.release.local_blobs import check_command
from rules_setcap.diagnostics.command_line import SHARED_STATUSES, CommandParser, parse_number
from rules_setcap.oci import reference

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

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

    def check(options: argparse.Namespace) -> None:
        if options.diff and not options.against:
            parser.add_problem("argument --diff: has no effect without --against; add --against FILE")
        for name in ("output", "hooks", "attach_capabilities", "dry_run"):
            if options.against and getattr(options, name):
                flag = "--hook" if name == "hooks" else f"--{name.replace('_', '-')}"
                parser.add_problem(f"argument {flag}: has no effect with --against, which pushes nothing; remove one of them")

    return parser.parse_command(flags, check)


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
        notes=[CREDENTIALS_NOTE],
        program="image_release",
        message_prefix=target,
    )
    add, add_checked = parser.add_argument, parser.add_checked_argument
    add_checked(
        "--tag",
        reference.check_tag,
        dest="tags",
        action="append",
        help="a tag of all images, in place of those of the targets; may be repeated",
    )
    add_checked(
        "--repository-prefix",
        selection.check_prefix,
        metavar="PREFIX",
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
    add_checked(
        "--output",
        _check_path,
        metavar="FILE",
        help="write repository, tags, digest, status and capabilities of each image to a JSON file",
    )
    add_checked(
        "--against",
        _check_path,
        metavar="FILE",
        help="push nothing, and print how the images differ from those in the --output of an earlier release",
    )
    add(
        "--diff", action="store_true", help="with --against, also compare the images as image_diff does, by those in the registry"
    )
    add("--attach-capabilities", action="store_true", help="attach the capabilities of each image as an OCI referrer artifact")
    add_checked(
        "--hook",
        find_hook,
        dest="hooks",
        action="append",
        metavar="PROGRAM",
        default=[],
        help="run a program on each pushed image, repository@digest, before the tags move; may be repeated",
    )
    add_checked(
        "--jobs",
        _parse_jobs,
        metavar="N",
        default=8,
        help="the number of images that are pushed at the same time (default: 8)",
    )
    add_checked(
        "--retries",
        _parse_retries,
        metavar="N",
        default=5,
        help="the number of retries of what may pass (default: 5)",
    )
    add_timeout(parser, "the longest time in seconds that a client or Bazel may make no progress, and that a hook may take")
    add("--insecure", action="store_true", help=INSECURE_HELP)
    add_checked(
        "--bazel",
        check_command,
        metavar="COMMAND",
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


def _check_path(text: str) -> None:
    """Checks the path of a file. An empty one is often that of a variable without a value.

    Raises:
      ValueError: it is empty.
    """
    if not text:
        raise ValueError("is not a file; give its path, or leave the flag out")


def _parse_jobs(text: str) -> int:
    return parse_number(text, 1, 256)


def _parse_retries(text: str) -> int:
    return parse_number(text, 0, 20)

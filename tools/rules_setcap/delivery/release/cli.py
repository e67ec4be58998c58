"""The command line of `bazel run` of image_release."""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import signal
import sys
import tempfile
from typing import TYPE_CHECKING, Any

from rules_setcap.delivery.errors import DeliveryError
from rules_setcap.delivery.release import selection, spec
from rules_setcap.delivery.release.authorization import Authorizer
from rules_setcap.delivery.release.hooks import Hook, find_hook
from rules_setcap.delivery.release.local_blobs import LocalBlobs, NestedBuild
from rules_setcap.delivery.release.registry import Registry
from rules_setcap.delivery.release.report import Reporter, build_digests, encode_digests, format_table
from rules_setcap.delivery.release.retries import Retries
from rules_setcap.delivery.release.run import describe_interruption, run_release
from rules_setcap.delivery.release.session import Session
from rules_setcap.delivery.release.uploads import COMMANDS, Uploader
from rules_setcap.diagnostics import files
from rules_setcap.diagnostics.command_line import SHARED_STATUSES, CommandParser
from rules_setcap.diagnostics.errors import printable, quote
from rules_setcap.diagnostics.progress import show_line
from rules_setcap.oci import reference

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rules_setcap.delivery.clients import Client
    from rules_setcap.delivery.release.model import ImagePlan

STATUSES = {
    0: "all images are in their registries, with their tags",
    1: "some are not; lines on stderr give the reasons",
    2: "a flag is wrong",
    **SHARED_STATUSES,
}
"""The meaning of each exit status. docs/releases.md has the same table."""


def run_command(description: Mapping[str, Any], runfiles: str, client: Client, flags: Sequence[str]) -> int:
    """Runs a release.

    Args:
      description: what rules/private/release.bzl has written.
      runfiles: the path of the runfiles directory, with a slash at its end.
      client: the client for registries.
      flags: the flags of the user.

    Returns:
      The exit status.

    Raises:
      DeliveryError: the release cannot begin.
      KeyboardInterrupt: the user has interrupted it.
    """
    target = description["target"]
    options = make_parser(target).parse_command(flags)
    images_file = runfiles + description["images"]
    images = spec.read_images(images_file, runfiles, description["workspace"])
    images = selection.select_images(images, options.only)
    images = selection.set_destinations(images, options.tags, options.repository_prefix or "")
    output = _check_output(options.output)
    toolchain_type = "@rules_setcap//rules:registry_client_toolchain_type"
    client_name, client_path, _ = client.find_program(COMMANDS, "client for registries", toolchain_type)
    hooks = [Hook(hook["label"], runfiles + hook["path"], runfiles) for hook in description["hooks"]] + options.hooks
    insecure_hosts = {image.host for image in images if options.insecure or reference.is_loopback(image.repository)}
    retries, reporter = Retries(options.retries), Reporter()
    crane = client_path if client_name == "crane" else ""
    registries = {
        host: Registry(host, Authorizer(crane, insecure=host in insecure_hosts), retries, insecure=host in insecure_hosts)
        for host in {image.host for image in images}
    }
    blobs = LocalBlobs(
        spec.find_execution_root(images_file, description["images_path"]), NestedBuild(options.bazel, options.build_flags)
    )
    plans: list[ImagePlan] = []
    signal.signal(signal.SIGTERM, _interrupt)
    with (
        tempfile.TemporaryDirectory(prefix="image_release") as directory,
        concurrent.futures.ThreadPoolExecutor(options.jobs) as pool,
        show_line(reporter.describe),
    ):
        uploader = Uploader(client_name, client_path, directory)
        session = Session(registries, insecure_hosts, uploader, blobs, retries, reporter, options.jobs, pool, plans)
        try:
            run_release(session, images, hooks=hooks, attaches=options.attach_capabilities, dry_run=options.dry_run)
        except KeyboardInterrupt:
            print(f"{target}: {describe_interruption(plans)}", file=sys.stderr)
            raise
    status = _report(target, plans, dry_run=options.dry_run)
    if output:
        try:
            files.write_whole(output, encode_digests(build_digests(plans, dry_run=options.dry_run)))
        except OSError as error:
            what = f"cannot be written: {error.strerror}; run the release again to write it"
            raise DeliveryError(f"--output: {quote(output)}: {what}") from None
    return status


def _report(target: str, plans: Sequence[ImagePlan], *, dry_run: bool) -> int:
    """Prints the outcome; returns the exit status."""
    print("\n".join(format_table(plans, dry_run=dry_run)))
    sys.stdout.flush()
    failed = [plan for plan in plans if plan.error]
    for plan in failed:
        print(printable(f"{plan.image.label}: {plan.error}"), file=sys.stderr)
    if failed:
        moved = any(plan.image.tags and not plan.moving_tags and not plan.error and plan.status != "unchanged" for plan in plans)
        tags = "some tags have moved" if moved else "no tag has moved"
        what = f"{len(failed)} of {len(plans)} images failed, and {tags}; run it again to go on"
        print(f"{target}: {what}", file=sys.stderr)
    return 1 if failed else 0


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _check_output(path: str) -> str:
    """Returns the absolute path of the file of digests, before anything is pushed; "" for none.

    Raises:
      DeliveryError: the file cannot be written.
    """
    if not path:
        return ""
    path = os.path.join(os.environ.get("BUILD_WORKING_DIRECTORY", ""), path)
    if os.path.isdir(path) or not os.access(os.path.dirname(path) or ".", os.W_OK):
        raise DeliveryError(f"--output: {quote(path)}: cannot be written; give a file in a directory that exists")
    return path


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
    add("--jobs", type=make_type(_parse_jobs), metavar="N", default=8, help="the number of images at the same time (default: 8)")
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

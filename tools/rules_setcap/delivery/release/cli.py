"""The command line of `bazel run` of image_release."""

from __future__ import annotations

import concurrent.futures
import os
import sys
import tempfile
from typing import TYPE_CHECKING, Any

from rules_setcap.delivery.errors import DeliveryError
from rules_setcap.delivery.registry_commands import COMMANDS, TOOLCHAIN_TYPE
from rules_setcap.delivery.release import selection, spec
from rules_setcap.delivery.release.against import compare_releases, format_changes, read_digests
from rules_setcap.delivery.release.authorization import Authorizer
from rules_setcap.delivery.release.flags import parse_flags
from rules_setcap.delivery.release.hooks import Hook
from rules_setcap.delivery.release.image_differences import fetch_blobs, format_difference
from rules_setcap.delivery.release.local_blobs import LocalBlobs, NestedBuild
from rules_setcap.delivery.release.registry import Registry
from rules_setcap.delivery.release.registry_access import RegistryAccess
from rules_setcap.delivery.release.report import Reporter, build_digests, encode_digests, format_table
from rules_setcap.delivery.release.retries import Retries
from rules_setcap.delivery.release.run import describe_interruption, run_release
from rules_setcap.delivery.release.running_programs import RunningPrograms
from rules_setcap.delivery.release.session import Session
from rules_setcap.delivery.release.uploads import Uploader
from rules_setcap.diagnostics import files
from rules_setcap.diagnostics.errors import printable, quote
from rules_setcap.diagnostics.problems import Problems
from rules_setcap.diagnostics.progress import show_line
from rules_setcap.oci import reference

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from rules_setcap.delivery.clients import Client
    from rules_setcap.delivery.release.against import RecordedImage
    from rules_setcap.delivery.release.model import ImagePlan, ReleaseImage


_READERS = 24
"""The number of requests at the same time that ask registries what they have. They take little time here, and wait for the network."""


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
      InputError: the release cannot begin.
      DeliveryError: the file of digests cannot be written.
      KeyboardInterrupt: the user has interrupted it.
    """
    target = description["target"]
    options = parse_flags(target, flags)
    images_file = runfiles + description["images"]
    images = spec.read_images(images_file, runfiles, description["workspace"])
    problems = Problems()
    with problems.collect():
        images = selection.select_images(images, options.only)
    with problems.collect():
        images = selection.set_destinations(images, options.tags, options.repository_prefix or "")
    programs = RunningPrograms(options.timeout)
    root = spec.find_execution_root(images_file, description["images_path"])
    blobs = LocalBlobs(root, NestedBuild(options.bazel or "", options.build_flags), programs)
    if options.against:
        with problems.collect():
            recorded = read_digests(os.path.join(os.environ.get("BUILD_WORKING_DIRECTORY", ""), options.against))
        problems.raise_if_any()
        return _compare(target, recorded, images, blobs, options)
    output = _check_output(options.output or "", problems)
    try:
        client_name, client_path, _ = client.find_program(COMMANDS, "client for registries", TOOLCHAIN_TYPE)
    except DeliveryError as error:
        problems.add_message(str(error))
    problems.raise_if_any()
    hooks = [Hook(hook["label"], runfiles + hook["path"], runfiles) for hook in description["hooks"]] + options.hooks
    insecure_hosts = {image.host for image in images if options.insecure or reference.is_loopback(image.repository)}
    retries, reporter = Retries(options.retries, options.timeout), Reporter()
    plans: list[ImagePlan] = []
    with (
        tempfile.TemporaryDirectory(prefix="image_release") as directory,
        concurrent.futures.ThreadPoolExecutor(max(_READERS, options.jobs)) as readers,
        concurrent.futures.ThreadPoolExecutor(options.jobs) as writers,
        show_line(reporter.describe),
    ):
        uploader = Uploader(client_name, client_path, directory, programs)

        def access_registry(host: str) -> RegistryAccess:
            insecure = host in insecure_hosts
            authorizer = Authorizer(client_path if client_name == "crane" else "", programs, insecure=insecure)
            registry = Registry(host, authorizer, retries, insecure=insecure, client=client_name, limit=options.timeout)
            return RegistryAccess(host, registry, uploader, retries, reporter.print_remark, insecure=insecure)

        session = Session(
            registries={host: access_registry(host) for host in {image.host for image in images}},
            insecure_hosts=insecure_hosts,
            programs=programs,
            uploader=uploader,
            blobs=blobs,
            retries=retries,
            reporter=reporter,
            jobs=options.jobs,
            readers=readers,
            writers=writers,
            plans=plans,
        )
        try:
            run_release(session, images, hooks=hooks, attaches=options.attach_capabilities, dry_run=options.dry_run)
        except KeyboardInterrupt:
            print(f"{target}: {describe_interruption(plans)}", file=sys.stderr)
            raise
    # The table may not be printable, for instance into a pipe that is closed, and the tags have moved.
    failure = _write_digests(output, plans, dry_run=options.dry_run) if output else None
    status = _report(target, plans, dry_run=options.dry_run)
    if failure:
        raise failure
    return status


def _write_digests(path: str, plans: Sequence[ImagePlan], *, dry_run: bool) -> DeliveryError | None:
    """Writes the file of digests; returns the error if it cannot be written."""
    try:
        files.write_whole(path, encode_digests(build_digests(plans, dry_run=dry_run)))
    except OSError as error:
        what = f"cannot be written: {error.strerror}; run the release again to write it"
        return DeliveryError(f"--output: {quote(path)}: {what}")
    return None


def _compare(
    target: str, recorded: list[RecordedImage], images: Sequence[ReleaseImage], blobs: LocalBlobs, options: argparse.Namespace
) -> int:
    """Prints how the images differ from those of an earlier release; returns the exit status."""
    if options.only:
        recorded = [image for image in recorded if selection.matches_any(image, options.only)]
    changes = compare_releases(recorded, images)
    status = 0
    print("\n".join(format_changes(changes, len(images), options.against)), flush=True)
    if options.diff:
        fetch_blobs(changes, blobs)
    for change in changes if options.diff else ():
        if change.before and change.after:
            print(f"\n{change.label}", flush=True)
            try:
                with tempfile.TemporaryDirectory(prefix="image_release") as directory:
                    print("\n".join(format_difference(change, blobs, directory)), flush=True)
            except DeliveryError as error:
                print(printable(f"{target}: {error}"), file=sys.stderr)
                status = 1
    return status


def _report(target: str, plans: Sequence[ImagePlan], *, dry_run: bool) -> int:
    """Prints the outcome; returns the exit status."""
    print("\n".join(format_table(plans, dry_run=dry_run)))
    sys.stdout.flush()
    failed = [plan for plan in plans if plan.error]
    moved = sum(len(plan.moved_tags) for plan in plans)
    for plan in failed:
        left = ", ".join(tag for tag in plan.moving_tags if tag not in plan.moved_tags)
        note = f"; not moved: {left}" if moved and left else ""
        print(printable(f"{plan.image.label}: {plan.error}{note}"), file=sys.stderr)
    if failed:
        total = sum(len({*plan.moved_tags, *plan.moving_tags}) for plan in plans)
        tags = f"{moved} of {total} tags have moved" if moved else "no tag has moved"
        what = f"{len(failed)} of {len(plans)} images failed, and {tags}; run it again to go on"
        print(f"{target}: {what}", file=sys.stderr)
    return 1 if failed else 0


def _check_output(path: str, problems: Problems) -> str:
    """Returns the absolute path of the file of digests, before anything is pushed; "" for none.

    Args:
      path: the path as the user wrote it.
      problems: the collector of problems: the file cannot be written.
    """
    if not path:
        return ""
    absolute = os.path.join(os.environ.get("BUILD_WORKING_DIRECTORY", ""), path)
    if os.path.isdir(absolute) or not os.access(os.path.dirname(absolute) or ".", os.W_OK):
        problems.add("--output", path, "cannot be written; give a file in a directory that exists")
    return absolute

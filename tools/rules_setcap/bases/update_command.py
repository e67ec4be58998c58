"""The command `update_bases`: moves the digests of bases to what their tags name, and shows which capabilities change."""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rules_setcap.bases.images import ImageStore
from rules_setcap.bases.module_file import choose_pulls, read_pulls, replace_digests
from rules_setcap.bases.registry_client import RegistryError, find_client
from rules_setcap.diagnostics import progress
from rules_setcap.diagnostics.command_line import SHARED_STATUSES, CommandParser
from rules_setcap.diagnostics.console import run_program
from rules_setcap.diagnostics.errors import InputError, escape, printable
from rules_setcap.diagnostics.problems import Problems
from rules_setcap.diff.compare import compare_sources
from rules_setcap.diff.grouping import format_capabilities
from rules_setcap.diff.report_text import format_verdict
from rules_setcap.diff.sources import open_source
from rules_setcap.oci.manifest_checks import is_digest
from rules_setcap.oci.reference import check_repository, check_tag, is_loopback

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rules_setcap.bases.module_file import Pull
    from rules_setcap.bases.registry_client import RegistryClient
    from rules_setcap.diff.model import Difference

PROGRAM = "update_bases"
STATUSES = {
    0: "the digests are up to date, or have been moved",
    1: "with --check: a digest would move",
    2: "a file is not valid, a tag cannot be looked up, or a flag is wrong; nothing has been written",
    **SHARED_STATUSES,
}
"""The meaning of each exit status. docs/bases.md has the same table."""

_MAX_CAPABILITIES = 50  # Lines about one platform.


@dataclass(frozen=True, slots=True)
class Update:
    """What the tag of a base names now.

    Attributes:
      pull: the base.
      digest: the digest that the tag has now.
    """

    pull: Pull
    digest: str


def main(arguments: Sequence[str], workspace: str) -> int:
    """Runs update_bases; returns the exit status, as STATUSES describes it.

    Args:
      arguments: the command line, without the program's name.
      workspace: the path of the workspace.
    """
    return run_program(PROGRAM, lambda words: _run(words, workspace), arguments)


def make_parser() -> CommandParser:
    """Returns the parser of the command line."""
    run = "bazel run @rules_setcap//tools/update_bases"
    parser = CommandParser(
        f"{run} --",
        """\
Looks up the tags of the bases that MODULE.bazel pulls, writes the digests that they have now into MODULE.bazel, and prints which
capabilities of files change. Nothing else in the file changes. A base without a tag keeps its digest.""",
        examples=[run, f"{run} -- debian", f"{run} -- --check"],
        statuses=STATUSES,
        notes=["The client for registries, crane or skopeo from PATH, uses its own credentials."],
        program=PROGRAM,
        message_prefix=PROGRAM,
    )
    parser.add_argument("names", metavar="NAME", nargs="*", help="the name of a base in MODULE.bazel; all without a name")
    parser.add_argument("--check", action="store_true", help="write nothing, and exit with 1 if a digest would move")
    parser.add_argument("--no-diff", action="store_true", help="do not fetch the images to compare their capabilities")
    return parser


def _run(arguments: Sequence[str], workspace: str) -> int:
    options = make_parser().parse_command(arguments)
    problems = Problems()
    pulls = choose_pulls(read_pulls(workspace, problems), options.names)
    problems.raise_if_any()
    tagged = [pull for pull in pulls if pull.tag]
    if not pulls:
        print("MODULE.bazel pulls no bases")
        return 0
    try:
        client = find_client(os.environ)
    except RegistryError as error:
        raise InputError([str(error)]) from None
    with progress.show_progress(PROGRAM):
        updates = _look_up_tags(tagged, client, problems)
        problems.raise_if_any()
        for pull in pulls:
            for line in _describe(pull, updates, client, has_diff=not options.no_diff):
                print(line, flush=True)
    moved = [update for update in updates if update.digest != update.pull.digest]
    if not options.check:
        replace_digests((update.pull.span, update.digest) for update in moved if update.pull.span)
    verb = "would move" if options.check else "moved in MODULE.bazel"
    print(f"{len(moved)} of {len(pulls)} digests {verb}")
    return 1 if moved and options.check else 0


def _look_up_tags(pulls: Sequence[Pull], client: RegistryClient, problems: Problems) -> list[Update]:
    """Returns the digests that the tags of bases have; adds a problem for each tag that cannot be looked up."""
    updates = []
    for pull in pulls:
        if not _check(pull, problems):
            continue
        progress.begin_step(f"looking up {pull.image}:{pull.tag}", None)
        try:
            updates.append(Update(pull, client.find_digest(f"{pull.image}:{pull.tag}", insecure=_is_insecure(pull))))
        except RegistryError as error:
            problems.add("tag", f"{pull.image}:{pull.tag}", str(error))
    return updates


def _check(pull: Pull, problems: Problems) -> bool:
    """Returns whether the attributes of a base are valid; adds a problem for each that is not."""
    count = len(problems)
    if pull.span is None:
        problems.add("digest", pull.name, 'is missing; write digest = "", and run the program again')
    for attribute, value, check in (("image", pull.image, check_repository), ("tag", pull.tag, check_tag)):
        try:
            check(value)
        except ValueError as error:
            problems.add(attribute, value, str(error))
    if pull.digest and not is_digest(pull.digest):
        problems.add("digest", pull.digest, 'is not a digest; write digest = "", and run the program again')
    return len(problems) == count


def _describe(pull: Pull, updates: Sequence[Update], client: RegistryClient, *, has_diff: bool) -> Iterator[str]:
    """Yields the lines about a base."""
    update = next((update for update in updates if update.pull is pull), None)
    if update is None:
        yield f"{pull.name}: {escape(pull.image)} has no tag, so its digest is kept"
        return
    name = f"{pull.name}: {escape(pull.image)}:{escape(pull.tag)}"
    if update.digest == pull.digest:
        yield f"{name} is up to date"
        return
    yield name
    yield f"  - {printable(pull.digest) or 'none'}"
    yield f"  + {update.digest}"
    if not has_diff or not pull.digest:
        return
    try:
        difference = _compare(update, client)
    except (InputError, RegistryError) as error:
        yield f"  capabilities not compared: {printable(str(error))}"
        return
    yield f"  {format_verdict(difference)}"
    yield from _format_capabilities(difference)


def _compare(update: Update, client: RegistryClient) -> Difference:
    """Fetches a base before and after an update, and compares the two."""
    pull = update.pull
    with contextlib.ExitStack() as stack:
        store = ImageStore(stack.enter_context(tempfile.TemporaryDirectory(prefix="update_bases-")), client)
        layouts = [
            store.fetch_image(pull.image, digest, pull.platforms, insecure=_is_insecure(pull))
            for digest in (pull.digest, update.digest)
        ]
        before, after = (open_source(pull.image, layout, stack) for layout in layouts)
        return compare_sources(before, after)


def _format_capabilities(difference: Difference) -> Iterator[str]:
    """Yields a line for each file whose capabilities differ."""
    changed = [image for image in difference.images if image.capabilities]
    if not changed:
        yield "  no capabilities change"
    for image in changed:
        yield f"  capabilities that change, {escape(image.platform)}:"
        for change in image.capabilities[:_MAX_CAPABILITIES]:
            yield f"    {escape(change.path)}  {' -> '.join(format_capabilities(change))}"
        if len(image.capabilities) > _MAX_CAPABILITIES:
            yield f"    and {len(image.capabilities) - _MAX_CAPABILITIES} more; image_diff lists all"


def _is_insecure(pull: Pull) -> bool:
    return pull.insecure or is_loopback(pull.image)

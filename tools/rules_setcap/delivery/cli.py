"""The command line of `bazel run` of image_push, image_load and image_release: what the rule has written, and the user's flags after `--`."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

from rules_setcap.delivery.clients import Client
from rules_setcap.delivery.errors import DeliveryError
from rules_setcap.delivery.load import load_image
from rules_setcap.delivery.program_flags import CREDENTIALS_NOTE, INSECURE_HELP, add_timeout
from rules_setcap.delivery.push import push_image
from rules_setcap.delivery.registry_commands import BaseSource
from rules_setcap.delivery.release import cli as release
from rules_setcap.diagnostics.command_line import CLOSED, INTERRUPTED, SHARED_STATUSES, CommandParser
from rules_setcap.diagnostics.errors import INTERNAL, InputError, escape, format_internal_error, printable, quote
from rules_setcap.diagnostics.programs import interrupt_on_signals
from rules_setcap.oci import reference

if TYPE_CHECKING:
    from collections.abc import Sequence

STATUSES = {
    0: "the image is pushed or loaded",
    1: "it is not; a line on stderr gives the reason",
    2: "a flag is wrong",
    **SHARED_STATUSES,
}
"""The meaning of each exit status. docs/getcap.md has the same table."""


def main(arguments: Sequence[str]) -> int:
    """Delivers an image, or the images of a release.

    Args:
      arguments: the path of a JSON object, and the user's flags. The object has `target`, `kind` ("push", "load" or "release"),
        `program`, and `spec` (its own path); for a push and a load also `image` (its label), `layout` and `destination`, and for a
        push `sources` (where the layers are that the layout lacks). Its paths are relative to the runfiles.

    Returns:
      The exit status, as STATUSES describes it.
    """
    spec_path, *flags = arguments
    spec = _read_json(spec_path)
    runfiles = spec_path.removesuffix(spec["spec"])
    program_path = spec["program"]["path"]
    client = Client(spec["program"]["kind"], program_path and os.path.join(runfiles, program_path))
    target = spec["target"]
    layout = os.path.join(runfiles, spec.get("layout", ""))
    interrupt_on_signals()
    try:
        if spec["kind"] == "release":
            return release.run_command(spec, runfiles, client, flags)
        destination = _read_json(os.path.join(runfiles, spec["destination"]))
        if spec["kind"] == "push":
            _push(target, layout, destination, client, flags, [BaseSource(**source) for source in spec["sources"]])
        else:
            _load(target, layout, spec["image"], destination, client, flags)
        sys.stdout.flush()
    except DeliveryError as error:
        print(f"{target}: {printable(str(error))}", file=sys.stderr)
        return 1
    except InputError as error:
        for problem in error.problems:
            print(f"{target}: {problem.replace(quote(layout), quote(spec.get('image', '')))}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # The reader of stdout has exited.
        _discard_stdout()
        return CLOSED
    except OSError as error:
        _discard_stdout()
        place = f"{escape(str(error.filename))}: " if error.filename else ""
        print(f"{target}: {place}{error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        print(f"{target}: {format_internal_error(error)}", file=sys.stderr)
        return INTERNAL
    return 0


def _discard_stdout() -> None:
    """Discards what cannot be written to stdout, so that the interpreter does not report the error of it again at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _push(
    target: str,
    layout: str,
    destination: dict[str, Any],
    client: Client,
    flags: Sequence[str],
    sources: Sequence[BaseSource],
) -> None:
    options = make_push_parser(target).parse_command(flags)
    repository = options.repository or destination["repository"]
    if not repository:
        raise DeliveryError("no repository; set the attribute, or add: -- --repository HOST/PATH")
    tags = options.tags or destination["tags"]
    insecure = options.insecure or reference.is_loopback(repository)
    push_image(layout, repository, tags, client, insecure=insecure, limit=options.timeout, sources=sources)


def _load(target: str, layout: str, label: str, destination: dict[str, Any], client: Client, flags: Sequence[str]) -> None:
    options = make_load_parser(target).parse_command(flags)
    load_image(layout, options.tag or destination["name"], label, client)


def make_push_parser(target: str) -> CommandParser:
    """Returns the parser of the user's flags for a target of image_push."""
    run = f"bazel run {target}"
    parser = CommandParser(
        f"{run} --",
        "Pushes an image to a registry, unchanged. Prints each name that it has then; the first one has the digest.",
        examples=[
            run,
            f"{run} -- --tag v1.2 --tag latest",
            f"{run} -- --repository registry.example/team/app",
            f"{run} -- --repository localhost:5000/app",
        ],
        statuses=STATUSES,
        notes=[CREDENTIALS_NOTE],
        program="image_push",
        message_prefix=target,
    )
    parser.add_checked_argument(
        "--repository",
        reference.check_repository,
        help="the registry and the path in it, in place of those of the target",
    )
    parser.add_checked_argument(
        "--tag",
        reference.check_tag,
        dest="tags",
        action="append",
        help="a tag, in place of those of the target; may be repeated",
    )
    add_timeout(parser, "the longest time in seconds that the client may make no progress")
    parser.add_argument("--insecure", action="store_true", help=INSECURE_HELP)
    return parser


def make_load_parser(target: str) -> CommandParser:
    """Returns the parser of the user's flags for a target of image_load."""
    run = f"bazel run {target}"
    parser = CommandParser(
        f"{run} --",
        "Loads an image into a container engine: docker, podman or nerdctl. Prints the name by which the engine runs it.",
        examples=[run, f"{run} -- --tag app:dev", f'docker run --rm "$({run})"'],
        statuses=STATUSES,
        program="image_load",
        message_prefix=target,
    )
    parser.add_checked_argument(
        "--tag",
        reference.complete_image_name,
        help="the name of the image, name:tag, in place of that of the target",
    )
    return parser


def _read_json(path: str) -> dict[str, Any]:
    with open(path, encoding="utf-8") as file:
        value: dict[str, Any] = json.load(file)
    return value

"""The command line: what the rule says, changed by what the user adds after `--`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any, Sequence

from rules_setcap.delivery import load, push
from rules_setcap.delivery.errors import DeliveryError
from rules_setcap.delivery.programs import Program
from rules_setcap.diagnostics.errors import INTERNAL, InputError, format_internal_error, printable, quote
from rules_setcap.oci import reference


def main(arguments: Sequence[str]) -> int:
    """Delivers an image.

    Args:
      arguments: the path of a JSON object, and the flags that the user adds. The object has `target`, `kind` ("push" or
        "load"), `image` (its label), `layout`, `destination`, `program`, and `spec` (its own path). Its paths are relative
        to the runfiles.

    Returns:
      The exit code: 0; 1, and a line that says why, if the image has not arrived; 2 for wrong flags; 70 after an internal
      error; 130 if interrupted.
    """
    path, *given = arguments
    spec = _json("", path)
    runfiles = path.removesuffix(spec["spec"])
    destination = _json(runfiles, spec["destination"])
    layout = os.path.join(runfiles, spec["layout"])
    program = Program(spec["program"]["kind"], spec["program"]["path"] and os.path.join(runfiles, spec["program"]["path"]))
    target = spec["target"]
    try:
        if spec["kind"] == "push":
            _push(target, layout, destination, program, given)
        else:
            _load(target, layout, spec["image"], destination, program, given)
    except DeliveryError as error:
        print(f"{target}: {printable(str(error))}", file=sys.stderr)
        return 1
    except InputError as error:
        for text in error.problems:
            print(f"{target}: {text.replace(quote(layout), quote(spec['image']))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        print(f"{target}: {format_internal_error(error)}", file=sys.stderr)
        return INTERNAL
    return 0


def _push(target: str, layout: str, destination: dict[str, Any], program: Program, given: Sequence[str]) -> None:
    parser = _parser(target, "Pushes an image to a registry.")
    parser.add_argument("--repository", type=_checked(reference.check_repository), help="host/path, in place of the target's")
    parser.add_argument(
        "--tag",
        dest="tags",
        action="append",
        type=_checked(reference.check_tag),
        help="in place of the target's; repeat it for more than one",
    )
    parser.add_argument("--insecure", action="store_true", help="plain HTTP or unknown certificates, as on this machine anyway")
    options = parser.parse_args(given)
    repository = options.repository or destination["repository"]
    if not repository:
        raise DeliveryError("no repository; set the attribute, or add: -- --repository HOST/PATH")
    tags = options.tags or destination["tags"]
    push.push(layout, repository, tags, program, insecure=options.insecure or reference.is_loopback(repository))


def _load(target: str, layout: str, image: str, destination: dict[str, Any], program: Program, given: Sequence[str]) -> None:
    parser = _parser(target, "Loads an image into a container engine.")
    parser.add_argument("--tag", type=_checked(reference.image_name), help="name:tag, in place of the target's")
    options = parser.parse_args(given)
    load.load(layout, options.tag or destination["name"], image, program)


def _parser(target: str, description: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(prog=f"bazel run {target} --", description=description, allow_abbrev=False)


def _checked(check: Any) -> Any:
    """A check as the type of an argument, with its own words."""

    def value(text: str) -> str:
        try:
            return check(text) or text
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return value


def _json(runfiles: str, path: str) -> dict[str, Any]:
    with open(os.path.join(runfiles, path), encoding="utf-8") as file:
        value: dict[str, Any] = json.load(file)
    return value

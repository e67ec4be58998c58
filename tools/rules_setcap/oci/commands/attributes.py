"""Resolves and checks the attributes of an image before anything is packed.

It does not fail if they are wrong: it writes the problems, and the first action that needs
them reports them together with its own. A file without problems is always the same, so
that what depends on it does not run again when an attribute changes.
"""

from __future__ import annotations

import json

from rules_setcap.actions import stamps
from rules_setcap.diagnostics import files
from rules_setcap.diagnostics.errors import InputError
from rules_setcap.oci import attributes, base, formats, values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rules_setcap.actions.arguments import Arguments
    from rules_setcap.diagnostics.problems import Problems


def run_command(arguments: Arguments, problems: Problems) -> None:
    spec = json.loads(arguments.take_value("attributes"))
    paths = {name: arguments.take_value(f"{name}-file", "") for name in ("annotations", "created", "env", "labels")}
    status = stamps.Status(arguments.take_values("stamp"))
    layout, platform = arguments.take_value("base-layout", ""), arguments.take_value("base-platform", "")
    base_name = arguments.take_value("base-name", "")
    output, problems_output = arguments.take_value("output"), arguments.take_value("problems-output")
    arguments.check_all_taken()

    attributes.check(spec, problems)
    for name in ("annotations", "env", "labels"):
        spec[name] = values.resolve_pairs(name, spec[name], paths[name], status, problems)
    spec["created"] = values.resolve_created(spec["created"], paths["created"], status, problems)
    try:
        # The actions that pack expand it; here is only found out whether there is a placeholder.
        status.expand(spec["mtime"])
    except ValueError:
        pass
    status.check_used("annotations, created, env, labels or mtime", problems)
    if not problems.concern("platform", "base"):
        _check_base(spec, layout, platform, base_name, problems)
    files.write_whole(output, json.dumps(spec).encode())
    files.write_whole(problems_output, json.dumps(arguments.labels.apply(problems)).encode() + b"\n")


def _check_base(spec: dict[str, Any], layout: str, platform: str, name: str, problems: Problems) -> None:
    """Adds what is wrong with the base, and with attributes that refer to it."""
    try:
        if layout:
            config = base.load_layout(layout, spec).config
        elif platform:
            # Another image of this build, whose config is not there yet: all that is known is the platform.
            config = dict(zip(("os", "architecture", "variant"), platform.split("/")))
            formats.check_platform(spec, config, name, problems)
            return
        else:
            config = {}
    except InputError as error:
        problems += error.problems
        return
    formats.build_config(spec, [], config, name, problems)

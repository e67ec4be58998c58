"""Checks and resolves the attributes of an image before anything is packed.

The action does not fail if an attribute is wrong: it writes the problems to a file, and the first action that needs the
attributes reports them together with its own. The file is always the same if there are no problems, so that actions that
depend only on it do not run again when an attribute changes.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

from rules_setcap.actions import stamps
from rules_setcap.diagnostics import files
from rules_setcap.oci import config, image_documents
from rules_setcap.oci.image_attributes import checks, values
from rules_setcap.oci.platforms import split_platform

if TYPE_CHECKING:
    from typing import Any

    from rules_setcap.actions.arguments import Arguments
    from rules_setcap.diagnostics.problems import Problems


def run_command(arguments: Arguments, problems: Problems) -> None:
    """Runs the subcommand."""
    spec = json.loads(arguments.take_value("attributes"))
    value_files = {name: arguments.take_value(f"{name}-file", "") for name in ("annotations", "created", "env", "labels")}
    status = stamps.Status(arguments.take_values("stamp"))
    layout, platform = arguments.take_value("base-layout", ""), arguments.take_value("base-platform", "")
    base_name = arguments.take_value("base-name", "")
    output, problems_output = arguments.take_value("output"), arguments.take_value("problems-output")
    arguments.check_all_taken()

    spec |= checks.resolve_platform(spec.pop("platform"), problems)
    checks.check_attributes(spec, problems)
    for name in ("annotations", "env", "labels"):
        spec[name] = values.resolve_pairs(name, spec[name], value_files[name], status, problems)
    spec["created"] = values.resolve_created(spec["created"], value_files["created"], status, problems)
    with contextlib.suppress(ValueError):
        # The actions that pack expand the mtime and report its problems; here it only counts as a use of the workspace status.
        status.expand(spec["mtime"])
    status.check_used("annotations, created, env, labels or mtime", problems)
    if not problems.concern("platform", "base"):
        with problems.collect():
            _check_against_base(spec, layout, platform, base_name, problems)
    files.write_whole(output, json.dumps(spec).encode())
    files.write_whole(problems_output, json.dumps(arguments.labels.apply(problems)).encode() + b"\n")


def _check_against_base(spec: dict[str, Any], layout: str, platform: str, base_name: str, problems: Problems) -> None:
    """Checks the base, and the attributes that refer to it.

    Args:
      spec: the attributes.
      layout: the path of the OCI image layout directory of the base; "" if the base is an image of these rules.
      platform: os/architecture/variant of a base that is an image of these rules, whose config does not exist yet; "" if
        there is no such base.
      base_name: the label of the base.
      problems: collects what is wrong.
    """
    if platform and not layout:
        config.check_platform(spec, split_platform(platform), base_name, problems)
        return
    base_config = image_documents.read_layout_image(layout, spec).config if layout else {}
    config.build_config(spec, [], base_config, base_name, problems)

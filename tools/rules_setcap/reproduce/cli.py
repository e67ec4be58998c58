"""The entry point of reproduce: parses the command line, and turns exceptions into messages and an exit status."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rules_setcap.diagnostics.command_line import SHARED_STATUSES, CommandParser
from rules_setcap.diagnostics.console import run_program
from rules_setcap.diagnostics.errors import InputError, format_problem
from rules_setcap.diagnostics.files import write_whole
from rules_setcap.diagnostics.suggestions import suggest
from rules_setcap.reproduce.bazel import Flags, find_bazel
from rules_setcap.reproduce.report_json import format_json_report, format_statement
from rules_setcap.reproduce.report_text import format_outcome
from rules_setcap.reproduce.reproduction import Request, reproduce
from rules_setcap.reproduce.surroundings import find_workspace
from rules_setcap.reproduce.variations import VARIATIONS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from rules_setcap.reproduce.outcome import Outcome

_STATUSES = {
    0: "the images are reproducible: both builds made the same",
    1: "an image differs",
    2: "the images could not be compared: a build failed, or the command line is not valid",
    **SHARED_STATUSES,
}
_DESCRIPTION = """\
Builds images twice with Bazel and compares them. The second build is made in other surroundings: the table below has what
differs. If the images differ, the report names the action at fault: the first in the order of the graph that had equal inputs in
both builds and made other outputs."""
_EXAMPLES = (
    "bazel run @rules_setcap//tools/reproduce -- //app:image",
    "bazel run @rules_setcap//tools/reproduce -- --keep user --keep home //app:image //web:image",
    "bazel run @rules_setcap//tools/reproduce -- --json --report reproduce.txt //...",
)


def main(arguments: Sequence[str]) -> int:
    """Runs reproduce.

    Args:
      arguments: the command line, without the program's name.

    Returns:
      The exit status.
    """
    return run_program("reproduce", lambda words: _run(_parse_options(words)), arguments)


def _parse_options(arguments: Sequence[str]) -> argparse.Namespace:
    table = "\n".join(["variations, by the names for --keep:", *(f"  {each.name:<12} {each.description}" for each in VARIATIONS)])
    parser = CommandParser(
        "reproduce",
        _DESCRIPTION,
        examples=_EXAMPLES,
        statuses=_STATUSES,
        notes=(table,),
        program="reproduce",
    )
    parser.add_argument("targets", nargs="+", metavar="TARGET", help="the label of an image, or a pattern such as //app/...")
    parser.add_argument(
        "--keep", action="append", default=[], metavar="NAME", help="do not make this variation; all: make none; repeatable"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.add_argument("--all", action="store_true", help="print all changes of an image; by default, long lists are cut")
    parser.add_argument("--report", metavar="FILE", help="also write the report to a file, as JSON if its name ends with .json")
    parser.add_argument("--provenance", metavar="FILE", help="write an in-toto statement with SLSA provenance to a file")
    parser.add_argument("--bazel", default="", metavar="PROGRAM", help="the Bazel to run; by default $BAZEL, bazelisk or bazel")
    parser.add_argument(
        "--bazel-flag",
        action="append",
        default=[],
        metavar="FLAG",
        help="a flag for both builds: --bazel-flag=--config=ci; repeatable",
    )
    parser.add_argument(
        "--startup-flag", action="append", default=[], metavar="FLAG", help="a startup flag of Bazel for both builds; repeatable"
    )
    parser.add_argument(
        "--work-dir",
        default="/var/tmp",
        metavar="DIRECTORY",
        help="where both builds are made, which may take much space; by default /var/tmp",
    )
    parser.add_argument("--keep-outputs", action="store_true", help="do not remove both builds at the end")
    return parser.parse_command(arguments)


def _run(options: argparse.Namespace) -> int:
    """Runs the builds and prints the report."""
    names = [each.name for each in VARIATIONS]
    problems = [
        format_problem("--keep", name, f"unknown variation{suggest(name, names)}; the names are all, {', '.join(names)}")
        for name in options.keep
        if name not in names and name != "all"
    ]
    workspace = find_workspace(os.environ)
    if not workspace:
        problems.append(
            "no workspace: run this program with bazel run; a reproducibility_test must run on the machine of the workspace, "
            "so do not override its tag local, or run it with bazel run"
        )
    if not os.path.isdir(options.work_dir):
        problems.append(format_problem("--work-dir", options.work_dir, "not a directory; write the path of one that exists"))
    for flag, path in (("--report", options.report), ("--provenance", options.provenance)):
        if path and not os.path.isdir(os.path.dirname(path) or "."):
            problems.append(format_problem(flag, path, "its directory does not exist; write a path in one that does"))
    if problems:
        raise InputError(problems)
    outcome = reproduce(
        Request(
            options.targets,
            workspace,
            find_bazel(options.bazel, workspace),
            Flags(options.startup_flag, options.bazel_flag),
            names if "all" in options.keep else options.keep,
            os.path.abspath(options.work_dir),
            options.keep_outputs,
        )
    )
    text = format_outcome(outcome, show_all=options.all)
    print(format_json_report(outcome) if options.json else text, end="")
    _write_files(outcome, text, options.report, options.provenance)
    if directory := os.environ.get("TEST_UNDECLARED_OUTPUTS_DIR"):
        for name in ("reproduce.txt", "reproduce.json"):
            _write_files(outcome, text, os.path.join(directory, name), os.path.join(directory, "provenance.json"))
    return 0 if outcome.is_reproducible else 1


def _write_files(outcome: Outcome, text: str, report: str | None, provenance: str | None) -> None:
    """Writes the files that --report and --provenance name."""
    if report:
        content = format_json_report(outcome) if report.endswith(".json") else text
        write_whole(report, content.encode(errors="backslashreplace"))
    if provenance:
        write_whole(provenance, format_statement(outcome).encode())

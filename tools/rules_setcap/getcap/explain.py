"""Runs the command `getcap explain`, and reports a missing PyYAML."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_setcap.diagnostics.console import print_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rules_setcap.diagnostics.program_names import ProgramNames


def run_explain(arguments: Sequence[str], names: ProgramNames) -> int:
    """Runs the command and returns the exit status; a missing PyYAML is an error of the input, because only YAML files need it.

    Args:
      arguments: the command line after `explain`.
      names: the names of the program.
    """
    try:
        from rules_setcap.getcap.explain_command import explain_container

        return explain_container(arguments, names)
    except ModuleNotFoundError as error:
        if error.name != "yaml":
            raise
        what = f"reading YAML needs PyYAML; install it (pip install PyYAML), or run {names.program} with bazel run, which provides it"
        print_error(names.program, what)
        return 2

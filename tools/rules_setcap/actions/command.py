"""Runs one command of a tool, as rules/private/request.bzl calls it.

The arguments are in a file, @FILE, one per line: the command, then flags (--name=value), and for a layer its entries (JSON,
see packer/entry_lines.py). Every command has these flags:

--target=LABEL    the target, for messages
--problem=TEXT    a problem that the rule found; it is reported together with those found here
--problems=FILE   a JSON list of the problems that another action of the target found
--named=[ATTRIBUTE,LABEL]=PATH   the label of a file, which messages show in place of the path

The exit code is 0 on success; 1, with a line for each problem, if the input is invalid; 2 if the command line is invalid;
70 after an internal error.
"""

from __future__ import annotations

import functools
import gc
import importlib
import os
import sys
from typing import TYPE_CHECKING, NoReturn

from rules_setcap.actions.arguments import Arguments, UsageError
from rules_setcap.diagnostics import files
from rules_setcap.diagnostics.errors import INTERNAL, InputError, Labels, format_internal_error, printable
from rules_setcap.diagnostics.problems import Problems

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


def run_tool_and_exit(package: str) -> NoReturn:
    """Runs the command that the command line names, or serves as a persistent worker, and ends the process.

    Args:
      package: the package that has a module for each command, with the function run_command(arguments, problems); its
        constant NAMES lists the commands.
    """
    status = run_tool(package, sys.argv[1:])
    sys.stderr.flush()
    # To free the objects of many entries one by one would take as long as to start.
    os._exit(status)


def run_tool(package: str, words: Sequence[str]) -> int:
    """Runs one command, or serves as a persistent worker, and returns the exit code.

    Args:
      package: as for run_tool_and_exit().
      words: the words of the command line.
    """
    if "--persistent_worker" in words:
        from rules_setcap.actions.worker import serve_requests

        return serve_requests(functools.partial(run_action, package))
    gc.disable()  # One action creates no reference cycles, so the cycle collector would only cost time.
    lines: list[str] = []
    for word in words:
        if word.startswith("@"):
            with open(word[1:], encoding="utf-8", errors="surrogateescape") as file:
                lines += file.read().removesuffix("\n").split("\n")
        else:
            lines.append(word)
    status, output = run_action(package, lines)
    if output:
        sys.stderr.write(output)
    return status


def run_action(package: str, lines: list[str], digests: Callable[[], Mapping[str, str]] = dict) -> tuple[int, str]:
    """Runs one command with the arguments of an action.

    Args:
      package: as for run_tool_and_exit().
      lines: the arguments, as in the file. The list is emptied, because many entries take much memory.
      digests: returns the digest of each input of the action by path, as Bazel sends them to a worker.

    Returns:
      The exit code and the output for stderr: one line for each problem or remark.
    """
    target = ""
    labels = Labels(())
    problems = Problems()
    try:
        names = importlib.import_module(package).NAMES
        if not lines or lines[0] not in names:
            raise UsageError(f"commands: {', '.join(names)}")
        # Only this module: to import all commands would take longer than to pack a small layer.
        command = importlib.import_module(f"{package}.{lines[0].replace('-', '_')}")
        arguments = Arguments(lines[1:], digests)
        lines.clear()
        target, labels = arguments.take_value("target"), arguments.labels
        problems = Problems(arguments.take_values("problem"))
        if path := arguments.take_value("problems", ""):
            problems.extend(files.read_json(path))
        messages = command.run_command(arguments, problems) or ()
        status = 0
    except UsageError as error:
        # A mistake in the BUILD file can be the reason that a flag is missing; then only the mistake is reported.
        if not problems:
            return 2, f"{package.split('.')[1]}: {error}\n"
        status, messages = 1, list(problems)
    except InputError as error:
        status, messages = 1, error.problems
    except OSError as error:
        status, messages = 1, [f"{error.filename or 'output'}: {error.strerror}"]
    except Exception as error:
        status, messages = INTERNAL, [format_internal_error(error)]
    return status, "".join(f"{target}: {printable(message)}\n" for message in labels.apply(messages))

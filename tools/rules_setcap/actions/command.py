"""Runs one subcommand of a tool, as rules/private/request.bzl calls it.

The arguments are in a file, @FILE, a line each: the subcommand, then flags (--name=value), and for a layer its entries
(JSON objects, see packer/entries.py). Every subcommand has these flags:

--target=LABEL    the target, for messages
--problem=TEXT    a problem that the rule found; it is reported together with those found here
--problems=FILE   a JSON list of problems that another action of the target found
--named=[ATTRIBUTE,LABEL]=PATH   the label of a file, which messages show in place of the path

The exit code is 0 on success; 1, with a line for each problem, if the input is wrong; 2 if the tool is called wrongly; 70
after an internal error.
"""

from __future__ import annotations

import functools
import gc
import importlib
import os
import sys

from rules_setcap.actions.arguments import Arguments, UsageError
from rules_setcap.diagnostics import files
from rules_setcap.diagnostics.errors import INTERNAL, InputError, Labels, internal, printable
from rules_setcap.diagnostics.problems import Problems

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Mapping, NoReturn, Sequence


def run_and_exit(package: str) -> NoReturn:
    """Runs one subcommand as the command line says, or serves as a persistent worker, and ends the process.

    Args:
      package: the package whose modules are the subcommands; its NAMES lists them.
    """
    status = main(package, sys.argv[1:])
    sys.stderr.flush()
    # Freeing the objects of many entries one by one would take as long as starting.
    os._exit(status)


def main(package: str, arguments: Sequence[str]) -> int:
    """Runs one subcommand, or serves as a persistent worker; returns the exit code.

    Args:
      package: as for run_and_exit().
      arguments: of the command line.
    """
    if "--persistent_worker" in arguments:
        from rules_setcap.actions.worker import serve

        return serve(functools.partial(run, package))
    gc.disable()  # One action makes no garbage that goes in circles; to look for it takes time.
    lines: list[str] = []
    for argument in arguments:
        if argument.startswith("@"):
            with open(argument[1:], encoding="utf-8", errors="surrogateescape") as file:
                lines += [line.removesuffix("\n") for line in file]
        else:
            lines.append(argument)
    status, said = run(package, lines)
    if said:
        sys.stderr.write(said)
    return status


def run(package: str, lines: list[str], digests: Callable[[], Mapping[str, str]] = dict) -> tuple[int, str]:
    """Runs one subcommand.

    Args:
      package: as for run_and_exit().
      lines: the arguments, as in the file; the list is emptied, because many entries take much memory.
      digests: returns the digests of the action's inputs by path, as Bazel sends them to a worker.

    Returns:
      The exit code, and a line for each problem or remark, with its line end.
    """
    target = ""
    labels = Labels(())
    problems = Problems()
    try:
        names = importlib.import_module(package).NAMES
        if not lines or lines[0] not in names:
            raise UsageError(f"subcommands: {', '.join(names)}")
        # Only this one: loading all of them would take longer than packing a small layer.
        command = importlib.import_module(f"{package}.{lines[0].replace('-', '_')}")
        arguments = Arguments(lines[1:], digests)
        lines.clear()
        target, labels = arguments.one("target"), arguments.labels
        problems = Problems(arguments.all("problem"))
        if path := arguments.one("problems", ""):
            problems.extend(files.read_json(path))
        texts = command.run(arguments, problems) or ()
        status = 0
    except UsageError as error:
        # What is missing on the command line follows from what is wrong in the BUILD file.
        if not problems:
            return 2, f"{package.split('.')[1]}: {error}\n"
        status, texts = 1, list(problems)
    except InputError as error:
        status, texts = 1, error.problems
    except OSError as error:
        status, texts = 1, [f"{error.filename or 'output'}: {error.strerror}"]
    except Exception as error:
        status, texts = INTERNAL, [internal(error)]
    return status, "".join(f"{target}: {printable(text)}\n" for text in labels.apply(texts))

"""Runs the packer's subcommands, as rules/private/python_tool.bzl calls them.

layer   packs entries into a blob, and says its digests and capabilities
setcap  copies a tar into a blob, with capabilities of other entries
copy    packs files of the layers below again, with other capabilities
attributes  resolves and checks the attributes of an image
contents  lists the merged root filesystem of a base image
check   looks for what would keep programs from their capabilities, or from starting with them
unpack  unpacks an archive of an image, or copies an OCI image layout, into a directory
link    links the files of an OCI image layout into a directory
image   makes config, manifest and descriptor, from the layers' metadata alone
layout  links it all into an OCI image layout directory
index   makes an image index of images' descriptors
index-layout  links the layouts of images into that of their index
destination   says where an image goes
export  writes a layout as one tar

The arguments are in a file, @FILE, a line each: the subcommand, then flags (--name=value)
and, for a layer, its entries (JSON objects, see entries.py). These flags are of all
subcommands:

--target=LABEL    the target, for messages
--problem=TEXT    a problem that the rule found; it is reported with those found here
--problems=FILE   a JSON list of problems that another action of the target found
--named=[ATTRIBUTE,LABEL]=PATH   the label of a file, which messages show in place of the path

The exit code is 0; 1, and a line for each problem, if the input is wrong; 2 if the packer
is called wrongly; 70 after an internal error.
"""

from __future__ import annotations

import gc
import importlib
import sys

from . import files
from .arguments import Arguments, UsageError
from .errors import INTERNAL, InputError, Labels, internal, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Mapping, Sequence

_SUBCOMMANDS = (
    *("layer", "setcap", "copy", "attributes", "contents", "check", "unpack", "link", "image"),
    *("layout", "index", "index-layout", "destination", "export"),
)


def main(arguments: Sequence[str]) -> int:
    """Runs one subcommand, or serves as a persistent worker; returns the exit code."""
    if "--persistent_worker" in arguments:
        from .worker import serve

        return serve()
    gc.disable()  # One action makes no garbage that goes in circles; to look for it takes time.
    lines: list[str] = []
    for argument in arguments:
        if argument.startswith("@"):
            with open(argument[1:], encoding="utf-8", errors="surrogateescape") as file:
                lines += [line.removesuffix("\n") for line in file]
        else:
            lines.append(argument)
    status, said = run(lines)
    if said:
        sys.stderr.write(said)
    return status


def run(lines: list[str], digests: Callable[[], Mapping[str, str]] = dict) -> tuple[int, str]:
    """Runs one subcommand.

    Args:
      lines: the arguments, as in the file; the list is emptied, because many entries take much memory.
      digests: returns the digests of the action's inputs by path, as Bazel sends them to a worker.

    Returns:
      The exit code, and a line for each problem or remark, with its line end.
    """
    target = ""
    labels = Labels(())
    problems: list[str] = []
    try:
        if not lines or lines[0] not in _SUBCOMMANDS:
            raise UsageError(f"subcommands: {', '.join(_SUBCOMMANDS)}")
        # One by one: to load them all takes longer than to pack a small layer.
        command = importlib.import_module(f".commands.{lines[0].replace('-', '_')}", __package__)
        arguments = Arguments(lines[1:], digests)
        lines.clear()
        target, labels = arguments.one("target"), arguments.labels
        problems = arguments.all("problem")
        if path := arguments.one("problems", ""):
            problems += files.read_json(path)
        texts = command.run(arguments, problems) or ()
        status = 0
    except UsageError as error:
        # What is missing on the command line follows from what is wrong in the BUILD file.
        if not problems:
            return 2, f"packer: {error}\n"
        status, texts = 1, problems
    except InputError as error:
        status, texts = 1, error.problems
    except OSError as error:
        status, texts = 1, [f"{error.filename or 'output'}: {error.strerror}"]
    except Exception as error:
        status, texts = INTERNAL, [internal(error)]
    return status, "".join(f"{target}: {printable(text)}\n" for text in labels.apply(texts))

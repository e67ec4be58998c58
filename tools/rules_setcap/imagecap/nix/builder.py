"""Writes an image with capabilities, or a script that writes one, to the output of a derivation.

A request is an object:

    source        the archive of an image; for a script, a program that writes one to stdout
    capabilities  by path, a list of names and clauses; an empty list takes the capabilities of the file away
    rewrite, only, platform, compression
                  as the flags of `imagecap set`
    library       the path of libdeflate's shared library; "" if there is none
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from rules_setcap.diagnostics.errors import InputError, quote
from rules_setcap.diagnostics.problems import Problems
from rules_setcap.diagnostics.standard_input import STANDARD_INPUT
from rules_setcap.imagecap.compression import VARIABLE
from rules_setcap.imagecap.set_report import format_report
from rules_setcap.imagecap.setting import SetRequest, set_image_capabilities
from rules_setcap.imagecap.staging import STANDARD_OUTPUT
from rules_setcap.packer.assignments import parse_assignments

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SCRIPT = """\
#!{python} -BIS
import os, sys

os.execv(sys.executable, [sys.executable, *{options!r}, {launch!r}, "rules_setcap.imagecap.nix", "", {request!r}, *sys.argv[1:]])
"""
_OPTIONS = ("-S", "-E", "-s", "-B", "-X", "utf8")


def build(attributes: Mapping[str, Any]) -> int:
    """Writes the output of a derivation, and returns the exit status.

    Args:
      attributes: the attributes of the derivation: `request`, `outputs`, and for a script `launch` and `python`.

    Raises:
      InputError: the image or the capabilities are not valid.
      OSError: a file cannot be read or written.
    """
    output = attributes["outputs"]["out"]
    if "launch" not in attributes:
        _set_capabilities(attributes["request"], attributes["request"]["source"], output)
        return 0
    _parse_capabilities(attributes["request"])
    script = _SCRIPT.format(
        python=attributes["python"], options=_OPTIONS, launch=attributes["launch"], request=json.dumps(attributes["request"])
    )
    with open(output, "w", encoding="utf-8") as file:
        file.write(script)
    os.chmod(output, 0o755)
    return 0


def stream_image(arguments: Sequence[str]) -> int:
    """Runs a program that writes an image to stdout, and writes the image with capabilities to stdout.

    Args:
      arguments: the request, and the arguments of the program.

    Raises:
      InputError: the image or the capabilities are not valid, or the program fails.
      OSError: the program cannot be run.
    """
    request = json.loads(arguments[0])
    with subprocess.Popen([request["source"], *arguments[1:]], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as program:
        assert program.stdout
        os.dup2(program.stdout.fileno(), sys.stdin.fileno())
        program.stdout.close()
        try:
            _set_capabilities(request, STANDARD_INPUT, STANDARD_OUTPUT)
        except InputError:
            # An image that ends early is the smaller problem.
            _check_status(request["source"], program.wait())
            raise
        _check_status(request["source"], program.wait())
    return 0


def _check_status(program: str, status: int) -> None:
    """Checks the exit status of a program that writes an image.

    Raises:
      InputError: the program has failed.
    """
    if status:
        raise InputError([f"stream: {quote(program)}: fails with status {status}; its messages are above"])


def _parse_capabilities(request: Mapping[str, Any]) -> list[Any]:
    """Returns the assignments of a request.

    Raises:
      InputError: capabilities or paths are not valid.
    """
    problems = Problems()
    assignments = parse_assignments(
        [
            {"attribute": "capabilities", "path": path, "capabilities": words}
            for path, words in sorted(request["capabilities"].items())
        ],
        problems,
    )
    problems.raise_if_any()
    return assignments


def _set_capabilities(request: Mapping[str, Any], source: str, output: str) -> None:
    """Writes an image with the capabilities of a request, and reports the changes on stderr, which is Nix's log."""
    if request["library"]:
        os.environ[VARIABLE] = request["library"]
    result = set_image_capabilities(
        SetRequest(
            source=source,
            output=output,
            assignments=_parse_capabilities(request),
            rewrite=request["rewrite"],
            removes_others=request["only"],
            platform=request["platform"],
            compression=request["compression"],
            # dockerTools puts links such as /bin/server into an image; the file has a path in /nix/store that few people type.
            follow_links=True,
        )
    )
    for line in format_report(result):
        print(line, file=sys.stderr)

"""Reads the capabilities of a build from a `.ko.yaml`. rules/private/ko.bzl writes the command line.

    --target=LABEL --config=FILE --name=NAME --build=ID --output=FILE

NAME is the name of the file in messages. The output is a JSON object, which linux_capabilities_from of an image reads:
`source`, the file, build and field, for messages; and `capabilities`, a list of strings.

The exit code is 0; 1, with a line for each problem, if the input is invalid; 2 if the command line is invalid; 70 after an
internal error.
"""

from __future__ import annotations

import argparse
import json
import sys

from rules_setcap.diagnostics.errors import INTERNAL, InputError, format_internal_error
from rules_setcap.ko.agreement import check_agreement
from rules_setcap.ko.config import read_config


def main() -> int:
    """Runs the program; returns the exit code."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for flag in ("target", "config", "name", "build", "output"):
        parser.add_argument(f"--{flag}", required=True)
    options = parser.parse_args()
    try:
        requested = read_config(options.config, options.name, options.build)
        check_agreement(requested)
    except InputError as error:
        return _report(options.target, error.problems)
    except OSError as error:
        return _report(options.target, [f"{options.name}: {error.strerror}"])
    except Exception as error:
        print(f"{options.target}: {format_internal_error(error)}", file=sys.stderr)
        return INTERNAL
    with open(options.output, "w", encoding="utf-8") as file:
        json.dump({"source": requested.where, "capabilities": requested.words}, file)
    return 0


def _report(target: str, problems: list[str]) -> int:
    for problem in problems:
        print(f"{target}: {problem}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())

"""Reads the capabilities of a build from a `.ko.yaml`: main --target=LABEL --config=FILE --build=ID --output=FILE.

Writes a JSON object: `source` (the file, the build and the field, for messages) and
`capabilities` (list of str). The exit code is 0; 1, and a line for each problem; 2 for wrong flags; 70 after an internal
error.
"""

from __future__ import annotations

import argparse
import json
import sys

from rules_setcap.diagnostics.errors import INTERNAL, format_internal_error, printable
from rules_setcap.ko import agreement, config
from rules_setcap.ko.errors import ConfigError


def main() -> int:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in ("target", "config", "name", "build", "output"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args()
    try:
        wanted = config.read(options.config, options.name, options.build)
        problems = agreement.disagreements(wanted)
    except ConfigError as error:
        problems = [str(error)]
    except OSError as error:
        problems = [f"{options.name}: {error.strerror}"]
    except Exception as error:
        print(f"{options.target}: {format_internal_error(error)}", file=sys.stderr)
        return INTERNAL
    if problems:
        print("\n".join(f"{options.target}: {printable(problem)}" for problem in problems), file=sys.stderr)
        return 1
    with open(options.output, "w", encoding="utf-8") as file:
        json.dump({"source": wanted.where, "capabilities": wanted.items}, file)
    return 0


if __name__ == "__main__":
    sys.exit(main())

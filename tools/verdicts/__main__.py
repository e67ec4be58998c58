"""Runs the checks of the test rules: python3 -S -E -s -B tools/verdicts SUBJECT FLAG..."""

import os
import sys

# The packages are in the directory above this one. Not the real path: Bazel links sources one by one.
sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from verdicts.main import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

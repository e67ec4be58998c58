"""Runs imagecap: python3 -m imagecap COMMAND..."""

import sys

from rules_setcap.imagecap.__main__ import main

if __name__ == "__main__":
    sys.exit(main())

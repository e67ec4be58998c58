"""Writes an image about whose capabilities container engines differ, as an OCI archive.

Usage: write_hidden.py ARCHIVE
"""

import pathlib
import sys
import tarfile
import tempfile

from rules_setcap import capabilities
from support.image import layout, tar

value = capabilities.from_text("cap_net_raw=ep")
with tempfile.TemporaryDirectory() as directory:
    image = layout(pathlib.Path(directory) / "image", tar(("/ping", value, "file"), ("/ping4", None, "=/ping")))
    with tarfile.open(sys.argv[1], "w") as archive:
        archive.add(image, "")

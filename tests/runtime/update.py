"""Updates the table of docs/capabilities.md, as root: ./bazelw run //tests/runtime:update"""

from __future__ import annotations

import os
import pathlib
import tempfile

import page

if __name__ == "__main__":
    path = pathlib.Path(os.environ["BUILD_WORKSPACE_DIRECTORY"]) / "docs" / "capabilities.md"
    with tempfile.TemporaryDirectory() as directory:
        path.write_text(page.update_table(path.read_text(), pathlib.Path(directory)))
    print("docs/capabilities.md")

"""Updates the reference in the workspace: ./bazelw run //tests/reference:update"""

from __future__ import annotations

import os
import pathlib

from pages import DIRECTORY, make_pages

if __name__ == "__main__":
    directory = pathlib.Path(os.environ["BUILD_WORKSPACE_DIRECTORY"]) / DIRECTORY
    pages = make_pages()
    for path in directory.glob("*.md"):
        if path.name not in pages:
            path.unlink()
    for name, page in pages.items():
        (directory / name).write_text(page)
        print(DIRECTORY / name)

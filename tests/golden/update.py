"""Updates the golden files in the workspace: ./bazelw run //tests/golden:update"""

from __future__ import annotations

import os
import pathlib

from listing import GOLDENS

if __name__ == "__main__":
    folder = pathlib.Path(os.environ["BUILD_WORKSPACE_DIRECTORY"]) / "tests" / "golden"
    for name, make in GOLDENS.items():
        (folder / name).write_text(make())
        print(f"tests/golden/{name}")

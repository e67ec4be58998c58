"""Builds the wheel imagecap, and imagecap.pyz, which runs without being installed.

    build.py WHEEL PYZ SOURCE...

The sources are files of this repository, relative to its root. pyproject.toml says which of them are in the wheel. The same
sources give the same bytes.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import sys
import tempfile
import time
import zipapp
import zipfile

_TIME = 315532800
"""1980-01-01, the first time that a zip can have."""


def build_wheel(sources: pathlib.Path, wheel: pathlib.Path) -> None:
    """Builds the wheel.

    Args:
      sources: a directory with the sources of the repository.
      wheel: the output; its name must be that of the wheel.

    Raises:
      ValueError: the wheel has another name.
    """
    from hatchling.build import build_wheel

    os.environ.pop("SOURCE_DATE_EPOCH", None)  # The backend has a fixed time of its own.
    directory = os.getcwd()
    os.chdir(sources)
    try:
        name = build_wheel(str(wheel.parent))
    finally:
        os.chdir(directory)
    if name != wheel.name:
        raise ValueError(f"{wheel.name}: the wheel has the name {name}")


def build_zipapp(wheel: pathlib.Path, pyz: pathlib.Path) -> None:
    """Builds an application of one file with the packages of a wheel.

    Args:
      wheel: the wheel.
      pyz: the output.
    """
    with tempfile.TemporaryDirectory() as temporary:
        top = pathlib.Path(temporary)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(top, [name for name in archive.namelist() if name.endswith(".py")])
            for name in archive.namelist():
                if name.endswith(".dist-info/licenses/LICENSE"):
                    (top / "LICENSE").write_bytes(archive.read(name))
        shutil.copyfile(top / "imagecap/__main__.py", top / "__main__.py")
        for path in top.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
            os.utime(path, (_TIME, _TIME))
        os.environ["TZ"] = "UTC"  # A zip has local times.
        time.tzset()
        zipapp.create_archive(top, pyz, interpreter="/usr/bin/env python3", compressed=True)


def main(arguments: list[str]) -> None:
    """Runs the command line."""
    wheel, pyz = (pathlib.Path(argument).absolute() for argument in arguments[:2])
    with tempfile.TemporaryDirectory() as temporary:
        sources = pathlib.Path(temporary)
        for path in arguments[2:]:
            (sources / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, sources / path)
        build_wheel(sources, wheel)
    build_zipapp(wheel, pyz)


if __name__ == "__main__":
    main(sys.argv[1:])

"""Reports which lines of rules_setcap the tests ran; fails below the floor in pyproject.toml.

    ./bazelw test --config=coverage //...
    ./bazelw run //tests:coverage

Lines that run in another process than pytest's are not counted.
"""

from __future__ import annotations

import os
import pathlib
import sys
import tempfile
import zipfile

import coverage


def main() -> int:
    """Combines the data of all tests and prints a line for each file; returns the exit status."""
    os.chdir(os.environ["BUILD_WORKSPACE_DIRECTORY"])
    with tempfile.TemporaryDirectory() as directory:
        data_files = _collect(pathlib.Path("bazel-testlogs"), pathlib.Path(directory))
        if not data_files:
            print("no data; run: ./bazelw test --config=coverage //...", file=sys.stderr)
            return 2
        report = coverage.Coverage(data_file=os.path.join(directory, "combined"), config_file="pyproject.toml")
        report.combine(data_files, strict=True)
        percent = report.report(skip_covered=True)
    floor = float(str(report.get_option("report:fail_under")))
    print(f"coverage of {len(data_files)} tests: {percent:.1f} % (floor {floor:.1f} %)")
    return int(percent < floor)


def _collect(logs: pathlib.Path, directory: pathlib.Path) -> list[str]:
    """Returns the data files of all tests; Bazel puts the undeclared outputs of a test in a zip file or a directory."""
    found = [str(path) for path in logs.rglob("test.outputs/coverage")]
    for number, archive in enumerate(logs.rglob("test.outputs/outputs.zip")):
        with zipfile.ZipFile(archive) as opened:
            if "coverage" in opened.namelist():
                path = directory / f"test{number}"
                path.write_bytes(opened.read("coverage"))
                found.append(str(path))
    return found


if __name__ == "__main__":
    sys.exit(main())

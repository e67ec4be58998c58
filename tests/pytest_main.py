"""Runs pytest over the files named on the command line, as a Bazel test.

With COVERAGE in the environment, the lines of rules_setcap that run in this process are written to the undeclared outputs
of the test; tests/coverage reads them.
"""

from __future__ import annotations

import os
import sys

import pytest


def main(arguments: list[str]) -> int:
    """Runs pytest; returns its exit status."""
    os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", os.environ["TEST_TMPDIR"])
    options = ["-ra", "-p", "no:cacheprovider", "--import-mode=importlib"]
    options += ["--basetemp", os.path.join(os.environ["TEST_TMPDIR"], "pytest")]
    # Tools that count single tests look for the report there.
    if report := os.environ.get("XML_OUTPUT_FILE"):
        options += ["--junitxml", report]
    # Bazel passes --test_filter in this variable.
    if chosen := os.environ.get("TESTBRIDGE_TEST_ONLY"):
        options += ["-k", chosen]
    return int(pytest.main(options + arguments))


def main_with_coverage(arguments: list[str]) -> int:
    """Runs pytest and records which lines run; returns pytest's exit status."""
    import coverage

    outputs = os.environ["TEST_UNDECLARED_OUTPUTS_DIR"]
    recorder = coverage.Coverage(
        data_file=os.path.join(outputs, "coverage"), source_pkgs=["rules_setcap"], branch=True, config_file=False
    )
    recorder.start()
    try:
        return main(arguments)
    finally:
        recorder.stop()
        recorder.save()


if __name__ == "__main__":
    sys.exit((main_with_coverage if "COVERAGE" in os.environ else main)(sys.argv[1:]))

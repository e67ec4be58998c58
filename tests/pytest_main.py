"""Runs pytest over the files named on the command line, as a Bazel test."""

from __future__ import annotations

import os
import sys

import pytest

if __name__ == "__main__":
    os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", os.environ["TEST_TMPDIR"])
    options = ["-ra", "-p", "no:cacheprovider", "--import-mode=importlib"]
    options += ["--basetemp", os.path.join(os.environ["TEST_TMPDIR"], "pytest")]
    # The count of single tests, where Bazel and others look for it.
    if report := os.environ.get("XML_OUTPUT_FILE"):
        options += ["--junitxml", report]
    # --test_filter
    if chosen := os.environ.get("TESTBRIDGE_TEST_ONLY"):
        options += ["-k", chosen]
    sys.exit(pytest.main(options + sys.argv[1:]))

"""The version of rules_setcap, for the programs that users run."""

VERSION = "0.1.0"
"""The version in MODULE.bazel; tests/release compares the two."""

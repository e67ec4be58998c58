"""The rule py_test, whose targets can have different Python versions."""

load(":private.bzl", "versioned")

def py_test(name, python_version = None, **kwargs):
    versioned(native.py_test, True, name, python_version, kwargs)  # buildifier: disable=native-py

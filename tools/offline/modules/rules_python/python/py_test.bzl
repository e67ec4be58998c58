"""py_test with a version of its own per target."""

load(":private.bzl", "versioned")

def py_test(name, python_version = None, **kwargs):
    versioned(native.py_test, True, name, python_version, kwargs)  # buildifier: disable=native-py

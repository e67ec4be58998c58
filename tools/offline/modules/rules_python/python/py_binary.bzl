"""py_binary with a version of its own per target."""

load(":private.bzl", "versioned")

def py_binary(name, python_version = None, **kwargs):
    versioned(native.py_binary, False, name, python_version, kwargs)  # buildifier: disable=native-py

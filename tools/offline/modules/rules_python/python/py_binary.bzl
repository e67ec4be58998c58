"""The rule py_binary, whose targets can have different Python versions."""

load(":private.bzl", "versioned")

def py_binary(name, python_version = None, **kwargs):
    versioned(native.py_binary, False, name, python_version, kwargs)  # buildifier: disable=native-py

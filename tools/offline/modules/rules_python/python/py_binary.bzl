"""py_binary with a version of its own per target."""

load(":private.bzl", "checked")

def py_binary(python_version = None, **kwargs):
    native.py_binary(**checked(python_version, kwargs))  # buildifier: disable=native-py

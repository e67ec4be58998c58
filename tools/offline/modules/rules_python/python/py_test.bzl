"""py_test with a version of its own per target."""

load(":private.bzl", "checked")

def py_test(python_version = None, **kwargs):
    native.py_test(**checked(python_version, kwargs))  # buildifier: disable=native-py

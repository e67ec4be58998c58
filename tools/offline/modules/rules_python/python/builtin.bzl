"""Bazel's own provider by another name: a file cannot export a builtin's own."""

BuiltinPyInfo = PyInfo  # buildifier: disable=native-py

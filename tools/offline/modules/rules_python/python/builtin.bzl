"""Bazel's own provider PyInfo, under another name: a file cannot export a builtin under the builtin's name."""

BuiltinPyInfo = PyInfo  # buildifier: disable=native-py

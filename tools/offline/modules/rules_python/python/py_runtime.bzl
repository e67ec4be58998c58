"""Bazel's own rule."""

py_runtime = native.py_runtime  # buildifier: disable=native-py

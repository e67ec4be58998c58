"""The provider of Python libraries."""

load(":builtin.bzl", "BuiltinPyInfo")

PyInfo = BuiltinPyInfo

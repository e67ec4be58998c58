"""All rules in one file, which Bazel's own packages load."""

load(":builtin.bzl", "BuiltinPyInfo")
load(":py_binary.bzl", _py_binary = "py_binary")
load(":py_library.bzl", _py_library = "py_library")
load(":py_test.bzl", _py_test = "py_test")

PyInfo = BuiltinPyInfo
py_binary = _py_binary
py_library = _py_library
py_test = _py_test

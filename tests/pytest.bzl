"""Tests written with pytest."""

load("@rules_python//python:py_test.bzl", "py_test")

# For tests that compress by libdeflate.
LIBDEFLATE = "//tools/rules_setcap/packer:libdeflate"
LIBDEFLATE_ENV = {"LIBDEFLATE": "$(rootpath {})".format(LIBDEFLATE)}

def pytest_test(name, size, srcs, deps = [], args = [], **kwargs):
    """Runs pytest over srcs; hypothesis and //tests/support are at hand.

    Args:
      name: the name of the test.
      size: small, medium or large, as of every test rule: the time that it may take. No test is without.
      srcs: the test files, each run by pytest.
      deps: libraries they import.
      args: further arguments for pytest.
      **kwargs: what py_test takes.
    """
    py_test(
        name = name,
        size = size,
        srcs = srcs + ["//tests:pytest_main.py"],
        args = ["$(rootpath {})".format(src) for src in srcs] + args,
        legacy_create_init = 0,
        main = "//tests:pytest_main.py",
        python_version = "3.14",
        deps = deps + [
            "//tests/support",
            "@rules_setcap_pip//coverage",
            "@rules_setcap_pip//hypothesis",
            "@rules_setcap_pip//pytest",
        ],
        **kwargs
    )

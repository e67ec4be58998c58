"""The macro of tests that pytest runs."""

load("@rules_python//python:py_test.bzl", "py_test")

# For tests that compress as the rules do by default.
GZIP_LIBRARY = "//tools/rules_setcap/packer:gzip_library"
GZIP_LIBRARY_ENV = {"GZIP_LIBRARY": "$(rootpath {})".format(GZIP_LIBRARY)}

def pytest_test(name, size, srcs, deps = [], args = [], data = [], images = [], **kwargs):
    """Defines a test that runs pytest; it can import hypothesis and //tests/support.

    Args:
      name: the name of the test.
      size: small, medium or large: the time limit, as for every test rule.
      srcs: the test files.
      deps: the libraries that they import.
      args: further arguments of pytest.
      data: the files that they read.
      images: targets of image and image_index whose OCI layout directories they read.
      **kwargs: other attributes of py_test.
    """
    if images:
        native.filegroup(
            name = name + "_images",
            testonly = True,
            srcs = images,
            output_group = "oci_layout",
        )
        data = data + [":" + name + "_images"]
    py_test(
        name = name,
        size = size,
        srcs = srcs + ["//tests:pytest_main.py"],
        args = ["$(rootpath {})".format(src) for src in srcs] + args,
        data = data,
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

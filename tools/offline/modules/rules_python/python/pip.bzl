"""A repository with the Python packages that pip installs: one Bazel package for each requirement."""

_PACKAGE = """\
alias(
    name = "{name}",
    actual = "//:site",
    visibility = ["//visibility:public"],
)
"""

# As in rules_python, a package of `pip.parse` exists only for the Python version of the tag.
_VERSIONED_PACKAGE = """\
alias(
    name = "{name}",
    actual = select(
        {{"@rules_python//python/config_settings:is_python_{version}": "//:site"}},
        no_match_error = "{name} exists only for Python {version}; set python_version",
    ),
    visibility = ["//visibility:public"],
)
"""

_SITE = """\
py_library(
    name = "site",
    srcs = glob(["site-packages/**/*.py"]),
    data = glob(["site-packages/**"], exclude = ["site-packages/**/*.py"]),
    imports = ["site-packages"],
    visibility = ["//visibility:public"],
)
"""

_REQUIREMENTS = """\
def install_deps(**_kwargs):
    pass
"""

def _hub_impl(rctx):
    lock = rctx.path(rctx.attr.requirements_lock)
    rctx.report_progress("pip install")
    result = rctx.execute([
        "/usr/bin/python3.14",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-compile",
        "--no-deps",
        "--require-hashes",
        "--only-binary=:all:",
        "--root-user-action=ignore",
        "--target=site-packages",
        "--requirement=" + str(lock),
    ], timeout = 600)
    if result.return_code:
        fail("pip could not install {}:\n{}{}".format(rctx.attr.requirements_lock, result.stdout, result.stderr))
    rctx.file("BUILD.bazel", _SITE)
    rctx.file("requirements.bzl", _REQUIREMENTS)
    for line in rctx.read(lock).splitlines():
        if "==" in line and line[0].isalpha():
            name = line.split("==")[0].split("[")[0].strip().lower().replace("-", "_").replace(".", "_")
            package = _VERSIONED_PACKAGE if rctx.attr.python_version else _PACKAGE
            rctx.file(name + "/BUILD.bazel", package.format(name = name, version = rctx.attr.python_version))

pip_hub = repository_rule(
    implementation = _hub_impl,
    attrs = {
        "python_version": attr.string(),
        "requirements_lock": attr.label(allow_single_file = True),
    },
)

def pip_parse(name, requirements_lock, **_kwargs):
    """Declares a repository with Python packages, in a WORKSPACE file.

    Args:
      name: the repository's name.
      requirements_lock: the requirements file, with hashes.
      **_kwargs: ignored, because there is only one interpreter.
    """
    pip_hub(name = name, requirements_lock = requirements_lock)

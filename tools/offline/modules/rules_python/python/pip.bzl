"""Packages as pip installs them: one repository, with a package per requirement."""

_PACKAGE = """\
alias(
    name = "{name}",
    actual = "//:site",
    visibility = ["//visibility:public"],
)
"""

_SITE = """\
py_library(
    name = "site",
    srcs = glob(["site/**/*.py"]),
    data = glob(["site/**"], exclude = ["site/**/*.py"]),
    imports = ["site"],
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
        "--target=site",
        "--requirement=" + str(lock),
    ], timeout = 600)
    if result.return_code:
        fail("pip could not install {}:\n{}{}".format(rctx.attr.requirements_lock, result.stdout, result.stderr))
    rctx.file("BUILD.bazel", _SITE)
    rctx.file("requirements.bzl", _REQUIREMENTS)
    for line in rctx.read(lock).splitlines():
        if "==" in line and line[0].isalpha():
            name = line.split("==")[0].split("[")[0].strip().lower().replace("-", "_").replace(".", "_")
            rctx.file(name + "/BUILD.bazel", _PACKAGE.format(name = name))

pip_hub = repository_rule(
    implementation = _hub_impl,
    attrs = {"requirements_lock": attr.label(allow_single_file = True)},
)

def pip_parse(name, requirements_lock, **_kwargs):
    """What a WORKSPACE file calls.

    Args:
      name: the repository's name.
      requirements_lock: the packages, with hashes.
      **_kwargs: unused, as there is one interpreter.
    """
    pip_hub(name = name, requirements_lock = requirements_lock)

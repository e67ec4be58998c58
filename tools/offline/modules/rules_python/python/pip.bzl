"""A repository with one Bazel package for each requirement, and one with the Python packages that pip installs.

The package `deflate`, which has libdeflate, comes from Debian, so that the default compression needs nothing from PyPI.
"""

_DEFLATE = "deflate"
_LIBDEFLATE = "libdeflate.so.0"

_PACKAGE = """\
alias(
    name = "{name}",
    actual = "{actual}",
    visibility = ["//visibility:public"],
)
"""

# As in rules_python, a package of `pip.parse` exists only for the Python version of the tag.
_VERSIONED_PACKAGE = """\
alias(
    name = "{name}",
    actual = select(
        {{"@rules_python//python/config_settings:is_python_{version}": "{actual}"}},
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

_LIBRARY = """\
filegroup(
    name = "library",
    srcs = ["{file}"],
    visibility = ["//visibility:public"],
)
"""

_REQUIREMENTS = """\
def install_deps(**_kwargs):
    pass
"""

def _site_impl(rctx):
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

_pip_site = repository_rule(
    implementation = _site_impl,
    attrs = {"requirements_lock": attr.label(allow_single_file = True)},
)

def _hub_impl(rctx):
    rctx.file("BUILD.bazel")
    rctx.file("requirements.bzl", _REQUIREMENTS)
    for line in rctx.read(rctx.path(rctx.attr.requirements_lock)).splitlines():
        if "==" in line and line[0].isalpha():
            name = line.split("==")[0].split("[")[0].strip().lower().replace("-", "_").replace(".", "_")
            build, actual = "", "@{}//:site".format(rctx.attr.site)
            if name == _DEFLATE and _link_library(rctx):
                build, actual = _LIBRARY.format(file = _LIBDEFLATE), ":library"
            package = _VERSIONED_PACKAGE if rctx.attr.python_version else _PACKAGE
            build += package.format(name = name, actual = actual, version = rctx.attr.python_version)
            rctx.file(name + "/BUILD.bazel", build)

def _link_library(rctx):
    """Links Debian's libdeflate into the package; returns whether there is one."""
    for directory in rctx.path("/usr/lib").readdir():
        library = directory.get_child(_LIBDEFLATE)
        if library.exists:
            rctx.symlink(library, _DEFLATE + "/" + _LIBDEFLATE)
            return True
    return False

_pip_hub = repository_rule(
    implementation = _hub_impl,
    attrs = {
        "python_version": attr.string(),
        "requirements_lock": attr.label(allow_single_file = True),
        "site": attr.string(doc = "The name of the repository with the packages."),
    },
)

def pip_hub(name, requirements_lock, python_version = ""):
    """Declares a repository with Python packages.

    Args:
      name: the repository's name.
      requirements_lock: the requirements file, with hashes.
      python_version: the only Python version for which the packages exist; "" for every version.
    """
    site = name + "_site"
    _pip_site(name = site, requirements_lock = requirements_lock)
    _pip_hub(name = name, python_version = python_version, requirements_lock = requirements_lock, site = site)

def pip_parse(name, requirements_lock, **_kwargs):
    """Declares a repository with Python packages, in a WORKSPACE file.

    Args:
      name: the repository's name.
      requirements_lock: the requirements file, with hashes.
      **_kwargs: ignored, because there is only one interpreter.
    """
    pip_hub(name = name, requirements_lock = requirements_lock)

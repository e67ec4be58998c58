"""pip.parse: one repository with a package per requirement, as pip installs them."""

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
    for line in rctx.read(lock).splitlines():
        if "==" in line and line[0].isalpha():
            name = line.split("==")[0].split("[")[0].strip().lower().replace("-", "_").replace(".", "_")
            rctx.file(name + "/BUILD.bazel", _PACKAGE.format(name = name))

_hub = repository_rule(
    implementation = _hub_impl,
    attrs = {"requirements_lock": attr.label(allow_single_file = True)},
)

def _pip_impl(mctx):
    for module in mctx.modules:
        for tag in module.tags.parse:
            _hub(
                name = tag.hub_name,
                requirements_lock = tag.requirements_lock,
            )

pip = module_extension(
    implementation = _pip_impl,
    tag_classes = {"parse": tag_class(attrs = {
        "hub_name": attr.string(mandatory = True),
        "python_version": attr.string(),
        "requirements_lock": attr.label(mandatory = True),
    })},
)

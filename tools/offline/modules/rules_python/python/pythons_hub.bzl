"""The repository with the default Python version."""

def _pythons_hub_impl(rctx):
    rctx.file("BUILD.bazel", "")
    rctx.file("interpreters.bzl", "DEFAULT_PYTHON_VERSION = \"{}\"\n".format(rctx.attr.default_python_version))

pythons_hub = repository_rule(
    implementation = _pythons_hub_impl,
    attrs = {"default_python_version": attr.string()},
)

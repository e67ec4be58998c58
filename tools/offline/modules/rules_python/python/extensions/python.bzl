"""The module extension `python`, with the tag `toolchain`. The only version is 3.14."""

load("//python:pythons_hub.bzl", "pythons_hub")

# The default version of rules_python, for root modules that name no version.
_DEFAULT = "3.11"

def _python_impl(mctx):
    default = _DEFAULT
    for module in mctx.modules:
        for tag in module.tags.toolchain:
            if tag.python_version != "3.14":
                fail("python_version: \"{}\": the private root has only Python 3.14".format(tag.python_version))
            if module.is_root and (tag.is_default or len(module.tags.toolchain) == 1):
                default = tag.python_version
    pythons_hub(name = "pythons_hub", default_python_version = default)

python = module_extension(
    implementation = _python_impl,
    tag_classes = {"toolchain": tag_class(attrs = {
        "is_default": attr.bool(),
        "python_version": attr.string(mandatory = True),
    })},
)

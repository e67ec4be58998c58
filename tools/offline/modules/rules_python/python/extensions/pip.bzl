"""The module extension `pip`, with the tag `parse`."""

load("//python:pip.bzl", "pip_hub")

def _pip_impl(mctx):
    for module in mctx.modules:
        for tag in module.tags.parse:
            pip_hub(
                name = tag.hub_name,
                python_version = tag.python_version,
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

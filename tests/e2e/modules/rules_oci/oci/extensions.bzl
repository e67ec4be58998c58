"""A stand-in for the module extension oci of rules_oci: an image with programs of this machine, in place of the one that it pulls."""

_BUILD = """\
load("@rules_oci//oci:layout.bzl", "layout")

layout(
    name = "{name}",
    srcs = glob(["layout/**"]),
    visibility = ["//visibility:public"],
)
"""

def _pulled_impl(rctx):
    result = rctx.execute(["/usr/bin/python3", rctx.path(rctx.attr._script), "layout"])
    if result.return_code:
        fail(result.stderr)
    rctx.file("BUILD.bazel", _BUILD.format(name = rctx.attr.target))

_pulled = repository_rule(
    implementation = _pulled_impl,
    attrs = {
        "target": attr.string(),
        "_script": attr.label(default = "//oci:write_base.py"),
    },
)

def _oci_impl(mctx):
    for module in mctx.modules:
        for pull in module.tags.pull:
            for name in [pull.name] + ["{}_{}".format(pull.name, platform.replace("/", "_")) for platform in pull.platforms]:
                _pulled(name = name, target = name)

oci = module_extension(
    implementation = _oci_impl,
    tag_classes = {"pull": tag_class(attrs = {
        "digest": attr.string(),
        "image": attr.string(),
        "name": attr.string(),
        "platforms": attr.string_list(),
    })},
)

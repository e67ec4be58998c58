"""Rules that show what other targets provide."""

load("//rules:providers.bzl", "ImageInfo")

def _output_groups_impl(ctx):
    groups = {
        rule: sorted([name for name in target[OutputGroupInfo]])
        for target, rule in ctx.attr.targets.items()
    }
    output = ctx.actions.declare_file(ctx.label.name + ".json")
    ctx.actions.write(output, json.encode(groups))
    return [DefaultInfo(files = depset([output]))]

output_groups = rule(
    doc = "A JSON object: the names of the output groups, by the name of the rule.",
    implementation = _output_groups_impl,
    attrs = {
        "targets": attr.label_keyed_string_dict(
            doc = "The name of the rule of each target.",
            mandatory = True,
        ),
    },
)

def _image_metadata_impl(ctx):
    return [DefaultInfo(files = depset([layer.metadata for layer in ctx.attr.image[ImageInfo].layers]))]

image_metadata = rule(
    doc = "The metadata of the layers of an image.",
    implementation = _image_metadata_impl,
    attrs = {
        "image": attr.label(
            doc = "The image.",
            mandatory = True,
            providers = [ImageInfo],
        ),
    },
)

"""A stand-in for image_manifest of rules_img."""

load("@rules_oci//oci:defs.bzl", "append_tars")

def _image_manifest_impl(ctx):
    layout = append_tars(ctx, [], ctx.files.layers)
    return [OutputGroupInfo(oci_layout = depset([layout])), DefaultInfo(files = depset([layout]))]

image_manifest = rule(
    implementation = _image_manifest_impl,
    attrs = {
        "entrypoint": attr.string_list(),
        "layers": attr.label_list(),
        "user": attr.string(),
    },
)

"""A stand-in for layer_from_tar of rules_img, which keeps the tar as it is."""

def _layer_from_tar_impl(ctx):
    return [DefaultInfo(files = depset([ctx.file.src]))]

layer_from_tar = rule(
    implementation = _layer_from_tar_impl,
    attrs = {"src": attr.label(allow_single_file = True, mandatory = True)},
)

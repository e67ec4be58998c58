"""Base images: the parts of them that the actions of an image need."""

load("//rules:providers.bzl", "ImageInfo")
load(":foreign.bzl", "find_image", "image_layout")

def base_image(ctx, problems):
    """Returns the inputs that come from the attribute base.

    Args:
      ctx: the context of a rule with PACKER_ATTRS and the attribute base.
      problems: list of str, to which problems are added.

    Returns:
      struct of args (list of pairs of a flag's format and a File), files (depset of File, the inputs of those flags),
      layers (list of LayerInfo, the lowest first), layouts (list of File, OCI layout directories that have the
      layers that Bazel did not build) and layout_files (depset of File, the layouts and what they link to).
    """
    nothing = struct(args = [], files = depset(), layers = [], layouts = [], layout_files = depset())
    if not ctx.attr.base:
        return nothing
    if ImageInfo in ctx.attr.base:
        info = ctx.attr.base[ImageInfo]
        return struct(
            args = [("--base-manifest=%s", info.manifest), ("--base-config=%s", info.config)],
            files = depset([info.manifest, info.config]),
            layers = info.layers,
            layouts = info.base_layouts,
            layout_files = depset(info.base_layouts, transitive = [getattr(info, "base_layout_files", depset())]),
        )
    image = find_image("base", ctx.attr.base, problems)
    if not image.file:
        return nothing
    made = image_layout(ctx, "base", image)
    return struct(
        args = [("--base-layout=%s", made.layout)],
        files = made.files,
        layers = [],
        layouts = [made.layout],
        layout_files = made.files,
    )

"""Base images: the parts of them that the actions of an image need."""

load("//rules:providers.bzl", "ImageInfo")
load(":messages.bzl", "label_text", "named", "problem")
load(":packer.bzl", "packer_request", "run_packer")

def base_image(ctx, problems):
    """Returns the inputs that come from the attribute base.

    Args:
      ctx: the context of a rule with PACKER_ATTRS and the attribute base.
      problems: list of str, to which problems are added.

    Returns:
      struct of args (list of pairs of a flag's format and a File), files (list of File, the inputs of those flags),
      layers (list of LayerInfo, the lowest first) and layouts (list of File, OCI layout directories that have the
      layers that Bazel did not build).
    """
    if not ctx.attr.base:
        return struct(args = [], files = [], layers = [], layouts = [])
    if ImageInfo in ctx.attr.base:
        info = ctx.attr.base[ImageInfo]
        return struct(
            args = [("--base-manifest=%s", info.manifest), ("--base-config=%s", info.config)],
            files = [info.manifest, info.config],
            layers = info.layers,
            layouts = info.base_layouts,
        )
    files = ctx.files.base
    if len(files) != 1:
        problems.append(problem("base", label_text(ctx.attr.base.label), "{} files; a base is an OCI layout directory, an archive of one, what docker save writes, or another image".format(len(files))))
        return struct(args = [], files = [], layers = [], layouts = [])
    if not files[0].is_directory:
        files = [_unpacked(ctx, files[0])]
    return struct(args = [("--base-layout=%s", files[0])], files = files, layers = [], layouts = files)

def _unpacked(ctx, archive):
    """Declares the action that unpacks an archive to an OCI layout directory, and returns that directory."""
    layout = ctx.actions.declare_directory(ctx.label.name + ".base")
    request = packer_request(ctx, "unpack")
    request.add(archive, format = "--archive=%s")
    named(request, "base", ctx.attr.base.label, archive)
    request.add_all([layout], format_each = "--output=%s", expand_directories = False)
    run_packer(
        ctx,
        request,
        outputs = [layout],
        inputs = [archive],
        mnemonic = "SetcapUnpack",
        progress_message = "Unpacking the base of %{label}",
    )
    return layout

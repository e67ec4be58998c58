"""Base images: the parts of them that the actions of an image need."""

load("//rules:providers.bzl", "ImageInfo")
load(":messages.bzl", "label_text", "problem")
load(":packer.bzl", "packer_request", "run_packer")

def base_image(ctx, platform, problems):
    """Returns the inputs that come from the attribute base.

    Args:
      ctx: the context of a rule with PACKER_ATTRS and the attribute base.
      platform: str, os/architecture/variant of the image.
      problems: list of str, to which problems are added.

    Returns:
      struct of args (list of pairs of a flag's format and a File), contents (list of File, JSON that lists the files of
      layers that Bazel did not build), files (list of File, the inputs of the flags), layers (list of LayerInfo, the
      lowest first) and layouts (list of File, OCI layout directories that have the layers that Bazel did not build).
    """
    if not ctx.attr.base:
        return struct(args = [], contents = [], files = [], layers = [], layouts = [])
    if ImageInfo in ctx.attr.base:
        info = ctx.attr.base[ImageInfo]
        return struct(
            args = [("--base-manifest=%s", info.manifest), ("--base-config=%s", info.config)],
            contents = info.base_contents,
            files = [info.manifest, info.config],
            layers = info.layers,
            layouts = info.base_layouts,
        )
    files = ctx.files.base
    if len(files) != 1:
        problems.append(problem("base", label_text(ctx.attr.base.label), "{} files; a base is an OCI layout directory, an archive of one, what docker save writes, or another image".format(len(files))))
        return struct(args = [], contents = [], files = [], layers = [], layouts = [])
    if not files[0].is_directory:
        files = [_unpacked(ctx, files[0])]
    contents = [_contents(ctx, files[0], platform)]
    return struct(args = [("--base-layout=%s", files[0])], contents = contents, files = files, layers = [], layouts = files)

def _contents(ctx, layout, platform):
    """Declares the action that lists the files of a base, and returns the list."""
    contents = ctx.actions.declare_file(ctx.label.name + ".base.json")
    request = packer_request(ctx, "contents")
    request.add_all([layout], format_each = "--layout=%s", expand_directories = False)
    request.add(platform, format = "--platform=%s")
    request.add(contents, format = "--output=%s")
    run_packer(
        ctx,
        request,
        outputs = [contents],
        inputs = [layout],
        mnemonic = "SetcapContents",
        progress_message = "Listing the base of %{label}",
    )
    return contents

def _unpacked(ctx, archive):
    """Declares the action that unpacks an archive to an OCI layout directory, and returns that directory."""
    layout = ctx.actions.declare_directory(ctx.label.name + ".base")
    request = packer_request(ctx, "unpack")
    request.add(archive, format = "--archive=%s")
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

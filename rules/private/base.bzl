"""Base images: the parts of them that the actions of an image need."""

load("//rules:providers.bzl", "ImageInfo")
load(":foreign.bzl", "find_image", "image_layout")
load(":messages.bzl", "named")
load(":packer.bzl", "PACKER_ATTRS", "packer_request", "run_packer")
load(":platform.bzl", "ARCHITECTURE_ATTRS", "cpu_platform", "platform_text")

_BaseInfo = provider(
    doc = "An image of another ruleset, prepared as a base once for all images on top of it.",
    fields = {
        "contents": "File: JSON that lists the files of the image.",
        "files": "depset of File: the inputs of actions that read `layout`.",
        "layout": "File: the OCI layout directory.",
        "platform": "str: os/architecture/variant that `contents` is for.",
    },
)

def _prepare_base_impl(target, ctx):
    problems = []
    image = None if ImageInfo in target else find_image("base", target, problems)
    if not image or not image.file:
        return []  # The image on top of it reports the problems.
    return [_prepare(ctx, "setcap_base", ctx.label, image, platform_text(cpu_platform(ctx)))]

prepare_base = aspect(
    doc = "Lists the files of a base, so that the images on top of it do not each read its layers.",
    implementation = _prepare_base_impl,
    attrs = PACKER_ATTRS | ARCHITECTURE_ATTRS,
    provides = [],
)

def _prepare(ctx, name, label, image, platform):
    made = image_layout(ctx, "base", image, name)
    contents = ctx.actions.declare_file("{}.{}.json".format(ctx.label.name, name))
    request = packer_request(ctx, "contents")
    named(request, "base", label, made.layout)
    request.add_all([made.layout], format_each = "--layout=%s", expand_directories = False)
    request.add(platform, format = "--platform=%s")
    request.add(contents, format = "--output=%s")
    run_packer(
        ctx,
        request,
        tool = "_oci",
        outputs = [contents],
        transitive_inputs = [made.files],
        mnemonic = "SetcapContents",
        progress_message = "Listing the files of base %{label}",
    )
    return _BaseInfo(contents = contents, files = made.files, layout = made.layout, platform = platform)

def base_image(ctx, platform, problems):
    """Returns the inputs that come from the attribute base.

    Args:
      ctx: the context of a rule with PACKER_ATTRS and the attribute base, to which the aspect prepare_base applies.
      platform: str, os/architecture/variant of the image.
      problems: list of str, to which problems are added.

    Returns:
      struct of
        args: list of pairs of a flag's format and a File.
        contents: list of File, JSON that lists the files of layers that Bazel did not build.
        files: depset of File, the inputs of the flags.
        layers: list of LayerInfo, the lowest first.
        layouts: list of File, OCI layout directories that have the layers that Bazel did not build.
        layout_files: depset of File, the layouts and what they link to.
    """
    nothing = struct(args = [], contents = [], files = depset(), layers = [], layouts = [], layout_files = depset())
    if not ctx.attr.base:
        return nothing
    if ImageInfo in ctx.attr.base:
        info = ctx.attr.base[ImageInfo]
        return struct(
            args = [("--base-manifest=%s", info.manifest), ("--base-config=%s", info.config)],
            contents = info.base_contents,
            files = depset([info.manifest, info.config]),
            layers = info.layers,
            layouts = info.base_layouts,
            layout_files = depset(info.base_layouts, transitive = [info.base_layout_files]),
        )
    prepared = ctx.attr.base[_BaseInfo] if _BaseInfo in ctx.attr.base else None
    if not prepared or prepared.platform != platform:
        # A source file, to which no aspect applies, or an image for another platform than the one that Bazel builds for.
        image = find_image("base", ctx.attr.base, problems)
        if not image.file:
            return nothing
        prepared = _prepare(ctx, "base", ctx.attr.base.label, image, platform)
    return struct(
        args = [("--base-layout=%s", prepared.layout)],
        contents = [prepared.contents],
        files = prepared.files,
        layers = [],
        layouts = [prepared.layout],
        layout_files = prepared.files,
    )

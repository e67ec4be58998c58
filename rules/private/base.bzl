"""Base images: the files of them that the actions of an image need."""

load("//rules:providers.bzl", "ImageIndexInfo", "ImageInfo", "PulledImageInfo")
load(":input_images.bzl", "convert_to_layout", "find_image")
load(":platform.bzl", "ARCHITECTURE_ATTRS", "find_cpu_platform")
load(":pulled_documents.bzl", "matches_platform")
load(":request.bzl", "add_label", "run_request", "start_request", "tool_attrs")

visibility(["//rules/...", "//tests/...", "//tools/..."])

_BaseInfo = provider(
    doc = "A base image of another ruleset, prepared once for all images that use it.",
    fields = {
        "contents": "File: JSON, the list of the files of the image.",
        "files": "depset of File: the inputs of actions that read `layout`.",
        "layout": "File: the OCI layout directory.",
        "platform": "str: os/architecture or os/architecture/variant, the platform of the image that `contents` lists.",
    },
)

def _prepare_base_impl(target, ctx):
    problems = []

    # The metadata of its layers lists the files, or its target declares the action.
    is_listed = ImageInfo in target or ImageIndexInfo in target or PulledImageInfo in target
    image = None if is_listed else find_image("base", target, problems)
    if not image or not image.file:
        return []  # The image that has the base reports the problems.
    return [_list_base_contents(ctx, "setcap_base", ctx.label, image, find_cpu_platform(ctx))]

prepare_base = aspect(
    doc = "Lists the files of a base image once for all images that use it, so that each does not read the layers of the base.",
    implementation = _prepare_base_impl,
    attrs = tool_attrs("oci") | ARCHITECTURE_ATTRS,
    provides = [],
)

def _list_base_contents(ctx, name, label, image, platform):
    """Declares the action that lists the files of a base image.

    Args:
      ctx: the context of a rule or aspect with tool_attrs("oci").
      name: str, a part of the names of the outputs.
      label: Label of the base, for messages.
      image: struct from find_image(), without problems.
      platform: str, the platform of the image to list.

    Returns:
      _BaseInfo.
    """
    layout = convert_to_layout(ctx, "base", image, name)
    contents = ctx.actions.declare_file("{}.{}.json".format(ctx.label.name, name))
    request = start_request(ctx, "contents")
    add_label(request, "base", label, layout.directory)
    request.add_all([layout.directory], format_each = "--layout=%s", expand_directories = False)
    request.add(platform, format = "--platform=%s")
    request.add(contents, format = "--output=%s")
    run_request(
        ctx,
        ctx.attr._oci_tool,
        request,
        outputs = [contents],
        transitive_inputs = [layout.files],
        mnemonic = "SetcapContents",
        progress_message = "Listing the files of base %{label}",
    )
    return _BaseInfo(contents = contents, files = layout.files, layout = layout.directory, platform = platform)

_NO_BASE = struct(
    blobs = [],
    config = None,
    contents = [],
    files = depset(),
    label = None,
    layers = [],
    layout_files = depset(),
    layouts = [],
    manifest = None,
    platform = "",
    search = None,
    sources = [],
)

def base_image(ctx, platform, problems):
    """Returns what the actions of an image need of its base.

    Args:
      ctx: the context of a rule with tool_attrs("oci") and the attribute base, to which the aspect prepare_base applies.
      platform: str, the platform of the image.
      problems: list of str, to which problems are added.

    Returns:
      struct of
        blobs: list of File, the layers of `layouts` that actions fetch, and that `layouts` lack.
        config: File, the config of an `image` of these rules; None otherwise.
        contents: list of File, JSON: the lists of the files of layers that Bazel did not build; one or none.
        files: depset of File, the inputs of an action that reads manifest and config, or `layouts`.
        label: Label of the base; None without a base.
        layers: list of LayerInfo, the layers that Bazel builds, the lowest first.
        layout_files: depset of File, `layouts`, the files that they link to, and `blobs`.
        layouts: list of File, OCI layout directories that have the layers that Bazel did not build; one or none.
        manifest: File, the manifest of an `image` of these rules; None otherwise.
        platform: str, the platform of an `image` of these rules; "" if it is not known.
        search: struct, as add_client() of base_search.bzl takes it, with the tool that finds files in `blobs`; None if there are none.
        sources: list of struct of digest, image and insecure, the images in registries that have `blobs`; one or none.
    """
    if not ctx.attr.base:
        return _NO_BASE
    info = _find_built_image(ctx.attr.base, platform)
    if info:
        return struct(
            blobs = info.base_blobs,
            config = info.config,
            contents = info.base_contents,
            files = depset([info.manifest, info.config]),
            label = ctx.attr.base.label,
            layers = info.layers,
            layout_files = depset(info.base_layouts, transitive = [info.base_layout_files]),
            layouts = info.base_layouts,
            manifest = info.manifest,
            platform = info.platform,
            search = info.base_search,
            sources = info.base_sources,
        )
    if PulledImageInfo in ctx.attr.base:
        return _use_pulled_image(ctx.attr.base.label, ctx.attr.base[PulledImageInfo], platform)
    prepared = ctx.attr.base[_BaseInfo] if _BaseInfo in ctx.attr.base else None
    if not prepared or prepared.platform != platform:
        # A source file, to which no aspect applies, or an image for another platform than the one that Bazel builds for.
        image = find_image("base", ctx.attr.base, problems)
        if not image.file:
            return _NO_BASE
        prepared = _list_base_contents(ctx, "base", ctx.attr.base.label, image, platform)
    return struct(
        blobs = [],
        config = None,
        contents = [prepared.contents],
        files = prepared.files,
        label = ctx.attr.base.label,
        layers = [],
        layout_files = prepared.files,
        layouts = [prepared.layout],
        manifest = None,
        platform = "",
        search = None,
        sources = [],
    )

def _use_pulled_image(label, info, platform):
    """Returns the struct of base_image() for an image in a registry. Only `contents` and `layout_files` need its layers.

    Args:
      label: Label of the base.
      info: PulledImageInfo.
      platform: str, the platform of the image.
    """
    images = [image for image in info.images if matches_platform(image.platform, platform)]
    documents = depset([info.documents])

    # Without exactly one image, the actions that read the documents report it, with the platforms that there are.
    image = images[0] if len(images) == 1 else struct(contents = None, digest = "", layers = [], search = None)
    return struct(
        blobs = image.layers,
        config = None,
        contents = [image.contents] if image.contents else [],
        files = documents,
        label = label,
        layers = [],
        layout_files = depset(image.layers, transitive = [documents]),
        layouts = [info.documents],
        manifest = None,
        platform = "",
        search = image.search,
        sources = [struct(digest = image.digest, image = info.image, insecure = info.insecure)] if image.digest else [],
    )

def _find_built_image(target, platform):
    """Returns the ImageInfo of an image of these rules.

    Args:
      target: Target, the base.
      platform: str, the platform of the image to find in an index.

    Returns:
      ImageInfo; None for an image of another ruleset, and for an index that does not have exactly one image for the platform.
      Then an action finds the image, or reports the platforms that there are.
    """
    if ImageInfo in target:
        return target[ImageInfo]
    images = target[ImageIndexInfo].images if ImageIndexInfo in target and platform else []
    images = [image for image in images if image.platform == platform]
    return images[0] if len(images) == 1 else None

def add_base_labels(request, base):
    """Adds the base's label for each of its files, for messages.

    Args:
      request: Args from start_request().
      base: struct from base_image().
    """
    if base.label:
        for file in [base.manifest, base.config] + base.layouts:
            if file:
                add_label(request, "base", base.label, file)

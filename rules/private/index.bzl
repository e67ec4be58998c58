"""The rule image_index."""

load("//rules:providers.bzl", "ImageIndexInfo", "ImageInfo")
load(":attributes.bzl", "ANNOTATIONS_FILE_ATTRS", "list_attribute_files")
load(":messages.bzl", "format_label", "format_problem")
load(":request.bzl", "LOCAL_LINKS", "add_attribute_file", "run_request", "start_request", "tool_attrs")
load(":stamp.bzl", "list_status_files", "stamp_attrs")

visibility(["//rules/...", "//tests/...", "//tools/..."])

def _image_index_impl(ctx):
    problems = []
    targets = {
        name: target
        for name, target in _list_targets(ctx, problems).items()
        if _check_image(name, target, problems)
    }
    images = [target[ImageInfo] for target in targets.values()]
    index, descriptor = _assemble_index(ctx, targets, problems)
    layout = _write_layout(ctx, ctx.label.name, index, descriptor, [image.layout for image in images])
    sparse_layout = None
    if [image for image in images if image.sparse_layout]:
        sparse_layouts = [image.sparse_layout or image.layout for image in images]
        sparse_layout = _write_layout(ctx, ctx.label.name + ".sparse", index, descriptor, sparse_layouts)
    return [
        DefaultInfo(files = depset([index, descriptor])),
        OutputGroupInfo(
            descriptor = depset([descriptor]),
            index = depset([index]),
            oci_layout = depset([layout]),
        ),
        ImageIndexInfo(
            descriptor = descriptor,
            images = images,
            index = index,
            layout = layout,
            sparse_layout = sparse_layout,
        ),
    ]

def _list_targets(ctx, problems):
    """Returns the targets of the attributes, by the names that messages show; adds problems."""
    if ctx.attr.images:
        for attribute in ["image", "platforms"]:
            labels = [format_label(target.label) for target in getattr(ctx.attr, attribute)]
            if labels:
                problems.append(format_problem(attribute, labels, "is set together with images; set images, or image and platforms"))
        return {format_label(target.label): target for target in ctx.attr.images}
    if not ctx.attr.image or not ctx.attr.platforms:
        problems.append(format_problem("images", [], "must not be empty; set images, or image and platforms"))
        return {}
    targets = {}
    for number, platform in enumerate(ctx.attr.platforms):
        target = ctx.split_attr.image[str(number)]
        targets["{} for {}".format(format_label(target.label), format_label(platform.label))] = target
    return targets

def _check_image(name, target, problems):
    """Returns whether a target is an image of these rules; adds a problem if it is not."""
    if ImageInfo in target:
        return True
    if ImageIndexInfo in target:
        explanation = "is an index, not an image; give its images"
    else:
        instead = "image(name = ..., base = \"{}\")".format(format_label(target.label))
        explanation = "is not an image of these rules; for one of another ruleset, write {} and give that".format(instead)
    problems.append(format_problem("images", name, explanation))
    return False

def _assemble_index(ctx, targets, problems):
    """Declares the action that writes the index and its descriptor. It reads descriptors only."""
    index = ctx.actions.declare_file(ctx.label.name + ".index.json")
    descriptor = ctx.actions.declare_file(ctx.label.name + ".descriptor.json")
    descriptors = [target[ImageInfo].descriptor for target in targets.values()]
    attribute_files = list_attribute_files(ctx, ANNOTATIONS_FILE_ATTRS.keys())
    status_files = list_status_files(ctx, ctx.attr.annotations.values(), has_files = bool(attribute_files))
    request = start_request(ctx, "index")
    request.add_all(targets.keys(), format_each = "--name=%s")
    request.add_all(descriptors, format_each = "--image=%s")
    request.add(json.encode(ctx.attr.annotations), format = "--annotations=%s")
    for each in attribute_files:
        add_attribute_file(request, each.attribute, each.label, each.file)
    request.add_all(status_files, format_each = "--stamp=%s")
    request.add(index, format = "--index-output=%s")
    request.add(descriptor, format = "--descriptor-output=%s")
    run_request(
        ctx,
        ctx.attr._oci_tool,
        request,
        outputs = [index, descriptor],
        inputs = descriptors + [each.file for each in attribute_files] + status_files,
        mnemonic = "SetcapIndex",
        progress_message = "Assembling image index %{label}",
        problems = problems,
    )
    return index, descriptor

def _write_layout(ctx, name, index, descriptor, layouts):
    """Declares the action that writes the OCI layout directory. Its blobs are links to those of the images' layouts."""
    layout = ctx.actions.declare_directory(name)
    request = start_request(ctx, "index-layout")
    request.add(index, format = "--index=%s")
    request.add(descriptor, format = "--descriptor=%s")
    request.add_all(layouts, format_each = "--layout=%s", expand_directories = False)
    request.add_all([layout], format_each = "--output=%s", expand_directories = False)
    run_request(
        ctx,
        ctx.attr._oci_tool,
        request,
        outputs = [layout],
        inputs = [index, descriptor] + layouts,
        mnemonic = "SetcapLayout",
        progress_message = "Laying out image index %{label}",
        execution_requirements = LOCAL_LINKS,
    )
    return layout

def _each_platform_impl(_settings, attr):
    # The keys are numbers, because Bazel sorts the keys and the index has the user's order.
    return {
        str(number): {"//command_line_option:platforms": str(platform)}
        for number, platform in enumerate(attr.platforms)
    }

_each_platform = transition(
    implementation = _each_platform_impl,
    inputs = [],
    outputs = ["//command_line_option:platforms"],
)

image_index = rule(
    doc = """An OCI image index: images for several platforms under one name.

`bazel build` writes the index and its descriptor. The output group `oci_layout` has all images. As the `base` of an `image`, an \
index stands for the image of that image's platform.

Output groups:

- `descriptor`: the OCI descriptor of the index.
- `index`: the OCI image index.
- `oci_layout`: an OCI image layout directory with the index and all images. Its blobs are symbolic links.""",
    implementation = _image_index_impl,
    attrs = ANNOTATIONS_FILE_ATTRS | stamp_attrs("`annotations` and `annotations_file`") | tool_attrs("oci") | {
        "annotations": attr.string_dict(
            doc = "Annotations of the index, for instance `{\"org.opencontainers.image.version\": \"1.0\"}`.",
        ),
        "image": attr.label(
            doc = "An `image`, which is built once for each of `platforms`.",
            allow_files = True,
            cfg = _each_platform,
        ),
        "images": attr.label_list(
            doc = "Targets of `image`, each for another platform, in place of `image` and `platforms`.",
            allow_files = True,
        ),
        "platforms": attr.label_list(
            doc = "The platforms that `image` is built for, for instance `[\"//platforms:linux_amd64\", \"//platforms:linux_arm64\"]`.",
            providers = [platform_common.PlatformInfo],
        ),
    },
    provides = [ImageIndexInfo],
)

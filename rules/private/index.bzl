"""The rule image_index."""

load("//rules:providers.bzl", "ImageIndexInfo", "ImageInfo")
load(":attributes.bzl", "FILE_ATTRS", "file_args")
load(":messages.bzl", "label_text", "problem")
load(":packer.bzl", "PACKER_ATTRS", "packer_request", "run_packer")
load(":stamp.bzl", "stamp_attrs", "status_files")

def _image_index_impl(ctx):
    problems = []
    images = {
        name: target
        for name, target in _images(ctx, problems).items()
        if _is_image(name, target, problems)
    }
    index, descriptor = _assemble(ctx, images, problems)
    layout = _layout(ctx, index, descriptor, [target[ImageInfo] for target in images.values()])
    runfiles = ctx.runfiles([layout]).merge_all([target[DefaultInfo].default_runfiles for target in images.values()])
    return [
        DefaultInfo(files = depset([layout]), runfiles = runfiles),
        OutputGroupInfo(
            descriptor = depset([descriptor]),
            index = depset([index]),
        ),
        ImageIndexInfo(
            descriptor = descriptor,
            images = [target[ImageInfo] for target in images.values()],
            index = index,
            layout = layout,
        ),
    ]

def _is_image(name, target, problems):
    """Returns whether a target is an image of these rules; adds a problem if not."""
    if ImageInfo in target:
        return True
    what = "an index, not an image; give its images" if ImageIndexInfo in target else "not an image of these rules; for one of another ruleset, write image(name = ..., base = \"{}\") and give that".format(label_text(target.label))
    problems.append(problem("images", name, what))
    return False

def _images(ctx, problems):
    """The images, by what messages call them."""
    if ctx.attr.images:
        for attribute in ["image", "platforms"]:
            labels = [label_text(target.label) for target in getattr(ctx.attr, attribute)]
            if labels:
                problems.append(problem(attribute, labels, "is given beside images; set images, or image and platforms"))
        return {label_text(target.label): target for target in ctx.attr.images}
    if not ctx.attr.image or not ctx.attr.platforms:
        problems.append(problem("images", [], "must not be empty; set images, or image and platforms"))
        return {}
    images = {}
    for at, platform in enumerate(ctx.attr.platforms):
        target = ctx.split_attr.image[str(at)]
        images["{} for {}".format(label_text(target.label), label_text(platform.label))] = target
    return images

def _assemble(ctx, images, problems):
    """Index and its descriptor, from descriptors alone."""
    index = ctx.actions.declare_file(ctx.label.name + ".index.json")
    descriptor = ctx.actions.declare_file(ctx.label.name + ".descriptor.json")
    descriptors = [target[ImageInfo].descriptor for target in images.values()]
    args = packer_request(ctx, "index")
    args.add_all(images.keys(), format_each = "--name=%s")
    args.add_all(descriptors, format_each = "--image=%s")
    args.add(json.encode(ctx.attr.annotations), format = "--annotations=%s")
    files = file_args(ctx, args, FILE_ATTRS.keys())
    stamp = status_files(ctx, ctx.attr.annotations.values(), any_key = bool(files))
    args.add_all(stamp, format_each = "--stamp=%s")
    args.add(index, format = "--index-output=%s")
    args.add(descriptor, format = "--descriptor-output=%s")
    run_packer(
        ctx,
        args,
        tool = "_oci",
        inputs = descriptors + files + stamp,
        outputs = [index, descriptor],
        mnemonic = "SetcapIndex",
        progress_message = "Assembling image index %{label}",
        problems = problems,
    )
    return index, descriptor

def _layout(ctx, index, descriptor, images):
    """The OCI layout directory. Its blobs are links to those of the images' own."""
    layout = ctx.actions.declare_directory(ctx.label.name)
    layouts = [image.layout for image in images]
    args = packer_request(ctx, "index-layout")
    args.add(index, format = "--index=%s")
    args.add(descriptor, format = "--descriptor=%s")
    args.add_all(layouts, format_each = "--layout=%s", expand_directories = False)
    args.add_all([layout], format_each = "--output=%s", expand_directories = False)
    run_packer(
        ctx,
        args,
        tool = "_oci",
        inputs = [index, descriptor] + layouts,
        outputs = [layout],
        mnemonic = "SetcapLayout",
        progress_message = "Laying out image index %{label}",
        # Links to this machine's outputs are of no use on another.
        execution_requirements = {"no-cache": "1", "no-remote": "1"},
    )
    return layout

def _each_platform_impl(_settings, attr):
    # By number: Bazel sorts the keys, and the index has the user's order.
    return {
        str(at): {"//command_line_option:platforms": str(platform)}
        for at, platform in enumerate(attr.platforms)
    }

_each_platform = transition(
    implementation = _each_platform_impl,
    inputs = [],
    outputs = ["//command_line_option:platforms"],
)

image_index = rule(
    doc = """An OCI image index: images for several platforms under one name.

`bazel build` gives an OCI image layout with all of them, as `image` does with one; the output group `index` \
the index itself. As the `base` of an image, it stands for its image of that image's platform.""",
    implementation = _image_index_impl,
    attrs = FILE_ATTRS | PACKER_ATTRS | stamp_attrs("`annotations` and `annotations_file`") | {
        "annotations": attr.string_dict(doc = "Annotations of the index."),
        "image": attr.label(
            doc = "An `image` that is built once for each of `platforms`.",
            allow_files = True,
            cfg = _each_platform,
        ),
        "images": attr.label_list(
            doc = "Each an `image`, for different platforms, as they are; in place of `image` and `platforms`.",
            allow_files = True,
        ),
        "platforms": attr.label_list(
            doc = "What `image` is built for.",
            providers = [platform_common.PlatformInfo],
        ),
    },
    provides = [ImageIndexInfo],
)

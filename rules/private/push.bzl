"""The rule image_push."""

load("//rules:providers.bzl", "ClientInfo", "ImageIndexInfo", "ImageInfo", "PushInfo")
load(":attributes.bzl", "list_attribute_files")
load(":delivery.bzl", "DELIVERY_ATTRS", "find_pushed_layout", "write_destination", "write_program")
load(":input_images.bzl", "find_image")
load(":launcher.bzl", "for_host")
load(":request.bzl", "add_label", "run_request", "start_request")
load(":stamp.bzl", "stamp_attrs")

visibility(["//rules/...", "//tests/...", "//tools/..."])

def _image_push_impl(ctx):
    problems = []
    layout = find_pushed_layout(ctx, problems)
    destination = write_destination(
        ctx,
        {"remote_tags": ctx.attr.remote_tags, "repository": ctx.attr.repository},
        list_attribute_files(ctx, ["remote_tags_file", "repository_file"]),
        problems,
    )
    info = _describe_push(ctx, layout, destination)
    return [
        write_program(ctx, "push", layout, destination, ctx.attr._client[0]),
        OutputGroupInfo(
            destination = depset([destination]),
            layers = info.blobs,
        ),
        info,
    ]

def _describe_push(ctx, layout, destination):
    """Returns the PushInfo of the target, and declares the action that writes its description."""
    target = ctx.attr.image
    index = target[ImageIndexInfo] if ImageIndexInfo in target else None
    images = index.images if index else [target[ImageInfo]] if ImageInfo in target else []
    description = ctx.actions.declare_file(ctx.label.name + ".push.json")
    request = start_request(ctx, "push")
    request.add(destination, format = "--destination=%s")
    inputs = [destination]
    for number, image in enumerate(images):
        documents = [image.manifest, image.config, image.descriptor]
        metadata = [layer.metadata for layer in image.layers]
        request.add_all(documents, format_each = "--image-{}=%s".format(number))
        request.add_all(image.base_contents, format_each = "--contents-{}=%s".format(number))
        request.add_all(metadata, format_each = "--layer-{}=%s".format(number))
        inputs += documents + image.base_contents + metadata
    if index:
        request.add_all([index.index, index.descriptor], format_each = "--index=%s")
        inputs += [index.index, index.descriptor]
    if not images and layout.directory:
        request.add_all([layout.directory], format_each = "--layout=%s", expand_directories = False)
        add_label(request, "image", target.label, layout.directory)
    request.add(description, format = "--output=%s")
    run_request(
        ctx,
        ctx.attr._destination_tool,
        request,
        outputs = [description],
        inputs = inputs,
        transitive_inputs = [] if images else [layout.files],
        mnemonic = "SetcapPush",
        progress_message = "Describing the push of %{label}",
    )
    blobs = [layer.blob for image in images for layer in image.layers]
    base_layouts = [depset(image.base_layouts, transitive = [image.base_layout_files]) for image in images]
    return PushInfo(
        blobs = depset(blobs, transitive = base_layouts) if images else layout.files,
        description = description,
        descriptor = index.descriptor if index else images[0].descriptor if images else None,
        destination = destination,
        image = target.label,
        images = images,
        label = ctx.label,
        layouts = [each for image in images for each in image.base_layouts] if images else [layout.directory] if layout.directory else [],
        source = find_image("image", target, []),
    )

image_push = rule(
    doc = """Pushes an image or an index to a registry: `bazel run //app:push`.

The program prints the names that the registry then has: `repository@sha256:...`, with the digest that the build computed, and \
each `repository:tag`. Blobs that the registry already has are not uploaded again. Without tags, the image is pushed by digest.

`bazel run //app:push -- --repository HOST/PATH --tag TAG` overrides the attributes. `--tag` may be repeated. `--insecure` allows \
plain HTTP, which is always allowed for a registry on this machine. A client that makes no progress for `--timeout` seconds (600) \
is ended.

The program runs [crane](https://github.com/google/go-containerregistry) or [skopeo](https://github.com/containers/skopeo) from \
`PATH`, with the credentials that they find, or the client of a registered [`registry_client`](toolchains.md) toolchain. podman \
and docker are not supported: they compress layers again when they push, so the digest would differ from that of the build.

`bazel build //...` does not build the program, because its runfiles are the whole image, but the target `<name>.check`, which \
checks the attributes.

Output groups:

- `destination`: a JSON object with `repository` and `tags`, in which placeholders are expanded.
- `layers`: the blobs of the layers, and the OCI layouts of bases that Bazel did not build.""",
    implementation = _image_push_impl,
    attrs = DELIVERY_ATTRS | stamp_attrs("`repository`, `remote_tags` and the files beside them") | {
        "remote_tags": attr.string_list(
            doc = "Tags of the image in the repository, for instance `[\"latest\", \"v1.2\"]`. (`tags` is an attribute of every Bazel target.)",
        ),
        "remote_tags_file": attr.label(
            doc = "A file with further tags, one a line.",
            allow_single_file = True,
        ),
        "repository": attr.string(
            doc = "The repository, without a tag: `host/path` or `host:port/path`.",
        ),
        "repository_file": attr.label(
            doc = "A file with the repository, in place of `repository`.",
            allow_single_file = True,
        ),
        "_client": attr.label(
            cfg = for_host,
            default = "//rules/private:current_registry_client",
            providers = [ClientInfo],
        ),
    },
    executable = True,
    provides = [PushInfo],
)

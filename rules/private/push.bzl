"""The rule image_push."""

load("//rules:providers.bzl", "ClientInfo", "ImageIndexInfo", "ImageInfo", "PushInfo")
load(":attributes.bzl", "list_attribute_files")
load(":delivery.bzl", "DELIVERY_ATTRS", "find_layout", "write_destination", "write_program")
load(":input_images.bzl", "find_image")
load(":launcher.bzl", "for_host")
load(":stamp.bzl", "stamp_attrs")

visibility(["//rules/...", "//tests/...", "//tools/..."])

def _image_push_impl(ctx):
    problems = []
    layout = find_layout(ctx, problems)
    destination = write_destination(
        ctx,
        {"remote_tags": ctx.attr.remote_tags, "repository": ctx.attr.repository},
        list_attribute_files(ctx, ["remote_tags_file", "repository_file"]),
        problems,
    )
    target = ctx.attr.image
    info = target[ImageInfo] if ImageInfo in target else target[ImageIndexInfo] if ImageIndexInfo in target else None
    return [
        write_program(ctx, "push", layout, destination, ctx.attr._client[0]),
        OutputGroupInfo(destination = depset([destination])),
        PushInfo(
            descriptor = info.descriptor if info else None,
            destination = destination,
            source = find_image("image", target, []),
        ),
    ]

image_push = rule(
    doc = """Pushes an image or an index to a registry: `bazel run //app:push`.

The program prints the names that the registry then has: `repository@sha256:...`, with the digest that the build computed, and \
each `repository:tag`. Blobs that the registry already has are not uploaded again. Without tags, the image is pushed by digest.

`bazel run //app:push -- --repository HOST/PATH --tag TAG` overrides the attributes. `--tag` may be repeated. `--insecure` allows \
plain HTTP, which is always allowed for a registry on this machine.

The program runs [crane](https://github.com/google/go-containerregistry) or [skopeo](https://github.com/containers/skopeo) from \
`PATH`, with the credentials that they find, or the client of a registered [`registry_client`](toolchains.md) toolchain. podman \
and docker are not supported: they compress layers again when they push, so the digest would differ from that of the build.

`bazel build //...` does not build the program, because its runfiles are the whole image, but the target `<name>.check`, which \
checks the attributes.

Output groups:

- `destination`: a JSON object with `repository` and `tags`, in which placeholders are expanded.""",
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

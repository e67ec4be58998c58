"""The rule image_push."""

load("//rules:providers.bzl", "ClientInfo")
load(":attributes.bzl", "list_attribute_files")
load(":delivery.bzl", "DELIVERY_ATTRS", "find_pushed_layout", "write_destination", "write_program")
load(":launcher.bzl", "for_host")
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
    return [
        write_program(ctx, "push", layout, destination, ctx.attr._client[0]),
        OutputGroupInfo(destination = depset([destination])),
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
)

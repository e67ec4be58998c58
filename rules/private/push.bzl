"""The rule image_push."""

load("//rules:providers.bzl", "ClientInfo")
load(":delivery.bzl", "DELIVERY_ATTRS", "delivered_image", "delivery", "destination")
load(":launcher.bzl", "for_host")
load(":stamp.bzl", "stamp_attrs")

def _image_push_impl(ctx):
    files = {}
    for attribute in ["remote_tags_file", "repository_file"]:
        file = getattr(ctx.file, attribute)
        if file:
            files[attribute] = file
    problems = []
    image = delivered_image(ctx, problems)
    where = destination(ctx, {"remote_tags": ctx.attr.remote_tags, "repository": ctx.attr.repository}, problems, files)
    return [
        delivery(ctx, "push", image, where, ctx.attr._client[0]),
        OutputGroupInfo(destination = depset([where])),
    ]

image_push = rule(
    doc = """Pushes an image or an index to a registry: `bazel run //app:push`.

It prints what the registry then has: `repository@sha256:...`, the digest that the build gave it, and each \
`repository:tag`. Blobs that the registry has already do not travel again. Without tags, it pushes by digest alone.

`bazel run //app:push -- --repository HOST/PATH --tag TAG` takes the place of the attributes; `--tag` may be repeated, \
and `--insecure` allows plain HTTP, as a registry on this machine has anyway.

The work is done by [crane](https://github.com/google/go-containerregistry) or \
[skopeo](https://github.com/containers/skopeo) from `PATH`, with the credentials that they find, or by the one that a \
[`registry_client`](toolchains.bzl) names. podman and docker will not do: they compress layers anew when they push, \
so that the digest would not be the one that was built.""",
    implementation = _image_push_impl,
    attrs = DELIVERY_ATTRS | stamp_attrs("`repository`, `remote_tags` and the files beside them") | {
        "remote_tags": attr.string_list(
            doc = "The image's tags in the repository. (A target's `tags` are Bazel's own.)",
        ),
        "remote_tags_file": attr.label(
            doc = "A file with further tags, a line each.",
            allow_single_file = True,
        ),
        "repository": attr.string(
            doc = "Where to, without a tag: `host/path` or `host:port/path`.",
        ),
        "repository_file": attr.label(
            doc = "A file that holds it, in place of `repository`.",
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

"""The rule image_load."""

load("//rules:providers.bzl", "ClientInfo")
load(":delivery.bzl", "DELIVERY_ATTRS", "delivered_image", "delivery", "destination")
load(":launcher.bzl", "for_host")
load(":messages.bzl", "named")
load(":packer.bzl", "packer_request", "run_packer")
load(":platform.bzl", "ARCHITECTURE_ATTRS", "cpu_platform", "platform_text")
load(":stamp.bzl", "stamp_attrs")

def _image_load_impl(ctx):
    problems = []
    image = delivered_image(ctx, problems)
    name = destination(ctx, {"tag": ctx.attr.tag}, problems)
    return [
        delivery(ctx, "load", image, name, ctx.attr._client[0]),
        OutputGroupInfo(archive = depset([_archive(ctx, image, name)])),
    ]

def _archive(ctx, image, name):
    """Declares the action that writes the image as one file, for the output group archive."""
    archive = ctx.actions.declare_file(ctx.label.name + ".tar")
    args = packer_request(ctx, "export")
    if image.layout:
        args.add_all([image.layout], format_each = "--layout=%s", expand_directories = False)
        named(args, "image", ctx.attr.image.label, image.layout)
    platform = cpu_platform(ctx)
    if platform["os"]:
        args.add(platform_text(platform), format = "--platform=%s")
    args.add(name, format = "--destination=%s")
    args.add(archive, format = "--output=%s")
    run_packer(
        ctx,
        args,
        tool = "_oci",
        inputs = [name],
        transitive_inputs = [image.files],
        outputs = [archive],
        mnemonic = "SetcapExport",
        progress_message = "Writing archive of %{label}",
    )
    return archive

image_load = rule(
    doc = """Loads an image into docker, podman or nerdctl: `bazel run //app:load`.

It prints the name by which the engine runs the image: `docker run --rm $(bazel run //app:load)`. \
`bazel run //app:load -- --tag NAME` overrides the attribute.

From an index, podman and Docker with the classic image store load the image for their own platform; it is an error if \
there is none. containerd, and Docker with the containerd image store, load the images for all platforms.

The engine reads the image from a pipe; no archive is kept. The output group `archive` is the archive as a file: an OCI \
image layout in a tar, with the `manifest.json` of `docker save`. `docker load`, `podman load`, `ctr images import`, `kind \
load image-archive`, `minikube image load`, and skopeo's `oci-archive:` and `docker-archive:` read it. A `tag` without a \
host means there what it means to Docker, Kubernetes and containerd: `app:dev` is `docker.io/library/app:dev`, which \
`docker run`, `podman run` and the `image` of a pod find as `app:dev`. From the archive of an index, Docker with the classic \
image store loads the image for the CPU that Bazel builds for (`--platforms`).""",
    implementation = _image_load_impl,
    attrs = DELIVERY_ATTRS | ARCHITECTURE_ATTRS | stamp_attrs("`tag`") | {
        "tag": attr.string(
            doc = """The image's name in the engine: `name:tag` or `host/path:tag`; the tag is `latest` by default. A \
name with a host stays as it is. A name without one is the name that each engine gives its own builds: `app:dev` in Docker \
and nerdctl (in full `docker.io/library/app:dev`), `localhost/app:dev` in podman.""",
            mandatory = True,
        ),
        "_client": attr.label(
            cfg = for_host,
            default = "//rules/private:current_container_engine",
            providers = [ClientInfo],
        ),
    },
    executable = True,
)

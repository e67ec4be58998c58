"""The rule image_load."""

load("//rules:providers.bzl", "ClientInfo")
load(":delivery.bzl", "DELIVERY_ATTRS", "find_layout", "write_destination", "write_program")
load(":input_images.bzl", "add_image_files", "find_image")
load(":launcher.bzl", "for_host")
load(":platform.bzl", "ARCHITECTURE_ATTRS", "find_cpu_platform")
load(":request.bzl", "add_label", "run_request", "start_request")
load(":stamp.bzl", "stamp_attrs")

visibility(["//rules/...", "//tests/...", "//tools/..."])

def _image_load_impl(ctx):
    problems = []
    layout = find_layout(ctx, problems)
    destination = write_destination(ctx, {"tag": ctx.attr.tag}, [], problems)
    return [
        write_program(ctx, "load", layout, destination, ctx.attr._client[0]),
        OutputGroupInfo(
            archive = depset([_write_archive(ctx, layout, destination)]),
            destination = depset([destination]),
        ),
    ]

def _write_archive(ctx, layout, destination):
    """Declares the action that writes the image as one file, for the output group archive."""
    archive = ctx.actions.declare_file(ctx.label.name + ".tar")
    platform = find_cpu_platform(ctx)
    request = start_request(ctx, "export")
    image = find_image("image", ctx.attr.image, [])
    if image.built:
        add_image_files(request, "--image", image)
    elif layout.directory:
        request.add_all([layout.directory], format_each = "--layout=%s", expand_directories = False)
        add_label(request, "image", ctx.attr.image.label, layout.directory)
    if platform:
        request.add(platform, format = "--platform=%s")
    request.add(destination, format = "--destination=%s")
    request.add(archive, format = "--output=%s")
    run_request(
        ctx,
        ctx.attr._oci_tool,
        request,
        outputs = [archive],
        inputs = [destination],
        transitive_inputs = [image.files if image.built else layout.files],
        mnemonic = "SetcapExport",
        progress_message = "Writing archive of %{label}",
    )
    return archive

image_load = rule(
    doc = """Loads an image into docker, podman or nerdctl: `bazel run //app:load`.

The program prints the name by which the engine runs the image, so `docker run --rm $(bazel run //app:load)` works. \
`bazel run //app:load -- --tag NAME` overrides the attribute.

From an index, podman and Docker with the classic image store load the image for their own platform; if there is none, that is \
an error. containerd, and Docker with the containerd image store, load the images for all platforms.

The engine reads the image from a pipe; the archive is not kept.

`bazel build //...` does not build the program, because its runfiles are the whole image, but the target `<name>.check`, which \
checks the attributes.

Output groups:

- `archive`: the archive as a file: an OCI image layout in a tar, with the `manifest.json` of `docker save`. It can be read by \
`docker load`, `podman load`, `ctr images import`, `kind load image-archive`, `minikube image load`, and skopeo's `oci-archive:` \
and `docker-archive:`. In the archive, a `tag` without a host means what it means to Docker, Kubernetes and containerd: \
`app:dev` is `docker.io/library/app:dev`, which `docker run`, `podman run` and the `image` of a pod find as `app:dev`. From the \
archive of an index, Docker with the classic image store loads the image for the CPU that Bazel builds for (`--platforms`).
- `destination`: a JSON object with `name`, the tag in which placeholders are expanded.""",
    implementation = _image_load_impl,
    attrs = DELIVERY_ATTRS | ARCHITECTURE_ATTRS | stamp_attrs("`tag`") | {
        "tag": attr.string(
            doc = """The image's name in the engine: `name:tag` or `host/path:tag`. The default tag is `latest`. A name with a host is \
used as it is. To a name without a host, each engine adds the one of its own builds: `app:dev` is `docker.io/library/app:dev` in \
Docker and nerdctl, which show it as `app:dev`, and `localhost/app:dev` in podman.""",
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

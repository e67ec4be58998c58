"""The rule image_load."""

load("//rules:providers.bzl", "ClientInfo")
load(":delivery.bzl", "DELIVERY_ATTRS", "delivered_image", "delivery", "destination")
load(":launcher.bzl", "for_host")
load(":packer.bzl", "packer_request", "run_packer")
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
    args.add_all([image.layout] if image.layout else [], format_each = "--layout=%s", expand_directories = False)
    args.add(name, format = "--destination=%s")
    args.add(archive, format = "--output=%s")
    run_packer(
        ctx,
        args,
        inputs = [name],
        transitive_inputs = [image.files],
        outputs = [archive],
        mnemonic = "SetcapExport",
        progress_message = "Writing archive of %{label}",
    )
    return archive

image_load = rule(
    doc = """Loads an image into docker, podman or nerdctl: `bazel run //app:load`.

It prints the name under which the engine then has it, so that `docker run --rm $(bazel run //app:load)` runs it. \
`bazel run //app:load -- --tag NAME` takes the place of the attribute.

The engine reads the image as it is made; no archive is kept. The output group `archive` is that archive as a file: an \
OCI image layout in a tar, which is also what older Dockers load (`manifest.json`). skopeo's `oci-archive:` and \
`docker-archive:`, `ctr images import`, `kind load image-archive` and `minikube image load` take it.

From an index, podman loads the image for its own platform. containerd, and Docker with the containerd image store, load \
every platform they can run. Docker with the classic store cannot load an index.""",
    implementation = _image_load_impl,
    attrs = DELIVERY_ATTRS | stamp_attrs("`tag`") | {
        "tag": attr.string(
            doc = """What the engine calls it: `name:tag` or `host/path:tag`. A name without a host gets `localhost/`, \
as podman does it, in every engine: to Docker it would else be an image of its public registry.""",
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

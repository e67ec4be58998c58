"""The rule image_release."""

load("//rules:providers.bzl", "ClientInfo", "PushInfo", "ReleaseInfo")
load(":delivery.bzl", "PROGRAM_ATTRS", "write_client_program")
load(":launcher.bzl", "find_runfile", "for_host")
load(":messages.bzl", "format_label", "format_problem")

visibility(["//rules/...", "//tests/...", "//tools/..."])

def _image_release_impl(ctx):
    pushes = [target[PushInfo] for target in ctx.attr.images if PushInfo in target]
    releases = [target[ReleaseInfo] for target in ctx.attr.images if ReleaseInfo in target]
    info = ReleaseInfo(
        blobs = depset(transitive = [member.blobs for member in pushes + releases]),
        descriptions = depset(
            [push.description for push in pushes],
            transitive = [release.descriptions for release in releases],
        ),
        pushes = depset(pushes, transitive = [release.pushes for release in releases]),
    )
    images = _write_images(ctx, info.pushes)
    hooks = {format_label(hook.label): _find_program(ctx, hook) for hook in ctx.attr.hooks}
    spec = {
        "hooks": [{"label": label, "path": find_runfile(ctx, program)} for label, program in hooks.items()],
        "images": find_runfile(ctx, images),
        "images_path": images.path,
        "kind": "release",
        "workspace": ctx.workspace_name,
    }
    runfiles = ctx.runfiles([images] + hooks.values(), transitive_files = info.descriptions)
    hook_runfiles = [hook[DefaultInfo].default_runfiles for hook in ctx.attr.hooks]
    return [
        write_client_program(ctx, ctx.attr._client[0], spec, runfiles.merge_all(hook_runfiles)),
        OutputGroupInfo(layers = info.blobs),
        info,
    ]

def _find_program(ctx, hook):
    """Returns the program of a target of the attribute hooks."""
    program = hook[DefaultInfo].files_to_run.executable
    if not program:
        problem = format_problem("hooks", format_label(hook.label), "is not a program; give a target that bazel run can run, or a script")
        fail("{}: {}".format(format_label(ctx.label), problem))
    return program

def _write_images(ctx, pushes):
    """Declares the action that writes the images of the release, a JSON object in each line.

    The lines are formatted when the action runs, so that analysis does not visit all images of a large release.

    Args:
      ctx: the context of the rule.
      pushes: depset of PushInfo.

    Returns:
      File.
    """
    output = ctx.actions.declare_file(ctx.label.name + ".images.jsonl")
    lines = ctx.actions.args()
    lines.set_param_file_format("multiline")
    lines.add_all(pushes, map_each = _format_push)
    ctx.actions.write(output, lines)
    return output

def _format_push(push):
    """Returns the line of an image: its description in the runfiles, and the paths of its blobs, which are not in the runfiles."""
    return json.encode({
        "base_blobs": [
            {"path": blob.path, "repository": source.image}
            for image in push.images
            for source in image.base_sources
            for blob in image.base_blobs
        ],
        "blobs": [[layer.blob.path for layer in image.layers] for image in push.images],
        "description": push.description.short_path,
        "image": format_label(push.image),
        "label": format_label(push.label),
        "layouts": [layout.path for layout in push.layouts],
    })

image_release = rule(
    doc = """Pushes many images to registries: `bazel run //:release -- --tag v42`.

The program asks the registries which blobs and manifests they lack, and uploads only those. It moves the tags when everything else \
is in the registries, so that a release that fails moves no tag. If it runs again, it goes on where it stopped. An image that has its tags \
already is unchanged, and costs one request for each tag.

The blobs of the layers are not in the runfiles. With a remote cache, a build downloads none of them; the program has Bazel download those that \
travel.

Uploads are made by [crane](https://github.com/google/go-containerregistry) or [skopeo](https://github.com/containers/skopeo), as \
`image_push` does. [Releases](../releases.md) describes the flags.

Output groups:

- `layers`: the blobs of the layers of all images, and the OCI layouts of bases that Bazel did not build.""",
    implementation = _image_release_impl,
    attrs = PROGRAM_ATTRS | {
        "hooks": attr.label_list(
            doc = """Programs that run on each image that was pushed, with `repository@sha256:...` as argument, after all pushes and before \
the tags: to sign an image, or to attach an SBOM. If one fails, the release fails, and no tag moves.""",
            allow_files = True,
            cfg = for_host,
        ),
        "images": attr.label_list(
            doc = """Targets of `image_push`, and of other `image_release`. A package can list its images in an `image_release`, and the \
release of a repository those of its packages.""",
            allow_empty = False,
            mandatory = True,
            providers = [[PushInfo], [ReleaseInfo]],
        ),
        "_client": attr.label(
            cfg = for_host,
            default = "//rules/private:current_registry_client",
            providers = [ClientInfo],
        ),
    },
    executable = True,
    provides = [ReleaseInfo],
)

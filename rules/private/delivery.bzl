"""The parts that image_push, image_load and image_release share.

All are programs for `bazel run`. The programs, their interpreter and their client run on the machine where the user types
the command, so they are built for `--host_platform`, whatever platform the image is for.
"""

load("//rules:providers.bzl", "ClientInfo", "ImageIndexInfo", "ImageInfo")
load(":input_images.bzl", "ANY_IMAGE", "convert_to_layout", "find_image")
load(":launcher.bzl", "find_runfile", "for_host", "write_launcher")
load(":messages.bzl", "format_label")
load(":python_tool.bzl", "PythonToolInfo")
load(":request.bzl", "add_attribute_file", "run_request", "start_request", "tool_attrs")
load(":stamp.bzl", "list_status_files")

visibility(["//rules/...", "//tests/...", "//tools/..."])

PROGRAM_ATTRS = {
    "_program": attr.label(
        cfg = for_host,
        default = "//tools/rules_setcap/delivery:tool",
        providers = [PythonToolInfo],
    ),
}

DELIVERY_ATTRS = PROGRAM_ATTRS | tool_attrs("destination", "oci") | {
    "image": attr.label(
        doc = "The image: " + ANY_IMAGE + ".",
        allow_files = True,
        mandatory = True,
    ),
}

def _delivery_check_impl(ctx):
    return [DefaultInfo(files = ctx.attr.program[OutputGroupInfo].destination)]

_delivery_check = rule(
    doc = "The checked destination of a program that delivers an image. It needs no blob.",
    implementation = _delivery_check_impl,
    attrs = {
        "program": attr.label(
            doc = "A target with the output group `destination`.",
            mandatory = True,
        ),
    },
)

# The attributes of every rule that allow only some targets to depend on a target.
_RESTRICTIONS = ["compatible_with", "restricted_to", "testonly"]

def declare_program(rule, name, attributes):
    """Declares a program for `bazel run`, and a target that checks its destination.

    The runfiles of the program are the whole image. Bazel builds the runfiles of each program that it builds, and by default
    downloads them from a remote cache. So `bazel build //...` leaves the program out, and builds the check.

    Args:
      rule: the rule of the program, which has the output group `destination`.
      name: str, the name of the target.
      attributes: dict, the attributes of the rule besides its name.
    """
    tags = list(attributes.pop("tags", None) or [])
    rule(
        name = name,
        tags = tags + ["manual"],
        **attributes
    )
    _delivery_check(
        name = name + ".check",
        program = name,
        tags = tags,
        visibility = ["//visibility:private"],
        **{name: attributes[name] for name in _RESTRICTIONS if name in attributes}
    )

def find_layout(ctx, problems):
    """Returns the OCI layout directory of the attribute image.

    Args:
      ctx: the context of a rule with DELIVERY_ATTRS.
      problems: list of str, to which problems are added.

    Returns:
      struct of
        directory: File; None if there is a problem.
        files: depset of File, the directory and the files that it links to.
    """
    image = find_image("image", ctx.attr.image, problems)
    if not image.file:
        return struct(directory = None, files = image.files)
    return convert_to_layout(ctx, "image", image)

def find_pushed_layout(ctx, problems):
    """Returns what to push of the attribute image. Layers of bases in other registries are left out.

    Args:
      ctx: the context of a rule with DELIVERY_ATTRS.
      problems: list of str, to which problems are added.

    Returns:
      struct of
        directory: File, an OCI layout directory; None if there is a problem.
        files: depset of File, the directory and the files that it links to.
        sources: list of struct of digest, image and insecure, the images in registries that have the layers that are left out.
    """
    target = ctx.attr.image
    info = target[ImageInfo] if ImageInfo in target else target[ImageIndexInfo] if ImageIndexInfo in target else None
    if not info or not info.sparse_layout:
        layout = find_layout(ctx, problems)
        return struct(directory = layout.directory, files = layout.files, sources = [])
    images = info.images if ImageIndexInfo in target else [info]
    blobs = [layer.blob for image in images for layer in image.layers]
    layouts = [image.sparse_layout or image.layout for image in images]
    return struct(
        directory = info.sparse_layout,
        files = depset(
            [info.sparse_layout] + layouts + blobs,
            # A base that is not in a registry has its layers in its layout.
            transitive = [image.base_layout_files for image in images if not image.base_blobs],
        ),
        sources = {source: None for image in images for source in image.base_sources}.keys(),
    )

def write_destination(ctx, attributes, attribute_files, problems):
    """Declares the action that expands and checks where the image goes, and reports the problems of the target.

    Args:
      ctx: the context of a rule with DELIVERY_ATTRS and stamp_attrs().
      attributes: dict of attribute name to str or list of str.
      attribute_files: list of struct of attribute, label and file, from list_attribute_files().
      problems: list of str, the problems that the rule has found.

    Returns:
      File, JSON.
    """
    output = ctx.actions.declare_file(ctx.label.name + ".destination.json")
    texts = [text for value in attributes.values() for text in (value if type(value) == "list" else [value])]
    status_files = list_status_files(ctx, texts, has_files = bool(attribute_files))
    request = start_request(ctx, "destination")
    request.add(json.encode(attributes), format = "--attributes=%s")
    for each in attribute_files:
        add_attribute_file(request, each.attribute, each.label, each.file)
    request.add_all(status_files, format_each = "--stamp=%s")
    request.add(output, format = "--output=%s")
    run_request(
        ctx,
        ctx.attr._destination_tool,
        request,
        outputs = [output],
        inputs = [each.file for each in attribute_files] + status_files,
        mnemonic = "SetcapDestination",
        progress_message = "Checking where %{label} goes",
        problems = problems,
    )
    return output

def write_program(ctx, kind, layout, destination, client):
    """Declares the program that `bazel run` executes.

    Args:
      ctx: the context of a rule with DELIVERY_ATTRS.
      kind: str, "push" or "load".
      layout: struct from find_layout() or find_pushed_layout().
      destination: File, from write_destination().
      client: Target with ClientInfo.

    Returns:
      DefaultInfo.
    """
    return write_client_program(
        ctx,
        client,
        {
            "destination": find_runfile(ctx, destination),
            "image": format_label(ctx.attr.image.label),
            "kind": kind,
            "layout": find_runfile(ctx, layout.directory) if layout.directory else "",
            "sources": getattr(layout, "sources", []),
        },
        runfiles = ctx.runfiles([destination], transitive_files = layout.files),
    )

def write_client_program(ctx, client, spec, runfiles):
    """Declares a program for `bazel run` that runs a client.

    Args:
      ctx: the context of a rule with PROGRAM_ATTRS.
      client: Target with ClientInfo.
      spec: dict, what the program is to do; JSON.
      runfiles: runfiles, the files that `spec` names.

    Returns:
      DefaultInfo.
    """
    tool = ctx.attr._program[0][PythonToolInfo]
    program = client[ClientInfo].program
    spec_file = ctx.actions.declare_file(ctx.label.name + ".spec.json")
    ctx.actions.write(spec_file, json.encode_indent(spec | {
        "program": {
            "kind": client[ClientInfo].kind,
            "path": find_runfile(ctx, program) if program else "",
        },
        "spec": find_runfile(ctx, spec_file),
        "target": format_label(ctx.label),
    }))
    launcher = write_launcher(ctx, tool.interpreter, tool.launch, [tool.package, "", spec_file])
    interpreter_files = [] if type(tool.interpreter) == "string" else [tool.interpreter]
    tool_runfiles = ctx.runfiles([spec_file] + interpreter_files, transitive_files = tool.files)
    return DefaultInfo(
        executable = launcher,
        files = depset([launcher]),
        runfiles = runfiles.merge_all([tool_runfiles, client[DefaultInfo].default_runfiles]),
    )

"""The parts that image_push and image_load share.

Both are programs for `bazel run`. They, their interpreter and their client run on the machine where the command is
typed, so they are built for --host_platform, whatever platform the image is for.
"""

load("//rules:providers.bzl", "ClientInfo")
load(":foreign.bzl", "ANY_IMAGE", "find_image", "image_layout")
load(":launcher.bzl", "for_host", "runfile", "write_launcher")
load(":messages.bzl", "label_text", "named")
load(":packer.bzl", "PACKER_ATTRS", "PackerInfo", "packer_request", "run_packer")
load(":stamp.bzl", "status_files")

DELIVERY_ATTRS = PACKER_ATTRS | {
    "image": attr.label(
        doc = "The image: " + ANY_IMAGE + ".",
        allow_files = True,
        mandatory = True,
    ),
    "_program": attr.label(
        cfg = for_host,
        default = "//tools/rules_setcap/delivery:tool",
        providers = [PackerInfo],
    ),
}

def delivered_image(ctx, problems):
    """Returns the layout of the attribute image.

    Args:
      ctx: the context of a rule with DELIVERY_ATTRS.
      problems: list of str, to which problems are added.

    Returns:
      struct of layout (File, None if there is a problem) and files (depset of File, the layout and what it links to).
    """
    image = find_image("image", ctx.attr.image, problems)
    if not image.file:
        return struct(files = image.files, layout = None)
    return image_layout(ctx, "image", image)

def destination(ctx, attributes, problems, files = {}):
    """Declares the action that writes where the image goes, and reports problems of the target.

    Args:
      ctx: the context of a rule with DELIVERY_ATTRS.
      attributes: dict, as the user wrote them.
      problems: list of str, what else is wrong with the target.
      files: dict of attribute -> File that holds one of them.

    Returns:
      File, JSON.
    """
    output = ctx.actions.declare_file(ctx.label.name + ".destination.json")
    texts = [text for value in attributes.values() for text in (value if type(value) == "list" else [value])]
    stamp = status_files(ctx, texts, any_key = bool(files))
    args = packer_request(ctx, "destination")
    args.add(json.encode(attributes), format = "--attributes=%s")
    for attribute, file in files.items():
        args.add(file, format = "--" + attribute.replace("_", "-") + "=%s")
        named(args, attribute, getattr(ctx.attr, attribute).label, file)
    args.add_all(stamp, format_each = "--stamp=%s")
    args.add(output, format = "--output=%s")
    run_packer(
        ctx,
        args,
        tool = "_destination",
        inputs = files.values() + stamp,
        outputs = [output],
        mnemonic = "SetcapDestination",
        problems = problems,
        progress_message = "Checking where %{label} goes",
    )
    return output

def delivery(ctx, kind, image, destination, client):
    """Returns the target's program.

    Args:
      ctx: the context of a rule with DELIVERY_ATTRS.
      kind: push or load.
      image: struct, from delivered_image().
      destination: File, from destination().
      client: Target with ClientInfo.

    Returns:
      DefaultInfo.
    """
    tool = ctx.attr._program[0][PackerInfo]
    program = client[ClientInfo].program
    spec = ctx.actions.declare_file(ctx.label.name + ".spec.json")
    ctx.actions.write(spec, json.encode_indent({
        "destination": runfile(ctx, destination),
        "image": label_text(ctx.attr.image.label),
        "kind": kind,
        "layout": runfile(ctx, image.layout) if image.layout else "",
        "program": {
            "kind": client[ClientInfo].kind,
            "path": runfile(ctx, program) if program else "",
        },
        "spec": runfile(ctx, spec),
        "target": label_text(ctx.label),
    }))
    interpreter = tool.interpreter
    launcher = write_launcher(ctx, interpreter, tool.main, [tool.package, "", spec])
    of_host = type(interpreter) == "string"
    files = [destination, spec] + ([] if of_host else [interpreter])
    runfiles = ctx.runfiles(files, transitive_files = depset(transitive = [image.files, tool.files]))
    return DefaultInfo(
        executable = launcher,
        files = depset([launcher]),
        runfiles = runfiles.merge(client[DefaultInfo].default_runfiles),
    )

"""What image_push and image_load have in common: a small program that Bazel runs.

It runs on the machine where `bazel run` was typed, whatever the images are built for and
wherever their actions run, and so do its interpreter and its client: they are built for
--host_platform.
"""

load("//rules:providers.bzl", "ClientInfo", "ImageIndexInfo", "ImageInfo")
load(":entries.bzl", "below_runfiles")
load(":messages.bzl", "label_text", "named")
load(":packer.bzl", "PACKER_ATTRS", "PackerInfo", "packer_request", "run_packer")
load(":stamp.bzl", "status_files")

def _for_host_impl(settings, _attr):
    return {"//command_line_option:platforms": str(settings["//command_line_option:host_platform"])}

for_host = transition(
    implementation = _for_host_impl,
    inputs = ["//command_line_option:host_platform"],
    outputs = ["//command_line_option:platforms"],
)

DELIVERY_ATTRS = PACKER_ATTRS | {
    "image": attr.label(
        doc = "An `image`, or an `image_index`.",
        mandatory = True,
        providers = [[ImageInfo], [ImageIndexInfo]],
    ),
    "_program": attr.label(
        cfg = for_host,
        default = "//tools/delivery:tool",
        providers = [PackerInfo],
    ),
}

def image_layout(ctx):
    """The layout of the attribute image.

    Args:
      ctx: the context of a rule with DELIVERY_ATTRS.

    Returns:
      File.
    """
    info = ctx.attr.image[ImageInfo] if ImageInfo in ctx.attr.image else ctx.attr.image[ImageIndexInfo]
    return info.layout

def destination(ctx, attributes, files = {}):
    """Declares the action that says where the image goes, and finds mistakes in it.

    Args:
      ctx: the context of a rule with DELIVERY_ATTRS.
      attributes: dict, as the user wrote them.
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
        inputs = files.values() + stamp,
        outputs = [output],
        mnemonic = "SetcapDestination",
        progress_message = "Checking where %{label} goes",
    )
    return output

def delivery(ctx, kind, destination, client):
    """The target as a program.

    Args:
      ctx: the context of a rule with DELIVERY_ATTRS.
      kind: push or load.
      destination: File, from destination().
      client: Target with ClientInfo.

    Returns:
      DefaultInfo.
    """
    tool = ctx.attr._program[0][PackerInfo]
    layout = image_layout(ctx)
    program = client[ClientInfo].program
    spec = ctx.actions.declare_file(ctx.label.name + ".spec.json")
    ctx.actions.write(spec, json.encode_indent({
        "destination": _runfile(ctx, destination),
        "kind": kind,
        "layout": _runfile(ctx, layout),
        "program": {
            "kind": client[ClientInfo].kind,
            "path": _runfile(ctx, program) if program else "",
        },
        "target": label_text(ctx.label),
    }))
    launcher = ctx.actions.declare_file(ctx.label.name)
    interpreter = tool.interpreter
    of_host = type(interpreter) == "string"
    ctx.actions.write(launcher, _LAUNCHER.format(
        interpreter = _quoted(interpreter) if of_host else "$runfiles/" + _quoted(_runfile(ctx, interpreter)),
        main = _quoted(_runfile(ctx, tool.main)),
        spec = _quoted(_runfile(ctx, spec)),
    ), is_executable = True)
    files = [destination, layout, spec] + ([] if of_host else [interpreter])
    runfiles = ctx.runfiles(files, transitive_files = tool.files)
    return DefaultInfo(
        executable = launcher,
        files = depset([launcher]),
        runfiles = runfiles.merge_all([
            ctx.attr.image[DefaultInfo].default_runfiles,
            client[DefaultInfo].default_runfiles,
        ]),
    )

# All that it does is to find the runfiles: beside it, around it, where the caller has
# them, or beside what it is a link to.
_LAUNCHER = """\
#!/bin/sh
for runfiles in "$0.runfiles" "${{0%.runfiles/*}}.runfiles" "${{RUNFILES_DIR:-}}" "$(readlink -f "$0" 2>/dev/null).runfiles"; do
  if [ -f "$runfiles/{main}" ]; then
    exec "{interpreter}" -S -E -s -B -X utf8 "$runfiles/{main}" "$runfiles" "{spec}" "$@"
  fi
done
echo "$0: its runfiles are not there; use bazel run, or copy them along (cp -rL)" >&2
exit 1
"""

def _runfile(ctx, file):
    return below_runfiles(file.short_path, ctx.workspace_name)

def _quoted(text):
    """What may stand between the shell's double quotes."""
    for character in ["\\", "\"", "`", "$"]:
        text = text.replace(character, "\\" + character)
    return text

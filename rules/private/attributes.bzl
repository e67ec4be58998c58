"""Checks of an image's attributes, before anything is packed."""

load("//rules:providers.bzl", "ImageInfo")
load(":messages.bzl", "label_text", "named", "problem")
load(":packer.bzl", "packer_request", "run_packer")
load(":stamp.bzl", "status_files")

# Attributes of an image that have effect on the layer of its binary, and others on other layers of its own as well.
_OF_BINARY = ["binary_path", "hard_link_duplicates", "linux_capabilities", "linux_capabilities_from", "mode", "owner", "parent_directories", "tar_style"]
_OF_COPIES = ["file_capabilities", "modes", "owners", "xattrs"]
_OF_DIRECTORIES = ["replaces"]
_OF_ANY_LAYER = ["compression", "compression_level", "mtime"]
_DEFAULTS = {"compression": "gzip", "mode": "0755", "mtime": "0", "owner": "0:0", "parent_directories": "all", "tar_style": "plain"}

FILE_ATTRS = {
    "annotations_file": attr.label(
        doc = "A file with more annotations, a line `NAME=VALUE` each, which may have placeholders as well.",
        allow_single_file = True,
    ),
}

IMAGE_FILE_ATTRS = FILE_ATTRS | {
    "created_file": attr.label(
        doc = "A file that holds the time of creation, in place of `created`.",
        allow_single_file = True,
    ),
    "env_file": attr.label(
        doc = "A file with more environment variables, a line `NAME=VALUE` each; what `env` may have, it may have, too.",
        allow_single_file = True,
    ),
    "labels_file": attr.label(
        doc = "A file with more labels, a line `NAME=VALUE` each, which may have placeholders as well.",
        allow_single_file = True,
    ),
}

def check_effect(ctx, problems, why, attributes, defaults = _DEFAULTS):
    """Adds a problem for each attribute that is set and has no effect.

    Args:
      ctx: a rule's context.
      problems: list of str to add to.
      why: str, why they have no effect, and what to write instead.
      attributes: list of str, names of attributes.
      defaults: dict of name -> default, of attributes whose default is not empty.
    """
    for name in attributes:
        value = getattr(ctx.attr, name)
        if not value or value == defaults.get(name):
            continue
        if type(value) == "Target":
            value = label_text(value.label)
        problems.append(problem(name, value, "has no effect: " + why))

def check_image_effect(ctx, copies, directories, problems):
    """Adds a problem for each attribute of an image that is set and has no effect.

    Args:
      ctx: the context of the rule image.
      copies: whether files of the layers below are copied to get capabilities.
      directories: whether the image has a layer of its own that keeps directories as the layers below have them.
      problems: list of str to add to.
    """
    if ctx.attr.binary:
        return
    names = list(_OF_BINARY)
    if not copies:
        names += _OF_COPIES
    if not directories:
        names += _OF_DIRECTORIES
    if not copies and not directories:
        names += _OF_ANY_LAYER
    instead = "for files that are copied from the base, set modes, owners or xattrs" if copies else "set binary, or set the attribute of a layer"
    check_effect(ctx, problems, "the image has no binary; " + instead, sorted(names))

def file_args(ctx, args, names):
    """Adds the files of attributes to the arguments of an action.

    Args:
      ctx: a rule's context.
      args: Args to add to.
      names: list of str, the attributes, which all end with "_file".

    Returns:
      list of File: the inputs that this adds.
    """
    files = []
    for name in names:
        file = getattr(ctx.file, name)
        if file:
            args.add(file, format = "--" + name.replace("_", "-") + "=%s")
            named(args, name, getattr(ctx.attr, name).label, file)
            files.append(file)
    return files

def resolve_attributes(ctx, spec, base, problems):
    """Declares the action that expands the placeholders of attributes and checks them.

    It does not fail: the actions of the target that are given its problems report them, together with their own.

    Args:
      ctx: the context of the rule image.
      spec: dict of the attributes.
      base: struct from base_image().
      problems: list of str, what the rule found.

    Returns:
      struct of spec (File, JSON) and problems (File, JSON).
    """
    resolved = ctx.actions.declare_file(ctx.label.name + ".spec.json")
    found = ctx.actions.declare_file(ctx.label.name + ".problems.json")
    args = packer_request(ctx, "attributes")
    args.add(json.encode(spec), format = "--attributes=%s")
    inputs = file_args(ctx, args, sorted(IMAGE_FILE_ATTRS))
    texts = [spec["created"], spec["mtime"]] + spec["annotations"].values() + spec["env"].values() + spec["labels"].values()
    transitive_inputs = []
    stamp = status_files(ctx, texts, any_key = bool(inputs))
    args.add_all(stamp, format_each = "--stamp=%s")
    inputs.extend(stamp)
    if ctx.attr.base:
        args.add(label_text(ctx.attr.base.label), format = "--base-name=%s")
    platform = getattr(ctx.attr.base[ImageInfo], "platform", "") if ctx.attr.base and ImageInfo in ctx.attr.base else ""
    if platform:
        # The config of another image of this build would have to be waited for.
        args.add(platform, format = "--base-platform=%s")
    else:
        args.add_all(base.layouts, format_each = "--base-layout=%s", expand_directories = False)
        base_names(ctx, args, base)
        transitive_inputs.append(base.files)
    args.add(resolved, format = "--output=%s")
    args.add(found, format = "--problems-output=%s")
    run_packer(
        ctx,
        args,
        outputs = [resolved, found],
        inputs = inputs,
        transitive_inputs = transitive_inputs,
        mnemonic = "SetcapAttributes",
        progress_message = "Checking attributes of %{label}",
        problems = problems,
    )
    return struct(problems = found, spec = resolved)

def base_names(ctx, args, base):
    """Adds the base's label to an action that reads it, for messages.

    Args:
      ctx: the context of the rule image.
      args: Args to add to.
      base: struct from base_image().
    """
    for file in [file for _flag, file in base.args] + base.layouts:
        named(args, "base", ctx.attr.base.label, file)

"""Checks of an image's attributes before anything is packed."""

load(":base.bzl", "add_base_labels")
load(":messages.bzl", "format_label", "format_problem")
load(":request.bzl", "add_attribute_file", "run_request", "start_request")
load(":stamp.bzl", "list_status_files")

visibility(["//rules/...", "//tests/...", "//tools/..."])

# Attributes of an image that take effect only in a layer of its own: in that of its binary, in that too in which files of
# the base are copied, or in that too which repeats directories of the lower layers.
_BINARY_ATTRIBUTES = ["binary_path", "hard_link_duplicates", "linux_capabilities", "linux_capabilities_from", "mode", "owner", "parent_directories", "tar_style"]
_COPY_ATTRIBUTES = ["file_capabilities", "modes", "owners", "xattrs"]
_DIRECTORY_ATTRIBUTES = ["replaces"]
_BLOB_ATTRIBUTES = ["compression", "compression_level", "mtime"]
_DEFAULTS = {"compression": "gzip", "mode": "0755", "mtime": "0", "owner": "0:0", "parent_directories": "all", "tar_style": "plain"}

ANNOTATIONS_FILE_ATTRS = {
    "annotations_file": attr.label(
        doc = "A file with further annotations: one line `NAME=VALUE` for each. Values may have placeholders.",
        allow_single_file = True,
    ),
}

IMAGE_FILE_ATTRS = ANNOTATIONS_FILE_ATTRS | {
    "created_file": attr.label(
        doc = "A file with the time of creation, in place of `created`.",
        allow_single_file = True,
    ),
    "env_file": attr.label(
        doc = "A file with further environment variables: one line `NAME=VALUE` for each, in the format of `env`.",
        allow_single_file = True,
    ),
    "labels_file": attr.label(
        doc = "A file with further labels: one line `NAME=VALUE` for each. Values may have placeholders.",
        allow_single_file = True,
    ),
}

def check_effect(ctx, attributes, reason, problems):
    """Adds a problem for each attribute that is set although it has no effect.

    Args:
      ctx: the context of a rule.
      attributes: list of str, names of attributes that have no effect on this target.
      reason: str, why they have no effect, and what to write instead.
      problems: list of str, to which problems are added.
    """
    for name in attributes:
        value = getattr(ctx.attr, name)
        if not value or value == _DEFAULTS.get(name):
            continue
        if type(value) == "Target":
            value = format_label(value.label)
        problems.append(format_problem(name, value, "has no effect: " + reason))

def check_image_effect(ctx, copies_files, repeats_directories, problems):
    """Adds a problem for each attribute of an image without a binary that is set although it has no effect.

    Args:
      ctx: the context of the rule image.
      copies_files: bool, whether the image has a layer with copies of files of the lower layers.
      repeats_directories: bool, whether the image has a layer that repeats directories of the lower layers.
      problems: list of str, to which problems are added.
    """
    if ctx.attr.binary:
        return
    names = list(_BINARY_ATTRIBUTES)
    if not copies_files:
        names += _COPY_ATTRIBUTES
    if not repeats_directories:
        names += _DIRECTORY_ATTRIBUTES
    if not copies_files and not repeats_directories:
        names += _BLOB_ATTRIBUTES
    instead = "for files that are copied from the base, set modes, owners or xattrs" if copies_files else "set binary, or set the attribute of a layer"
    check_effect(ctx, sorted(names), "the image has no binary; " + instead, problems)

def list_attribute_files(ctx, names):
    """Returns the files of attributes that are set.

    Args:
      ctx: the context of a rule.
      names: list of str, attributes that are labels of single files.

    Returns:
      list of struct of attribute (str), label (Label) and file (File).
    """
    return [
        struct(attribute = name, file = getattr(ctx.file, name), label = getattr(ctx.attr, name).label)
        for name in names
        if getattr(ctx.file, name)
    ]

def resolve_attributes(ctx, spec, base, problems):
    """Declares the action that expands the placeholders of an image's attributes and checks the attributes.

    The action does not fail. The other actions of the target get the problems that it finds, and report them together with
    their own.

    Args:
      ctx: the context of the rule image.
      spec: dict of the attributes of the config and the manifest.
      base: struct from base_image().
      problems: list of str, the problems that the rule has found.

    Returns:
      struct of spec (File, JSON) and problems (File, JSON).
    """
    resolved_spec = ctx.actions.declare_file(ctx.label.name + ".spec.json")
    all_problems = ctx.actions.declare_file(ctx.label.name + ".problems.json")
    attribute_files = list_attribute_files(ctx, IMAGE_FILE_ATTRS)
    texts = [spec["created"], spec["mtime"]] + spec["annotations"].values() + spec["env"].values() + spec["labels"].values()
    status_files = list_status_files(ctx, texts, has_files = attribute_files != [])
    request = start_request(ctx, "attributes")
    flags = ["--attributes=" + json.encode(spec)]
    for each in attribute_files:
        add_attribute_file(request, each.attribute, each.label, each.file)
    if status_files:
        request.add_all(status_files, format_each = "--stamp=%s")
    if ctx.attr.base:
        flags.append("--base-name=" + format_label(ctx.attr.base.label))
    base_files = []
    if base.platform:
        # The platform is enough. To read the config of an image of this build would delay the action.
        flags.append("--base-platform=" + base.platform)
    elif base.layouts:
        request.add_all(base.layouts, format_each = "--base-layout=%s", expand_directories = False)
        add_base_labels(request, base)
        base_files.append(base.files)
    request.add_all(flags)
    request.add(resolved_spec, format = "--output=%s")
    request.add(all_problems, format = "--problems-output=%s")
    run_request(
        ctx,
        ctx.attr._oci_tool,
        request,
        outputs = [resolved_spec, all_problems],
        inputs = [each.file for each in attribute_files] + status_files,
        transitive_inputs = base_files,
        mnemonic = "SetcapAttributes",
        progress_message = "Checking attributes of %{label}",
        problems = problems,
    )
    return struct(problems = all_problems, spec = resolved_spec)

"""The three actions that write a layer: from files, from files of lower layers, and from a tar.

Each function declares one action and writes its whole command line, so that it can be read beside the module of the same
subcommand in tools/rules_setcap/packer/commands.
"""

load("//rules:providers.bzl", "LayerInfo")
load(":base.bzl", "add_base_labels")
load(":layer_attributes.bzl", "EXTENSIONS")
load(":messages.bzl", "format_label")
load(":request.bzl", "add_label", "run_request", "start_request")
load(":stamp.bzl", "find_placeholders", "list_status_files")
load(":threads.bzl", "thread_count")

visibility(["//rules/...", "//tests/...", "//tools/..."])

def pack_layer(
        ctx,
        name,
        problems = [],
        problems_file = None,
        entries = [],
        capabilities = [],
        sets_entries = True,
        lower = None,
        program = None,
        capabilities_from = None,
        unmatched_paths = None):
    """Declares the action that packs files into a layer.

    Args:
      ctx: the context of a rule with LAYER_ATTRS and stamp_attrs().
      name: str, the name of the outputs without their extensions.
      problems: list of str, as run_request() takes it.
      problems_file: File, as run_request() takes it.
      entries: list of EntriesInfo.
      capabilities: list of struct of attribute, path and capabilities, as list_file_capabilities() returns it.
      sets_entries: bool, whether the attributes that set modes, owners and xattrs apply to the entries of this layer.
      lower: struct of what the layer is packed over; None if that is not known:
        base: struct from base_image().
        contents: list of File, the contents of the base and the metadata of its layers, the lowest first.
        layers: list of struct of label (Label) and info (LayerInfo), the layers of the image, the lowest first.
      program: str, the path of the image's binary; None if the layer does not have it.
      capabilities_from: struct of label (Label) and file (File), a file with capabilities of the program; None if there is none.
      unmatched_paths: File, an output that gets the paths of file_capabilities that match no entry. Without it they are
        errors.

    Returns:
      LayerInfo.
    """
    info = _declare_layer(ctx, name)
    status_files = _list_mtime_files(ctx)
    inputs = list(status_files)
    request = start_request(ctx, "layer")
    for group in entries:
        request.add_all(group.items, map_each = group.map_each, allow_closure = True, expand_directories = False)
    _add_blob_flags(ctx, request, info, capabilities)
    _add_mtime(ctx, request, status_files)
    flags = ["--parent-directories=" + ctx.attr.parent_directories, "--tar-style=" + ctx.attr.tar_style]
    if sets_entries:
        flags += ["--owner=" + json.encode(ctx.attr.owner), "--mode=" + json.encode(ctx.attr.mode)] + _list_changes(ctx)
    if ctx.attr.hard_link_duplicates:
        flags.append("--hard-link-duplicates=yes")
    if program:
        flags.append("--program=" + json.encode(program))
    request.add_all(flags)
    if capabilities_from:
        request.add(capabilities_from.file, format = "--capabilities-from=%s")
        add_label(request, "linux_capabilities_from", capabilities_from.label, capabilities_from.file)
        inputs.append(capabilities_from.file)
    if lower:
        _add_lower_layers(ctx, request, lower)
        inputs += lower.contents + [layer.info.metadata for layer in lower.layers]
    if unmatched_paths:
        request.add(unmatched_paths, format = "--unmatched-paths=%s")
    run_request(
        ctx,
        ctx.attr._packer_tool,
        request,
        outputs = [info.blob, info.metadata] + ([unmatched_paths] if unmatched_paths else []),
        inputs = inputs,
        transitive_inputs = [group.inputs for group in entries],
        tools = ctx.files._gzip_library,
        threads = thread_count(ctx),
        mnemonic = "SetcapLayer",
        progress_message = "Packing layer %{label}",
        problems = problems,
        problems_file = problems_file,
    )
    return info

def copy_lower_files(ctx, name, problems_file, capabilities, platform, lower, unmatched_paths, found = None):
    """Declares the action that copies files of lower layers into a layer, with other capabilities.

    Args:
      ctx: the context of the rule image.
      name: str, the name of the outputs without their extensions.
      problems_file: File, as run_request() takes it.
      capabilities: list of struct of attribute, path and capabilities, as list_file_capabilities() returns it.
      platform: str, the platform of the image.
      lower: struct of the lower layers:
        base: struct from base_image().
        blobs: list of LayerInfo, the lower layers that Bazel builds, the lowest first.
      unmatched_paths: File, the paths of `capabilities` to copy; None for all of them.
      found: File, the directory of search_base(), which has the files; None to find them in the lower layers.

    Returns:
      LayerInfo.
    """
    info = _declare_layer(ctx, name)
    status_files = _list_mtime_files(ctx)
    inputs = list(status_files)
    request = start_request(ctx, "copy")
    _add_blob_flags(ctx, request, info, capabilities)
    _add_mtime(ctx, request, status_files)
    request.add_all(_list_changes(ctx))
    add_base_labels(request, lower.base)
    if found:
        request.add_all([found], format_each = "--found=%s", expand_directories = False)
        inputs.append(found)
    else:
        metadata = [layer.metadata for layer in lower.blobs]
        blobs = [layer.blob for layer in lower.blobs]
        inputs += metadata + blobs
        if lower.base.layouts:
            request.add(platform, format = "--platform=%s")
        request.add_all(lower.base.layouts, format_each = "--lower-layout=%s", expand_directories = False)
        request.add_all(lower.base.blobs, format_each = "--layer-blob=%s")
        request.add_all(metadata, format_each = "--lower-metadata=%s")
        request.add_all(blobs, format_each = "--lower-blob=%s")
    if unmatched_paths:
        request.add(unmatched_paths, format = "--unmatched-paths=%s")
        inputs.append(unmatched_paths)
    run_request(
        ctx,
        ctx.attr._copy_tool,
        request,
        outputs = [info.blob, info.metadata],
        inputs = inputs,
        transitive_inputs = [] if found else [lower.base.layout_files],
        tools = ctx.files._gzip_library,
        threads = thread_count(ctx),
        mnemonic = "SetcapCopy",
        progress_message = "Setting capabilities of the base's files for %{label}",
        problems_file = problems_file,
    )
    return info

def rewrite_tar(ctx, name, problems, capabilities, tars):
    """Declares the action that copies a tar into a layer, with other capabilities.

    Args:
      ctx: the context of the rule setcap.
      name: str, the name of the outputs without their extensions.
      problems: list of str, as run_request() takes it.
      capabilities: list of struct of attribute, path and capabilities, as list_file_capabilities() returns it.
      tars: list of File, the tar; empty if there is a problem with it.

    Returns:
      LayerInfo.
    """
    info = _declare_layer(ctx, name)
    request = start_request(ctx, "setcap")
    _add_blob_flags(ctx, request, info, capabilities)
    for tar in tars:
        request.add(tar, format = "--tar=%s")
        add_label(request, "tar", ctx.attr.tar.label, tar)
    request.add(ctx.attr.existing_capabilities, format = "--existing-capabilities=%s")
    if ctx.attr.drop_zero_rootid:
        request.add("--drop-zero-rootid=yes")
    run_request(
        ctx,
        ctx.attr._packer_tool,
        request,
        outputs = [info.blob, info.metadata],
        inputs = tars,
        tools = ctx.files._gzip_library,
        threads = thread_count(ctx),
        mnemonic = "SetcapTar",
        progress_message = "Setting capabilities in layer %{label}",
        problems = problems,
    )
    return info

def _declare_layer(ctx, name):
    """Declares the outputs of a layer: the blob, and the metadata that describes it."""
    return LayerInfo(
        blob = ctx.actions.declare_file(name + EXTENSIONS[ctx.attr.compression]),
        disabled_checks = ctx.attr.disabled_checks,
        metadata = ctx.actions.declare_file(name + ".layer.json"),
    )

def _add_blob_flags(ctx, request, info, capabilities):
    """Adds the flags that all three subcommands have: the outputs, how to compress, and the capabilities to assign."""
    request.add(info.blob, format = "--output=%s")
    request.add(info.metadata, format = "--metadata=%s")
    request.add_all(ctx.files._gzip_library, format_each = "--library=%s")
    request.add_all([
        "--compression=" + ctx.attr.compression,
        "--level={}".format(ctx.attr.compression_level),
        "--created-by=rules_setcap",
    ] + ["--capabilities=" + json.encode(assignment) for assignment in capabilities])

def _add_lower_layers(ctx, request, lower):
    """Adds the lower layers of an image, as the argument of pack_layer() has them."""
    add_base_labels(request, lower.base)
    request.add_all(lower.contents, format_each = "--base-contents=%s")
    request.add_all([layer.info.metadata for layer in lower.layers], format_each = "--lower-metadata=%s")
    request.add_all(
        ["--lower-label=" + json.encode(format_label(layer.label)) for layer in lower.layers] +
        ["--replaces=" + json.encode(path) for path in ctx.attr.replaces],
    )

def _list_changes(ctx):
    """Returns the flags for the modes, owners and extended attributes of single entries."""
    return ["--change=" + json.encode(change) for change in [
        struct(attribute = "modes", path = path, mode = mode)
        for path, mode in ctx.attr.modes.items()
    ] + [
        struct(attribute = "owners", path = path, owner = owner)
        for path, owner in ctx.attr.owners.items()
    ] + [
        struct(attribute = "xattrs", path = path, xattrs = pairs)
        for path, pairs in ctx.attr.xattrs.items()
    ]]

def _add_mtime(ctx, request, status_files):
    """Adds the modification time, and the status files that expand its placeholder."""
    request.add(json.encode(ctx.attr.mtime), format = "--mtime=%s")
    if status_files:
        request.add_all(status_files, format_each = "--stamp=%s")

def _list_mtime_files(ctx):
    """Returns the status files that expand the placeholder in mtime; an empty list if it has none."""
    if not ctx.attr.stamp or not find_placeholders(ctx.attr.mtime):
        return []
    return list_status_files(ctx, [ctx.attr.mtime])

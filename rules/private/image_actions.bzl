"""The actions that make an image of its layers. They read the layers' metadata, and no blob."""

load(":base.bzl", "add_base_labels")
load(":messages.bzl", "format_label")
load(":request.bzl", "LOCAL_LINKS", "run_request", "start_request")

visibility(["//rules/...", "//tests/...", "//tools/..."])

def assemble_image(ctx, attributes, layers, base, base_contents):
    """Declares the action that writes the manifest, the config and the descriptor of an image.

    Args:
      ctx: the context of the rule image.
      attributes: struct from resolve_attributes().
      layers: list of LayerInfo, the layers above the base, the lowest first.
      base: struct from base_image().
      base_contents: list of File, the contents of the base and the metadata of its layers, the lowest first.

    Returns:
      struct of manifest, config and descriptor, File.
    """
    manifest = ctx.actions.declare_file(ctx.label.name + ".manifest.json")
    config = ctx.actions.declare_file(ctx.label.name + ".config.json")
    descriptor = ctx.actions.declare_file(ctx.label.name + ".descriptor.json")
    metadata = [layer.metadata for layer in layers]
    annotated = base_contents if ctx.attr.annotate_capabilities else []
    request = start_request(ctx, "image")
    request.add(attributes.spec, format = "--spec=%s")
    if base.manifest:
        request.add(base.manifest, format = "--base-manifest=%s")
        request.add(base.config, format = "--base-config=%s")
    elif base.layouts:
        request.add_all(base.layouts, format_each = "--base-layout=%s", expand_directories = False)
    if ctx.attr.base:
        request.add(format_label(ctx.attr.base.label), format = "--base-name=%s")
    add_base_labels(request, base)
    request.add_all(metadata, format_each = "--layer=%s")
    if annotated:
        request.add_all(annotated, format_each = "--base-contents=%s")
    request.add(manifest, format = "--manifest-output=%s")
    request.add(config, format = "--config-output=%s")
    request.add(descriptor, format = "--descriptor-output=%s")
    run_request(
        ctx,
        ctx.attr._oci_tool,
        request,
        outputs = [manifest, config, descriptor],
        inputs = [attributes.spec] + metadata + annotated,
        transitive_inputs = [base.files] if base.label else [],
        mnemonic = "SetcapImage",
        progress_message = "Assembling image %{label}",
        problems_file = attributes.problems,
    )
    return struct(config = config, descriptor = descriptor, manifest = manifest)

def write_layout(ctx, image, layers, base, is_sparse = False):
    """Declares the action that writes the OCI layout directory of an image. Its blobs are links: no blob is copied.

    Args:
      ctx: the context of the rule image.
      image: struct from assemble_image().
      layers: list of LayerInfo, all layers that Bazel builds, the lowest first.
      base: struct from base_image().
      is_sparse: bool, whether to leave out the layers of the base that actions fetch.

    Returns:
      File: the directory.
    """
    layout = ctx.actions.declare_directory(ctx.label.name + (".sparse" if is_sparse else ""))
    request = start_request(ctx, "layout")
    request.add(image.manifest, format = "--manifest=%s")
    request.add(image.config, format = "--config=%s")
    request.add(image.descriptor, format = "--descriptor=%s")
    request.add_all([layer.metadata for layer in layers], format_each = "--layer-metadata=%s")
    request.add_all([layer.blob for layer in layers], format_each = "--layer-blob=%s")
    request.add_all(base.layouts, format_each = "--base-layout=%s", expand_directories = False)
    if is_sparse:
        request.add_all([blob.basename for blob in base.blobs], format_each = "--left-out=%s")
    else:
        request.add_all(base.blobs, format_each = "--base-blob=%s")
    request.add_all([layout], format_each = "--output=%s", expand_directories = False)
    run_request(
        ctx,
        ctx.attr._oci_tool,
        request,
        outputs = [layout],
        inputs = [image.manifest, image.config, image.descriptor] +
                 [layer.metadata for layer in layers] + [layer.blob for layer in layers],
        transitive_inputs = [base.files if is_sparse else base.layout_files],
        mnemonic = "SetcapLayout",
        progress_message = "Laying out image %{label}",
        execution_requirements = LOCAL_LINKS,
    )
    return layout

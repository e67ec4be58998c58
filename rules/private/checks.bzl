"""What programs with capabilities must be, looked at beside the build and not before it."""

load(":packer.bzl", "packer_request", "run_packer")

CHECK_ATTRS = {
    "checks_off": attr.string_list(
        doc = """Checks of programs with capabilities that are not made, by name: `architecture` (it is for another than the \
image), `format` (it is a damaged program), `runpath` (it looks for its libraries by `$ORIGIN`, which the loader then ignores, or \
below the working directory, which is anybody's to choose), `wrapper` (the container starts another program, which has none). \
They are validation actions: `--norun_validations` leaves out all.""",
    ),
}

# What a layer finds out by itself, without the image that it is for.
LAYER_CHECKS = ["format", "runpath"]

def check_programs(ctx, programs, layers, config = None):
    """Declares the action.

    Args:
      ctx: the context of a rule with PACKER_ATTRS and CHECK_ATTRS.
      programs: list of struct of attribute (str, for messages), path (str, in the image), file (File) and
        off (list of str, names of checks); those without capabilities are passed over.
      layers: list of LayerInfo, all that are known of the image, the lowest first.
      config: File, the image's config; None if there is no image.

    Returns:
      list of File for the output group _validation.
    """
    if not programs and not ctx.attr.checks_off:
        return []
    output = ctx.actions.declare_file(ctx.label.name + ".checked")
    metadata = [each.metadata for each in layers]
    request = packer_request(ctx, "check")
    for each in programs:
        request.add(json.encode({"attribute": each.attribute, "off": each.off, "path": each.path}), format = "--program=%s")
        request.add(each.file, format = "--source=%s")
    request.add_all(metadata, format_each = "--layer=%s")
    if config:
        request.add(config, format = "--config=%s")
    request.add(json.encode(ctx.attr.checks_off), format = "--off=%s")
    request.add(output, format = "--output=%s")
    run_packer(
        ctx,
        request,
        outputs = [output],
        inputs = [each.file for each in programs] + metadata + ([config] if config else []),
        mnemonic = "SetcapCheck",
        progress_message = "Checking programs of %{label}",
    )
    return [output]

"""Validation actions for the programs of layers and images."""

load(":packer.bzl", "packer_request", "run_packer")

CHECK_ATTRS = {
    "disabled_checks": attr.string_list(
        doc = """Names of checks to turn off. The checks are validation actions, so `--norun_validations` turns off all of them.

- `architecture`: the program is for another CPU than the image.
- `format`: the program is an invalid ELF file.
- `loader`: the image lacks the loader of a dynamically linked program, or the interpreter of a script.
- `program`: the image lacks the program that its `entrypoint` or `cmd` names.
- `runpath`: a program with capabilities finds its libraries by `$ORIGIN`, which the loader then ignores, or below the \
working directory, which anybody may choose.
- `wrapper`: a remark, not an error: the container starts another program first, so that `no_new_privs` would take the \
capabilities away.""",
    ),
}

# The checks that `layer` and `setcap` make, so that an image does not repeat them.
LAYER_CHECKS = ["format", "runpath"]

def check_programs(ctx, layers, base_contents = [], config = None, binary = None, started = None):
    """Declares the action that checks programs.

    Args:
      ctx: the context of a rule with PACKER_ATTRS and CHECK_ATTRS.
      layers: list of struct of attribute (str, for messages), info (LayerInfo) and disabled_checks (list of str), the
        lowest first.
      base_contents: list of File, contents of the base and metadata of its layers, the lowest first.
      config: File, the config of the image; None if there is no image.
      binary: str, the path of the image's binary; None if there is none.
      started: str, the attribute that names the program to start; None if the target names none.

    Returns:
      list of File for the output group _validation.
    """
    output = ctx.actions.declare_file(ctx.label.name + ".checked")
    metadata = [each.info.metadata for each in layers]
    request = packer_request(ctx, "check")
    request.add_all(base_contents, format_each = "--base-contents=%s")
    request.add_all(metadata, format_each = "--layer=%s")
    request.add_all([json.encode({"attribute": each.attribute, "disabled_checks": each.disabled_checks}) for each in layers], format_each = "--layer-of=%s")
    if config:
        request.add(config, format = "--config=%s")
    if binary:
        request.add(binary, format = "--binary=%s")
    if started:
        request.add(started, format = "--started=%s")
    request.add(json.encode(ctx.attr.disabled_checks), format = "--disabled-checks=%s")
    request.add(output, format = "--output=%s")
    run_packer(
        ctx,
        request,
        outputs = [output],
        inputs = base_contents + metadata + ([config] if config else []),
        mnemonic = "SetcapCheck",
        progress_message = "Checking programs of %{label}",
    )
    return [output]

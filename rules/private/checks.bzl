"""Validation actions for programs that have file capabilities."""

load(":request.bzl", "run_request", "start_request", "tool_attrs")

visibility(["//rules/...", "//tests/...", "//tools/..."])

CHECK_ATTRS = tool_attrs("validation") | {
    "disabled_checks": attr.string_list(
        doc = """Names of checks that are turned off for this target, for instance `["loader"]`. The checks are validation actions, so \
`--norun_validations` turns off all of them.

- `architecture`: the program is for another CPU than the image.
- `format`: the program is not a valid ELF file.
- `loader`: the image does not have the loader of a dynamically linked program, or the interpreter of a script.
- `program`: the image does not have the program that `entrypoint` or `cmd` names.
- `runpath`: a program with capabilities searches its libraries by `$ORIGIN`, which the loader ignores for such programs, or \
below the working directory, which any user may choose.
- `user`: a remark, not an error: the container starts a program with capabilities as root, who gets what the runtime grants, \
whatever the file has.
- `wrapper`: a remark, not an error: the container executes another program first, so `no_new_privs` would take the \
capabilities away.""",
    ),
}

def check_programs(ctx, layers, base_contents = [], config = None, binary = None, program_attribute = None):
    """Declares the validation action for the programs of a layer or an image.

    Args:
      ctx: the context of a rule with CHECK_ATTRS.
      layers: list of struct, the layers, the lowest first:
        attribute: str, the attribute that has the layer, for messages.
        is_checked: bool, whether the target of the layer declares this action too. The image does not repeat its checks.
        disabled_checks: list of str, the checks that are turned off for the layer.
        info: LayerInfo.
      base_contents: list of File, the contents of the base and the metadata of its layers, the lowest first.
      config: File, the config of the image; None for a layer.
      binary: str, the path of the image's binary; None if it has no binary.
      program_attribute: str, the attribute that names the program to start; None if the target names no program.

    Returns:
      list of File, for the output group _validation.
    """
    output = ctx.actions.declare_file(ctx.label.name + ".checked")
    metadata = [layer.info.metadata for layer in layers]
    request = start_request(ctx, "check")
    request.add_all(base_contents, format_each = "--base-contents=%s")
    request.add_all(metadata, format_each = "--layer=%s")
    flags = ["--disabled-checks=" + json.encode(ctx.attr.disabled_checks)] + [
        "--layer-settings=" + json.encode({
            "attribute": layer.attribute,
            "is_checked": layer.is_checked,
            "disabled_checks": layer.disabled_checks,
        })
        for layer in layers
    ]
    if config:
        request.add(config, format = "--config=%s")
    if binary:
        flags.append("--binary=" + json.encode(binary))
    if program_attribute:
        flags.append("--program-attribute=" + program_attribute)
    request.add_all(flags)
    request.add(output, format = "--output=%s")
    run_request(
        ctx,
        ctx.attr._validation_tool,
        request,
        outputs = [output],
        inputs = base_contents + metadata + ([config] if config else []),
        mnemonic = "SetcapCheck",
        progress_message = "Checking programs of %{label}",
    )
    return [output]

def make_layer_providers(ctx, info, is_checked):
    """Returns the providers of a target that is one layer.

    Args:
      ctx: the context of a rule with CHECK_ATTRS and the attribute file_capabilities.
      info: LayerInfo.
      is_checked: bool, whether a validation action checks the programs of the layer.

    Returns:
      list of providers: DefaultInfo, OutputGroupInfo and LayerInfo.
    """
    layers = [struct(attribute = "file_capabilities", is_checked = False, disabled_checks = [], info = info)]
    return [
        DefaultInfo(files = depset([info.blob])),
        OutputGroupInfo(
            metadata = [info.metadata],
            _validation = check_programs(ctx, layers) if is_checked else [],
        ),
        info,
    ]

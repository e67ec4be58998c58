"""The settings of a container runtime with which an image's file capabilities take effect."""

load(":python_tool.bzl", "PythonToolInfo", "run_python_tool")

visibility(["//rules/...", "//tests/...", "//tools/..."])

SETTINGS_ATTRS = {
    "_settings_tool": attr.label(
        cfg = "exec",
        default = "//tools/rules_setcap/containers:tool",
        providers = [PythonToolInfo],
    ),
}

# The flag for each output of the tool, and the extension of the file.
_FLAGS = {
    "--compose=%s": ".compose.yaml",
    "--docker=%s": ".docker.txt",
    "--kubernetes=%s": ".kubernetes.yaml",
    "--podman=%s": ".podman.txt",
}

def write_runtime_settings(ctx, contents, config):
    """Declares the action that writes the runtime settings of an image. It runs only if the files are requested.

    Args:
      ctx: the context of a rule with SETTINGS_ATTRS.
      contents: list of File, the contents of the base and the metadata of layers, the lowest first.
      config: File, the image's config, which names the program that the container executes first.

    Returns:
      list of File: a Compose service, flags of docker run, a Kubernetes securityContext, and flags of podman run.
    """
    outputs = [ctx.actions.declare_file(ctx.label.name + extension) for extension in _FLAGS.values()]
    args = ctx.actions.args()
    args.add_all(contents, format_each = "--layer=%s")
    args.add(config, format = "--config=%s")
    args.add(ctx.label.name, format = "--service=%s")
    for flag, output in zip(_FLAGS, outputs):
        args.add(output, format = flag)
    run_python_tool(
        ctx,
        ctx.attr._settings_tool[PythonToolInfo],
        [args],
        outputs = outputs,
        inputs = contents + [config],
        mnemonic = "SetcapSettings",
        progress_message = "Writing runtime settings of %{label}",
    )
    return outputs

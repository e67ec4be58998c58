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

def write_runtime_settings(ctx, contents, config):
    """Declares the action that writes the runtime settings of an image. It runs only if the files are requested.

    Args:
      ctx: the context of a rule with SETTINGS_ATTRS.
      contents: list of File, the contents of the base and the metadata of layers, the lowest first.
      config: File, the image's config, which names the program that the container executes first.

    Returns:
      list of File: a Compose service, flags of docker run, a Kubernetes securityContext, and flags of podman run.
    """
    outputs = {
        kind: ctx.actions.declare_file(ctx.label.name + "." + kind + extension)
        for kind, extension in {"compose": ".yaml", "docker": ".txt", "kubernetes": ".yaml", "podman": ".txt"}.items()
    }
    args = ctx.actions.args()
    args.add_all(contents, format_each = "--layer=%s")
    args.add(config, format = "--config=%s")
    args.add(ctx.label.name, format = "--service=%s")
    for kind, output in outputs.items():
        args.add(output, format = "--" + kind + "=%s")
    run_python_tool(
        ctx,
        ctx.attr._settings_tool[PythonToolInfo],
        [args],
        outputs = outputs.values(),
        inputs = contents + [config],
        mnemonic = "SetcapSettings",
        progress_message = "Writing runtime settings of %{label}",
    )
    return outputs.values()

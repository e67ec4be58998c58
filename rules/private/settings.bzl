"""What a container runtime must be told so that an image's file capabilities take effect."""

load(":packer.bzl", "PATH_MAPPING", "PackerInfo", "isolated")

SETTINGS_ATTRS = {
    "_settings": attr.label(
        cfg = "exec",
        default = "//tools/rules_setcap/containers:tool",
        providers = [PackerInfo],
    ),
}

def runtime_settings(ctx, contents, config):
    """Declares the action, which runs if somebody asks for the files.

    Args:
      ctx: the context of a rule with SETTINGS_ATTRS.
      contents: list of File, contents of the base and metadata of layers, the lowest first.
      config: File, the image's config, which names its first program.

    Returns:
      list of File: flags of docker run and podman run, Compose, Kubernetes.
    """
    tool = ctx.attr._settings[PackerInfo]
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
    ctx.actions.run(
        executable = tool.interpreter,
        arguments = [isolated(ctx, tool), args],
        inputs = contents + [config],
        tools = [tool.files],
        outputs = outputs.values(),
        mnemonic = "SetcapSettings",
        progress_message = "Writing runtime settings of %{label}",
        env = {},
        use_default_shell_env = False,
        toolchain = None,
        execution_requirements = PATH_MAPPING,
    )
    return outputs.values()

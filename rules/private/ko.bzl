"""The rule ko_capabilities."""

load(":messages.bzl", "label_text")
load(":packer.bzl", "PATH_MAPPING")

def _ko_capabilities_impl(ctx):
    output = ctx.actions.declare_file(ctx.label.name + ".json")
    args = ctx.actions.args()
    args.add(label_text(ctx.label), format = "--target=%s")
    args.add(ctx.file.config, format = "--config=%s")
    args.add(ctx.file.config.short_path, format = "--name=%s")
    args.add(ctx.attr.build, format = "--build=%s")
    args.add(output, format = "--output=%s")
    ctx.actions.run(
        executable = ctx.executable._tool,
        arguments = [args],
        inputs = [ctx.file.config],
        outputs = [output],
        mnemonic = "SetcapKo",
        progress_message = "Reading capabilities of %{label}",
        env = {},
        use_default_shell_env = False,
        toolchain = None,
        execution_requirements = PATH_MAPPING,
    )
    return [DefaultInfo(files = depset([output]))]

ko_capabilities = rule(
    doc = """The capabilities that a `.ko.yaml` asks for, for `linux_capabilities_from` of an `image`.

One file then serves both while a repository moves from ko to Bazel. What ko and libcap read differently is an error \
that says what either makes of it, and what to write for both; [ko](ko.md) is the guide.""",
    implementation = _ko_capabilities_impl,
    attrs = {
        "build": attr.string(
            doc = "The `id` of the entry of `builds`; by default the only one. Entries without are `#0`, `#1`, as ko calls them.",
        ),
        "config": attr.label(
            doc = "The `.ko.yaml`.",
            allow_single_file = True,
            mandatory = True,
        ),
        "_tool": attr.label(
            cfg = "exec",
            default = "//tools/rules_setcap/ko:command",
            executable = True,
        ),
    },
)

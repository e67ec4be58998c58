"""The rule ko_capabilities."""

load(":messages.bzl", "format_label")
load(":python_tool.bzl", "PATH_MAPPING")

visibility(["//rules/...", "//tests/...", "//tools/..."])

def _ko_capabilities_impl(ctx):
    output = ctx.actions.declare_file(ctx.label.name + ".json")
    args = ctx.actions.args()
    args.add(format_label(ctx.label), format = "--target=%s")
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
    doc = """The capabilities that a `.ko.yaml` assigns, for the attribute `linux_capabilities_from` of an `image`.

While a repository moves from ko to Bazel, both read the same file. Text that ko and libcap read differently is an error; the \
message names both meanings, and the text that means the same to both. See [Moving from ko](../ko.md).""",
    implementation = _ko_capabilities_impl,
    attrs = {
        "build": attr.string(
            doc = """The `id` of an entry of `builds`. It may be omitted if there is only one entry. ko calls entries without an `id` \
`#0`, `#1`, and so on.""",
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

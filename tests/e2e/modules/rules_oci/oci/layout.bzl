"""The target of an image that is pulled: an OCI layout directory."""

def _layout_impl(ctx):
    directory = ctx.actions.declare_directory(ctx.label.name)
    index = [file for file in ctx.files.srcs if file.basename == "index.json"][0]
    args = ctx.actions.args()
    args.add(index)
    args.add_all([directory], expand_directories = False)
    ctx.actions.run_shell(
        command = "cp -rL \"$(dirname \"$1\")\"/. \"$2\"",
        arguments = [args],
        inputs = ctx.files.srcs,
        outputs = [directory],
    )
    return [DefaultInfo(files = depset([directory]))]

layout = rule(
    implementation = _layout_impl,
    attrs = {"srcs": attr.label_list(allow_files = True)},
)

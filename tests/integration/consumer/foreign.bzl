"""Images as other rulesets declare them."""

def _copied_layout_impl(ctx):
    layout = ctx.actions.declare_directory(ctx.label.name)
    ctx.actions.run_shell(
        inputs = ctx.files.srcs,
        outputs = [layout],
        command = "cp -RL \"$(dirname $1)/.\" $2",
        arguments = [[file for file in ctx.files.srcs if file.basename == "index.json"][0].path, layout.path],
    )
    if ctx.attr.as_output_group:
        return [DefaultInfo(files = depset(ctx.files.srcs[:1])), OutputGroupInfo(oci_layout = depset([layout]))]
    return [DefaultInfo(files = depset([layout]))]

copied_layout = rule(
    doc = "An OCI layout as a tree artifact, as oci_image and oci_pull have it; or in the output group that rules_img has.",
    implementation = _copied_layout_impl,
    attrs = {
        "as_output_group": attr.bool(),
        "srcs": attr.label_list(allow_files = True),
    },
)

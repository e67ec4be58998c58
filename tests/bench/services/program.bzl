"""The programs of the monorepo."""

def _program_impl(ctx):
    executable = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.symlink(output = executable, target_file = ctx.file.binary, is_executable = True)
    return [DefaultInfo(
        executable = executable,
        files = depset([executable]),
        runfiles = ctx.runfiles([executable], transitive_files = depset(transitive = [
            data[DefaultInfo].files
            for data in ctx.attr.data
        ])),
    )]

program = rule(
    doc = "A program that is in the source tree, and its runfiles.",
    implementation = _program_impl,
    attrs = {
        "binary": attr.label(allow_single_file = True, mandatory = True),
        "data": attr.label_list(allow_files = True),
    },
    executable = True,
)

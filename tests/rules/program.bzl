"""A program with runfiles of every kind that Bazel knows."""

def _program_impl(ctx):
    program = ctx.actions.declare_file(ctx.label.name)
    tree = ctx.actions.declare_directory(ctx.label.name + "_tree")
    ctx.actions.write(program, "#!/bin/sh\n", is_executable = True)
    ctx.actions.run_shell(
        outputs = [tree],
        command = "mkdir -p {0}/sub && echo one > {0}/one && echo two > {0}/sub/two".format(tree.path),
    )
    runfiles = ctx.runfiles(
        files = [program, tree] + ctx.files.data,
        symlinks = {"linked/data": ctx.files.data[0], "linked/tree": tree},
        root_symlinks = {"at_root": ctx.files.data[0]},
    )
    return [DefaultInfo(executable = program, runfiles = runfiles)]

program = rule(
    implementation = _program_impl,
    attrs = {"data": attr.label_list(allow_files = True)},
    executable = True,
)

def _tree_impl(ctx):
    tree = ctx.actions.declare_directory(ctx.label.name)
    ctx.actions.run_shell(
        outputs = [tree],
        command = "mkdir -p {0}/deep && echo a > {0}/a && echo b > {0}/deep/b && chmod 600 {0}/a".format(tree.path),
    )
    return [DefaultInfo(files = depset([tree]))]

tree = rule(implementation = _tree_impl)

"""A program that has a directory of an action in its runfiles."""

def _program_impl(ctx):
    program = ctx.actions.declare_file(ctx.label.name)
    tree = ctx.actions.declare_directory(ctx.label.name + "_tree")
    ctx.actions.write(program, "#!/bin/sh\n", is_executable = True)
    ctx.actions.run_shell(outputs = [tree], command = "echo one > $1/one", arguments = [tree.path])
    return [DefaultInfo(
        executable = program,
        files = depset([tree]),
        runfiles = ctx.runfiles(files = [tree]),
    )]

program = rule(implementation = _program_impl, executable = True)

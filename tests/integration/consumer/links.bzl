"""A program whose runfiles hold unresolved symlinks, in the shapes in which other rulesets declare them.

- A virtual environment (rules_python): `<name>.venv/bin/python3` leads to the interpreter by the runfiles tree.
- A virtual environment of the system's interpreter: `<name>.venv/bin/python` is an absolute link.
- node_modules (rules_js, pnpm): `node_modules/foo` and the dependencies of foo are links to directories.
"""

def _below_runfiles(ctx, file):
    if file.short_path.startswith("../"):
        return file.short_path[len("../"):]
    return ctx.workspace_name + "/" + file.short_path

def _linked_impl(ctx):
    links = []
    trees = []

    def link(path, text):
        output = ctx.actions.declare_symlink(path)
        ctx.actions.symlink(output = output, target_path = text)
        links.append(output)
        return output

    def tree(name):
        directory = ctx.actions.declare_directory("node_modules/.pnpm/{0}@1/node_modules/{0}".format(name))
        ctx.actions.run_shell(
            arguments = [directory.path, name],
            command = "cd $1 && mkdir lib && echo $2 > lib/name && ln -s lib/name name && ln -s lib library",
            outputs = [directory],
            progress_message = "Making %{label}",
        )
        trees.append(directory)

    python3 = ctx.actions.declare_symlink(ctx.label.name + ".venv/bin/python3")
    up = "../" * _below_runfiles(ctx, python3).count("/")
    ctx.actions.symlink(output = python3, target_path = up + _below_runfiles(ctx, ctx.executable.interpreter))
    links.append(python3)
    link(ctx.label.name + ".venv/bin/python", "/usr/bin/python3")
    link(ctx.label.name + ".venv/bin/python3.14", "python3")

    tree("foo")
    tree("bar")
    link("node_modules/foo", ".pnpm/foo@1/node_modules/foo")
    link("node_modules/.pnpm/foo@1/node_modules/bar", "../../bar@1/node_modules/bar")
    link("node_modules/optional", ".pnpm/none@1/node_modules/none")
    name = link("name", "node_modules/foo/name")

    program = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.symlink(output = program, target_file = ctx.executable.interpreter, is_executable = True)
    runfiles = ctx.runfiles(
        links + trees + [program],
        root_symlinks = {"root/name": name},
        symlinks = {"../root/python3": python3, "alias/node_modules/foo/name": name},
    )
    runfiles = runfiles.merge(ctx.attr.interpreter[DefaultInfo].default_runfiles)
    return [DefaultInfo(executable = program, runfiles = runfiles), OutputGroupInfo(links = depset(links))]

linked = rule(
    implementation = _linked_impl,
    attrs = {"interpreter": attr.label(cfg = "target", executable = True)},
    executable = True,
)

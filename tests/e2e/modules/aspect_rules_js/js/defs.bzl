"""A stand-in for js_binary of rules_js: a script for bash. The machine has no Node.js."""

def _js_binary_impl(ctx):
    script = ctx.actions.declare_file("{name}_/{name}".format(name = ctx.label.name))
    ctx.actions.write(script, "#!/usr/bin/env bash\nexec node \"$0.runfiles/_main/{}\" \"$@\"\n".format(ctx.file.entry_point.short_path), is_executable = True)
    return [DefaultInfo(executable = script, runfiles = ctx.runfiles([ctx.file.entry_point]))]

js_binary = rule(
    implementation = _js_binary_impl,
    attrs = {"entry_point": attr.label(allow_single_file = True, mandatory = True)},
    executable = True,
)

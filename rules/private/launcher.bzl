"""Python programs of this repository as executables.

A py_binary with a python_version changes the top-level configuration: after `bazel run` of one, `bazel-bin` leads
to another directory, where the paths that its user typed do not exist. These rules change the configuration of
their dependencies only.
"""

load("@rules_python//python:py_info.bzl", "PyInfo")
load(":entries.bzl", "below_runfiles")
load(":packer.bzl", "PYTHON_3_14")

_PYTHON = "@rules_python//python:toolchain_type"
_SITE_PACKAGES = "/site-packages/"

def _for_host_impl(settings, _attr):
    return {"//command_line_option:platforms": str(settings["//command_line_option:host_platform"])}

# For programs that run where `bazel run` is typed, whatever platform the build is for.
for_host = transition(
    implementation = _for_host_impl,
    inputs = ["//command_line_option:host_platform"],
    outputs = ["//command_line_option:platforms"],
)

def runfile(ctx, file):
    """Returns the path of a file relative to the runfiles directory.

    Args:
      ctx: the rule's context.
      file: File.

    Returns:
      str.
    """
    return below_runfiles(file.short_path, ctx.workspace_name)

def write_launcher(ctx, interpreter, main, words):
    """Declares the shell script that runs a Python program from the runfiles.

    The program's arguments are `words`, and those of the script's caller.

    Args:
      ctx: the rule's context; the script has the name of its target.
      interpreter: File in the runfiles, or str, a path on the host.
      main: File in the runfiles, the program.
      words: list of str, or of File in the runfiles.

    Returns:
      File.
    """
    launcher = ctx.actions.declare_file(ctx.label.name)
    of_host = type(interpreter) == "string"
    ctx.actions.write(launcher, _LAUNCHER.format(
        interpreter = _quoted(interpreter) if of_host else "$runfiles/" + _quoted(runfile(ctx, interpreter)),
        main = _quoted(runfile(ctx, main)),
        words = " ".join(["\"{}\"".format(_word(ctx, word)) for word in words]),
    ), is_executable = True)
    return launcher

# The runfiles are beside the script, around it, where the caller has them, or beside what it links to.
_LAUNCHER = """\
#!/bin/sh
for runfiles in "$0.runfiles" "${{0%.runfiles/*}}.runfiles" "${{RUNFILES_DIR:-}}" "$(readlink -f "$0" 2>/dev/null).runfiles"; do
  if [ -f "$runfiles/{main}" ]; then
    exec "{interpreter}" -S -E -s -B -X utf8 "$runfiles/{main}" {words} "$@"
  fi
done
echo "$0: its runfiles are not there; use bazel run, or copy them along (cp -rL)" >&2
exit 1
"""

def _word(ctx, word):
    return _quoted(word) if type(word) == "string" else "$runfiles/" + _quoted(runfile(ctx, word))

def _quoted(text):
    """Escapes text for the shell's double quotes."""
    for character in ["\\", "\"", "`", "$"]:
        text = text.replace(character, "\\" + character)
    return text

def _python_command_impl(ctx):
    runtime = ctx.toolchains[_PYTHON].py3_runtime
    interpreter = runtime.interpreter or runtime.interpreter_path
    sources = depset(transitive = [dep[PyInfo].transitive_sources for dep in ctx.attr.deps])
    files = [ctx.file._launch] + ([runtime.interpreter] if runtime.interpreter else [])
    runfiles = ctx.runfiles(files, transitive_files = depset(
        transitive = [sources] + ([runtime.files] if runtime.files else []),
    )).merge_all([dep[DefaultInfo].default_runfiles for dep in ctx.attr.deps])

    # What PyPI has, too, where rules_python leaves it to a virtual environment (--venvs_site_packages=yes).
    packages = {
        path.partition(_SITE_PACKAGES)[0] + _SITE_PACKAGES.rstrip("/"): None
        for path in [runfile(ctx, file) for file in sources.to_list()]
        if _SITE_PACKAGES in path
    }
    imports = depset(transitive = [dep[PyInfo].imports for dep in ctx.attr.deps]).to_list()
    imports = {path: None for path in imports} | packages
    launcher = write_launcher(ctx, interpreter, ctx.file._launch, [ctx.attr.package, ":".join(imports.keys())])
    return DefaultInfo(executable = launcher, runfiles = runfiles)

python_command = rule(
    doc = """A Python module of this repository as an executable for actions.

It runs with Python 3.14 in isolation: without site-packages of the interpreter and without PYTHON* variables.""",
    implementation = _python_command_impl,
    attrs = {
        "deps": attr.label_list(doc = "The libraries that have the package and what it imports.", providers = [PyInfo]),
        "package": attr.string(doc = "The Python package of the program.", mandatory = True),
        "_launch": attr.label(allow_single_file = True, default = "//tools:launch.py"),
    },
    cfg = PYTHON_3_14,
    executable = True,
    toolchains = [_PYTHON],
)

def _host_command_impl(ctx):
    program = ctx.attr.command[0][DefaultInfo]
    launcher = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.symlink(output = launcher, target_file = program.files_to_run.executable, is_executable = True)
    return DefaultInfo(executable = launcher, runfiles = program.default_runfiles)

host_command = rule(
    doc = "A python_command for users: `bazel run` of it leaves `bazel-bin` as it is.",
    implementation = _host_command_impl,
    attrs = {
        "command": attr.label(
            cfg = for_host,
            executable = True,
            mandatory = True,
        ),
    },
    executable = True,
)

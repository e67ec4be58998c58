"""Python programs of this repository as executables.

A py_binary with a python_version changes the top-level configuration: after `bazel run`, `bazel-bin` is a link to another
directory, which does not have the paths that the user typed. These rules change the configuration of their dependencies
only.
"""

load("@rules_python//python:py_info.bzl", "PyInfo")
load(":entries.bzl", "runfiles_path")
load(":python_tool.bzl", "PYTHON_3_14", "PYTHON_PROGRAM_ATTRS", "PYTHON_TOOLCHAIN_TYPE")

visibility(["//rules/...", "//tests/...", "//tools/..."])

_SITE_PACKAGES = "/site-packages/"

def _for_host_impl(settings, _attr):
    return {"//command_line_option:platforms": str(settings["//command_line_option:host_platform"])}

# For programs that run on the machine where the user types `bazel run`, whatever platform the build is for.
for_host = transition(
    implementation = _for_host_impl,
    inputs = ["//command_line_option:host_platform"],
    outputs = ["//command_line_option:platforms"],
)

def find_runfile(ctx, file):
    """Returns the path of a file relative to the runfiles directory.

    Args:
      ctx: the context of a rule.
      file: File.

    Returns:
      str.
    """
    return runfiles_path(file.short_path, ctx.workspace_name)

def write_launcher(ctx, interpreter, main, arguments, environment = {}):
    """Declares the shell script that runs a Python program from the runfiles.

    The program gets `arguments`, and the arguments of the script.

    Args:
      ctx: the context of a rule; the script has the name of its target.
      interpreter: File in the runfiles, or str, a path on the host.
      main: File in the runfiles, the program.
      arguments: list of str, or of File in the runfiles, whose absolute path the program gets.
      environment: dict of str to File in the runfiles: variables that have the absolute path of the file, unless they are set.

    Returns:
      File: the script.
    """
    launcher = ctx.actions.declare_file(ctx.label.name)
    is_host_path = type(interpreter) == "string"
    ctx.actions.write(launcher, _LAUNCHER.format(
        interpreter = _escape(interpreter) if is_host_path else "$runfiles/" + _escape(find_runfile(ctx, interpreter)),
        main = _escape(find_runfile(ctx, main)),
        arguments = " ".join(["\"{}\"".format(_format_argument(ctx, argument)) for argument in arguments]),
        environment = "".join([
            "    export {name}=\"${{{name}:-{path}}}\"\n".format(name = name, path = _format_argument(ctx, file))
            for name, file in environment.items()
        ]),
    ), is_executable = True)
    return launcher

# The runfiles are beside the script, around it, where RUNFILES_DIR points, or beside the file that the script links to.
_LAUNCHER = """\
#!/bin/sh
for runfiles in "$0.runfiles" "${{0%.runfiles/*}}.runfiles" "${{RUNFILES_DIR:-}}" "$(readlink -f "$0" 2>/dev/null).runfiles"; do
  if [ -f "$runfiles/{main}" ]; then
{environment}    exec "{interpreter}" -S -E -s -B -X utf8 "$runfiles/{main}" {arguments} "$@"
  fi
done
echo "$0: its runfiles are missing; use bazel run without --noenable_runfiles, or copy them along (cp -rL)" >&2
exit 127
"""

def _format_argument(ctx, argument):
    return _escape(argument) if type(argument) == "string" else "$runfiles/" + _escape(find_runfile(ctx, argument))

def _escape(text):
    """Escapes text for double quotes of the shell."""
    for character in ["\\", "\"", "`", "$"]:
        text = text.replace(character, "\\" + character)
    return text

def _python_command_impl(ctx):
    runtime = ctx.toolchains[PYTHON_TOOLCHAIN_TYPE].py3_runtime
    interpreter = runtime.interpreter or runtime.interpreter_path
    sources = depset(transitive = [dep[PyInfo].transitive_sources for dep in ctx.attr.deps])
    files = [ctx.file._launch] + ([runtime.interpreter] if runtime.interpreter else [])
    environment = {ctx.attr.gzip_library_variable: file for file in ctx.files.gzip_library}
    runfiles = ctx.runfiles(files + ctx.files.gzip_library, transitive_files = depset(
        transitive = [sources] + ([runtime.files] if runtime.files else []),
    )).merge_all([dep[DefaultInfo].default_runfiles for dep in ctx.attr.deps])

    # With --venvs_site_packages=yes, rules_python leaves packages of PyPI to a virtual environment and does not list them in
    # PyInfo.imports.
    packages = {
        path.partition(_SITE_PACKAGES)[0] + _SITE_PACKAGES.rstrip("/"): None
        for path in [find_runfile(ctx, file) for file in sources.to_list()]
        if _SITE_PACKAGES in path
    }
    imports = depset(transitive = [dep[PyInfo].imports for dep in ctx.attr.deps]).to_list()
    imports = {path: None for path in imports} | packages
    arguments = [ctx.attr.package, ":".join(imports.keys())]
    launcher = write_launcher(ctx, interpreter, ctx.file._launch, arguments, environment)
    return DefaultInfo(executable = launcher, runfiles = runfiles)

python_command = rule(
    doc = """A Python program of this repository as an executable for actions.

It runs with Python 3.14, isolated from the site-packages of the interpreter and from `PYTHON*` variables.""",
    implementation = _python_command_impl,
    attrs = PYTHON_PROGRAM_ATTRS | {
        "gzip_library": attr.label(
            doc = "A gzip_library, for a program that compresses layers.",
        ),
        "gzip_library_variable": attr.string(
            doc = "The environment variable with the path of the library; it is not set if the library is zlib.",
        ),
    },
    cfg = PYTHON_3_14,
    executable = True,
    toolchains = [PYTHON_TOOLCHAIN_TYPE],
)

def _host_command_impl(ctx):
    program = ctx.attr.command[0][DefaultInfo]
    launcher = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.symlink(output = launcher, target_file = program.files_to_run.executable, is_executable = True)
    return DefaultInfo(executable = launcher, runfiles = program.default_runfiles)

host_command = rule(
    doc = "A python_command for users. `bazel run` does not change where `bazel-bin` leads.",
    implementation = _host_command_impl,
    attrs = {
        "command": attr.label(
            doc = "The python_command.",
            cfg = for_host,
            executable = True,
            mandatory = True,
        ),
    },
    executable = True,
)

"""Programs as virtual environments: --@rules_python//python/config_settings:bootstrap_impl=script.

This is the default of rules_python on Linux with Bazel 8 and later. The interpreter of the environment is an unresolved
symbolic link to the interpreter of the toolchain: relative if that is an artifact, absolute if it is a path of the host.
"""

load(":builtin.bzl", "BuiltinPyInfo")

_LAUNCHER = """\
#!/bin/sh
for runfiles in "$0.runfiles" "${{0%.runfiles/*}}.runfiles" "${{RUNFILES_DIR:-}}"; do
  if [ -e "$runfiles/{bootstrap}" ]; then
    exec "$runfiles/{python}" "$runfiles/{bootstrap}" "$@"
  fi
done
echo "$0: no runfiles found" >&2
exit 1
"""

_BOOTSTRAP = """\
import os
import runpy
import sys

runfiles = os.path.abspath(__file__)
for _ in range({depth}):
    runfiles = os.path.dirname(runfiles)
sys.path[0] = os.path.dirname(os.path.join(runfiles, {main}))
sys.path[1:1] = [os.path.join(runfiles, path) for path in {imports}]
os.environ["RUNFILES_DIR"] = runfiles
sys.argv[0] = os.path.join(runfiles, {main})
runpy.run_path(sys.argv[0], run_name="__main__")
"""

def venv(ctx, program, main, runtime):
    """Declares the files of a program as a virtual environment.

    Args:
      ctx: the rule's context; the launcher has the name of its target.
      program: Target of Bazel's own rule.
      main: File, the program that it runs.
      runtime: PyRuntimeInfo.

    Returns:
      struct of executable (File) and files (list of File, to be runfiles).
    """
    name = ctx.label.name
    python = ctx.actions.declare_symlink("_{}.venv/bin/python3".format(name))
    config = ctx.actions.declare_file("_{}.venv/pyvenv.cfg".format(name))
    bootstrap = ctx.actions.declare_file("_{}_stage2_bootstrap.py".format(name))
    executable = ctx.actions.declare_file(name)
    place = _runfile(ctx, python)
    target = runtime.interpreter_path
    if runtime.interpreter:
        target = "../" * place.count("/") + _runfile(ctx, runtime.interpreter)
    ctx.actions.symlink(output = python, target_path = target)

    # Python only needs the file to exist. Its content would be absolute paths.
    ctx.actions.write(config, "")
    ctx.actions.write(bootstrap, _BOOTSTRAP.format(
        depth = _runfile(ctx, bootstrap).count("/") + 1,
        imports = json.encode(["", ctx.workspace_name] + program[BuiltinPyInfo].imports.to_list()),
        main = json.encode(_runfile(ctx, main)),
    ))
    ctx.actions.write(
        executable,
        _LAUNCHER.format(bootstrap = _runfile(ctx, bootstrap), python = place),
        is_executable = True,
    )
    files = [python, config, bootstrap, main] + ([runtime.interpreter] if runtime.interpreter else [])
    return struct(executable = executable, files = files)

def _runfile(ctx, file):
    return file.short_path[len("../"):] if file.short_path.startswith("../") else ctx.workspace_name + "/" + file.short_path

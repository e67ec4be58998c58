"""Python tools of this repository that actions run with the interpreter alone.

An action runs the interpreter of a Python toolchain directly: there is no launcher script, no virtual environment and no
site-packages directory.
"""

load("@rules_python//python:py_info.bzl", "PyInfo")

visibility(["//rules/...", "//tests/...", "//tools/..."])

PythonToolInfo = provider(
    doc = "A Python program and the interpreter that runs it.",
    fields = {
        "arguments": "Args: the words between the interpreter and the arguments of the program; the same for all actions.",
        "files": "depset of File: the program, the modules that it imports, and the interpreter if Bazel provides it.",
        "interpreter": "File, or str: a Python 3.14 interpreter; a str is a path on the execution host.",
        "launch": "File: tools/launch.py, which starts the program.",
        "package": "str: the Python package of the program.",
    },
)

# The interpreter's zlib determines the bytes of a gzip layer, so the version is
# pinned here, whatever version the targets of the root module use.
def _python_3_14_impl(_settings, _attr):
    return {"@rules_python//python/config_settings:python_version": "3.14"}

PYTHON_3_14 = transition(
    implementation = _python_3_14_impl,
    inputs = [],
    outputs = ["@rules_python//python/config_settings:python_version"],
)

PYTHON_TOOLCHAIN_TYPE = "@rules_python//python:toolchain_type"

# The attributes of rules that run a Python program of this repository.
PYTHON_PROGRAM_ATTRS = {
    "deps": attr.label_list(
        doc = "The libraries that the program imports.",
        providers = [PyInfo],
    ),
    "package": attr.string(
        doc = "The Python package of the program; its module `__main__` has `main()`.",
        mandatory = True,
    ),
    "_launch": attr.label(
        allow_single_file = True,
        default = "//tools:launch.py",
    ),
}

def _python_tool_impl(ctx):
    runtime = ctx.toolchains[PYTHON_TOOLCHAIN_TYPE].py3_runtime
    files = [dep[PyInfo].transitive_sources for dep in ctx.attr.deps]
    if runtime.files:
        files.append(runtime.files)

    # -S, -E and -s: no site-packages, `PYTHON*` variables and user site. -B: no `.pyc` files. -X utf8: in every locale.
    arguments = ctx.actions.args()
    arguments.add_all(["-S", "-E", "-s", "-B", "-X", "utf8", ctx.file._launch, ctx.attr.package, ""])
    return PythonToolInfo(
        arguments = arguments,
        files = depset([ctx.file._launch], transitive = files),
        interpreter = runtime.interpreter or runtime.interpreter_path,
        launch = ctx.file._launch,
        package = ctx.attr.package,
    )

python_tool = rule(
    doc = "A Python program of this repository that actions run with the interpreter alone.",
    implementation = _python_tool_impl,
    attrs = PYTHON_PROGRAM_ATTRS,
    cfg = PYTHON_3_14,
    toolchains = [PYTHON_TOOLCHAIN_TYPE],
)

# For actions whose command line and outputs do not depend on the name of the configuration.
PATH_MAPPING = {"supports-path-mapping": "1"}

def run_python_tool(
        ctx,
        tool,
        arguments,
        outputs,
        inputs,
        mnemonic,
        progress_message,
        tools = [],
        execution_requirements = PATH_MAPPING,
        resource_set = None):
    """Declares an action that runs a Python tool.

    The interpreter is isolated: it ignores site-packages, the user's site directory and `PYTHON*` variables, writes no
    `.pyc` files, and uses UTF-8 in every locale.

    Args:
      ctx: the context of a rule.
      tool: PythonToolInfo.
      arguments: list of Args and str: the arguments of the tool.
      outputs: list of File.
      inputs: list or depset of File.
      mnemonic: str, the action's mnemonic.
      progress_message: str, the line that Bazel shows while the action runs.
      tools: list of File: further files that the tool needs.
      execution_requirements: dict of str to str.
      resource_set: function that estimates the action's resources; None for Bazel's default.
    """
    ctx.actions.run(
        executable = tool.interpreter,
        arguments = [tool.arguments] + arguments,
        inputs = inputs,
        tools = [tool.files] + tools,
        outputs = outputs,
        mnemonic = mnemonic,
        progress_message = progress_message,
        execution_requirements = execution_requirements,
        resource_set = resource_set,
        env = {},
        use_default_shell_env = False,
        toolchain = None,
    )

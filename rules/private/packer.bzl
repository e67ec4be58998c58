"""The packer as Bazel sees it: the one place that runs tools/packer."""

load("@rules_python//python:py_info.bzl", "PyInfo")
load(":messages.bzl", "label_text")
load(":threads.bzl", "RESOURCE_SETS")

PackerInfo = provider(
    doc = "How to run the packer.",
    fields = {
        "files": "depset of File: the packer and the interpreter, where that is built or fetched.",
        "interpreter": "File, or string for an interpreter of the host: Python 3.14.",
        "main": "File: tools/launch.py, which runs the program.",
        "package": "str: the Python package of the program.",
    },
)

# The interpreter's version has a part in the layer's bytes (its zlib), so it is
# ours to say, whatever version the root module's targets use.
def _python_3_14_impl(_settings, _attr):
    return {"@rules_python//python/config_settings:python_version": "3.14"}

PYTHON_3_14 = transition(
    implementation = _python_3_14_impl,
    inputs = [],
    outputs = ["@rules_python//python/config_settings:python_version"],
)

_PYTHON = "@rules_python//python:toolchain_type"

def _packer_impl(ctx):
    runtime = ctx.toolchains[_PYTHON].py3_runtime
    files = [dep[PyInfo].transitive_sources for dep in ctx.attr.deps]
    if runtime.files:
        files.append(runtime.files)
    return PackerInfo(
        files = depset([ctx.file._launch], transitive = files),
        interpreter = runtime.interpreter or runtime.interpreter_path,
        main = ctx.file._launch,
        package = ctx.attr.package,
    )

packer = rule(
    doc = "A Python program of this repository, run by the interpreter alone: no launcher, no site-packages.",
    implementation = _packer_impl,
    attrs = {
        "deps": attr.label_list(providers = [PyInfo]),
        "package": attr.string(mandatory = True),
        "_launch": attr.label(allow_single_file = True, default = "//tools:launch.py"),
    },
    cfg = PYTHON_3_14,
    toolchains = [_PYTHON],
)

def _tool(label):
    return attr.label(cfg = "exec", default = label, providers = [PackerInfo])

# A tool per task, so that a change to one leaves the results of the others in the cache.
PACKER_ATTRS = {
    "_check": _tool("//tools/rules_setcap/validation:tool"),
    "_copy": _tool("//tools/rules_setcap/packer:copy_tool"),
    "_destination": _tool("//tools/rules_setcap/delivery:destination_tool"),
    "_oci": _tool("//tools/rules_setcap/oci:tool"),
    "_packer": _tool("//tools/rules_setcap/packer:tool"),
}

_WORKER = {
    "requires-worker-protocol": "json",
    "supports-worker-cancellation": "1",
    "supports-workers": "1",
}

def packer_request(ctx, subcommand):
    """What an action asks of the packer; the caller adds to it.

    It is a file, so that one persistent worker serves all actions.

    Args:
      ctx: the context of a rule with PACKER_ATTRS.
      subcommand: layer, image or layout.

    Returns:
      Args, a line each.
    """
    request = ctx.actions.args()
    request.use_param_file("@%s", use_always = True)
    request.set_param_file_format("multiline")
    request.add(subcommand)
    request.add(label_text(ctx.label), format = "--target=%s")
    return request

def isolated(ctx, tool):
    """How the interpreter starts a program: no site-packages, no PYTHON* variables, no user site, no .pyc files; UTF-8 whatever the locale.

    Args:
      ctx: a rule's context.
      tool: PackerInfo.

    Returns:
      Args, the first of an action.
    """
    start = ctx.actions.args()
    start.add_all(["-S", "-E", "-s", "-B", "-X", "utf8", tool.main, tool.package, ""])
    return start

# Requirements of an action that is the same whatever the configuration is called: all but those that make links.
PATH_MAPPING = {"supports-path-mapping": "1"}

def run_packer(ctx, request, tool, outputs, mnemonic, progress_message, problems = [], inputs = [], transitive_inputs = [], tools = [], threads = 0, execution_requirements = PATH_MAPPING):
    """Declares an action that runs the packer, by itself or in a persistent worker.

    Args:
      ctx: the context of a rule with PACKER_ATTRS.
      request: Args from packer_request().
      tool: str, the attribute of PACKER_ATTRS that has the subcommand.
      outputs: list of File.
      mnemonic: the action's mnemonic.
      progress_message: what Bazel says meanwhile.
      problems: list of str, from problem(), or a File with them: if there are any, the action reports them and fails.
      inputs: list of File.
      transitive_inputs: list of depset of File.
      tools: list of File, what the packer itself needs more.
      threads: int, how many threads compress, from thread_count(); 0 if the action does not compress.
      execution_requirements: dict of the action's execution requirements, in place of PATH_MAPPING and beside those of workers.
    """
    info = getattr(ctx.attr, tool)[PackerInfo]
    if type(problems) == "File":
        request.add(problems, format = "--problems=%s")
        inputs = inputs + [problems]
    else:
        request.add_all(problems, format_each = "--problem=%s")

    if threads:
        request.add(threads, format = "--threads=%s")
    ctx.actions.run(
        executable = info.interpreter,
        arguments = [isolated(ctx, info), request],
        inputs = depset(inputs, transitive = transitive_inputs),
        tools = [info.files] + tools,
        outputs = outputs,
        mnemonic = mnemonic,
        progress_message = progress_message,
        execution_requirements = _WORKER | execution_requirements,
        resource_set = RESOURCE_SETS.get(threads),
        env = {},
        use_default_shell_env = False,
        toolchain = None,
    )

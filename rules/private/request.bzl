"""Requests: the parameter files of the actions that pack layers and assemble images.

Each line of a request is a flag or an entry of a layer. It is a file even if it is short, so that one persistent worker
can serve all actions.

Every action follows the same steps: `start_request()`, its own flags, `run_request()`. Flags that are text are added as one list,
because every call takes time in each analysis. Text of the user is JSON, because it may have line breaks.
"""

load(":messages.bzl", "format_label")
load(":python_tool.bzl", "PATH_MAPPING", "PythonToolInfo", "run_python_tool")
load(":threads.bzl", "RESOURCE_SETS")

visibility(["//rules/...", "//tests/...", "//tools/..."])

# One tool for each task, so that a change to one of them leaves the results of the others cached.
_TOOLS = {
    name: attr.label(cfg = "exec", default = label, providers = [PythonToolInfo])
    for name, label in {
        "copy": "//tools/rules_setcap/packer:copy_tool",
        "destination": "//tools/rules_setcap/delivery:destination_tool",
        "oci": "//tools/rules_setcap/oci:tool",
        "packer": "//tools/rules_setcap/packer:tool",
        "validation": "//tools/rules_setcap/validation:tool",
    }.items()
}

_WORKER = {
    "requires-worker-protocol": "json",
    "supports-worker-cancellation": "1",
    "supports-workers": "1",
}

_MAPPED_WORKER = _WORKER | PATH_MAPPING

# An OCI layout's blobs are links to outputs on this machine, which no other machine can follow.
LOCAL_LINKS = _WORKER | {
    "no-cache": "1",
    "no-remote": "1",
}

def tool_attrs(*names):
    """Returns the attributes of a rule that declares requests.

    A rule names only the tools that it uses, because Bazel analyses the dependencies of each target.

    Args:
      *names: str, the tools: "copy", "destination", "oci", "packer" or "validation".

    Returns:
      dict of attributes.
    """
    return {"_" + name + "_tool": _TOOLS[name] for name in names}

def start_request(ctx, subcommand):
    """Creates a request.

    Args:
      ctx: the context of a rule with tool_attrs().
      subcommand: str, the name of a module in the `commands` of a tool.

    Returns:
      Args, to which the caller adds flags and entries.
    """
    request = ctx.actions.args()
    request.use_param_file("@%s", use_always = True)
    request.set_param_file_format("multiline")
    request.add_all([subcommand, "--target=" + format_label(ctx.label)])
    return request

def add_label(request, attribute, label, file):
    """Adds the label of a file, which messages show in place of the file's path.

    Args:
      request: Args from start_request().
      attribute: str, the attribute that names the file.
      label: Label.
      file: File.
    """
    prefix = json.encode([attribute, format_label(label)]).replace("%", "%%")
    request.add_all([file], format_each = "--named=" + prefix + "=%s", expand_directories = False)

def add_attribute_file(request, attribute, label, file):
    """Adds the file of an attribute as the flag of the same name, and its label.

    Args:
      request: Args from start_request().
      attribute: str, the attribute, for instance "labels_file".
      label: Label.
      file: File.
    """
    request.add(file, format = "--" + attribute.replace("_", "-") + "=%s")
    add_label(request, attribute, label, file)

def run_request(
        ctx,
        tool,
        request,
        outputs,
        mnemonic,
        progress_message,
        problems = [],
        problems_file = None,
        inputs = [],
        transitive_inputs = [],
        tools = [],
        threads = 0,
        execution_requirements = _MAPPED_WORKER):
    """Declares the action of a request, which may run in a persistent worker.

    Args:
      ctx: the context of a rule with tool_attrs().
      tool: Target, the tool that has the subcommand: an attribute of tool_attrs().
      request: Args from start_request().
      outputs: list of File.
      mnemonic: str, the action's mnemonic.
      progress_message: str, the line that Bazel shows while the action runs.
      problems: list of str from format_problem(). If there are any, the action reports them together with those that it
        finds itself, and fails.
      problems_file: File, such a list as JSON, from another action of the target; None if there is none.
      inputs: list of File.
      transitive_inputs: list of depset of File.
      tools: list of File: further files that the tool needs.
      threads: int, the number of threads that compress, from thread_count(); 0 if the action does not compress.
      execution_requirements: dict of str to str: LOCAL_LINKS, or by default those of an action that can run anywhere.
    """
    if problems_file:
        request.add(problems_file, format = "--problems=%s")
        inputs = inputs + [problems_file]
    if problems:
        request.add_all(problems, format_each = "--problem=%s")
    if threads:
        request.add(threads, format = "--threads=%s")
    run_python_tool(
        ctx,
        tool[PythonToolInfo],
        [request],
        outputs = outputs,
        inputs = depset(inputs, transitive = transitive_inputs) if transitive_inputs else inputs,
        mnemonic = mnemonic,
        progress_message = progress_message,
        tools = tools,
        execution_requirements = execution_requirements,
        resource_set = RESOURCE_SETS.get(threads),
    )

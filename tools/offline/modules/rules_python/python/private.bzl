"""Targets with a Python version, and targets that are virtual environments.

Bazel's own rule makes the program. A rule with a transition makes the target that users name, so `python_version` changes the
configuration of the whole target.
"""

load("@bazel_skylib//rules:common_settings.bzl", "BuildSettingInfo")
load(":builtin.bzl", "BuiltinPyInfo")
load(":venv.bzl", "venv")

_VERSION = "//python/config_settings:python_version"

def _version_impl(settings, attr):
    return {_VERSION: attr.python_version or settings[_VERSION]}

_version = transition(
    implementation = _version_impl,
    inputs = [_VERSION],
    outputs = [_VERSION],
)

def _versioned_impl(ctx):
    program = ctx.attr.program
    runtime = ctx.toolchains[_PYTHON].py3_runtime
    if ctx.attr._bootstrap_impl[BuildSettingInfo].value == "script":
        made = venv(ctx, program, ctx.file.main, runtime)
        executable = made.executable
        runfiles = ctx.runfiles(made.files, transitive_files = runtime.files)
    else:
        executable = ctx.actions.declare_file(ctx.label.name)
        ctx.actions.symlink(output = executable, target_file = program[DefaultInfo].files_to_run.executable, is_executable = True)
        runfiles = ctx.runfiles()
    runfiles = runfiles.merge_all([ctx.runfiles([executable]), program[DefaultInfo].default_runfiles])
    providers = [
        DefaultInfo(executable = executable, files = depset([executable], transitive = [program[DefaultInfo].files]), runfiles = runfiles),
        program[BuiltinPyInfo],
    ]
    return providers + ([program[RunEnvironmentInfo]] if RunEnvironmentInfo in program else [])

_ATTRS = {
    # Bazel expands $(location) in `args` with these labels.
    "data": attr.label_list(allow_files = True),
    "main": attr.label(allow_single_file = True, mandatory = True),
    "program": attr.label(executable = True, mandatory = True, cfg = "target"),
    "python_version": attr.string(),
    "srcs": attr.label_list(allow_files = True),
    "_bootstrap_impl": attr.label(default = "//python/config_settings:bootstrap_impl"),
}
_PYTHON = "//python:toolchain_type"

_versioned_binary = rule(implementation = _versioned_impl, attrs = _ATTRS, cfg = _version, executable = True, toolchains = [_PYTHON])
_versioned_test = rule(implementation = _versioned_impl, attrs = _ATTRS, cfg = _version, test = True, toolchains = [_PYTHON])

# Attributes that belong to the target that users name, and not to its program.
_COMMON = ["args", "compatible_with", "deprecation", "exec_properties", "tags", "target_compatible_with", "testonly", "visibility"]
_TEST = ["flaky", "local", "shard_count", "size", "timeout"]

def versioned(native_rule, test, name, python_version, kwargs):
    """Declares a target of Bazel's own rule for one Python version.

    Args:
      native_rule: py_binary or py_test of Bazel.
      test: whether the rule is py_test.
      name: the target's name.
      python_version: the version of the target; None for the default version.
      kwargs: the target's other attributes.
    """
    if python_version not in (None, "3.14", "PY3"):
        fail("//{}:{}: python_version: \"{}\": the private root has only Python 3.14".format(native.package_name(), name, python_version))
    main = kwargs.pop("main", name + ".py")
    own = {key: kwargs.pop(key) for key in _COMMON + _TEST if key in kwargs}
    (_versioned_test if test else _versioned_binary)(
        name = name,
        data = kwargs.get("data", []) + kwargs.get("deps", []),
        main = main,
        program = "_" + name,
        python_version = python_version if python_version == "3.14" else "",
        srcs = kwargs.get("srcs", []),
        **own
    )
    native_rule(
        name = "_" + name,
        main = main,
        tags = ["manual"],
        testonly = own.get("testonly", test),
        visibility = ["//visibility:private"],
        **kwargs
    )

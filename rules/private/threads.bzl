"""The number of threads that compress a layer, and the number of cores that Bazel reserves for them."""

visibility(["//rules/...", "//tests/...", "//tools/..."])

ThreadsInfo = provider(
    doc = "The value of the build setting threads.",
    fields = {"count": "int: the number of threads that compress a layer."},
)

# Bazel accepts only a top-level function as a resource_set, so there is one for each value.
def _cpu_1(_os, _inputs):
    return {"cpu": 1}

def _cpu_2(_os, _inputs):
    return {"cpu": 2}

def _cpu_4(_os, _inputs):
    return {"cpu": 4}

def _cpu_8(_os, _inputs):
    return {"cpu": 8}

def _cpu_16(_os, _inputs):
    return {"cpu": 16}

def _cpu_32(_os, _inputs):
    return {"cpu": 32}

RESOURCE_SETS = {1: _cpu_1, 2: _cpu_2, 4: _cpu_4, 8: _cpu_8, 16: _cpu_16, 32: _cpu_32}

def _threads_impl(ctx):
    if ctx.build_setting_value not in RESOURCE_SETS:
        fail("--@rules_setcap//rules:threads: {}: not a valid number of threads; write 1, 2, 4, 8, 16 or 32".format(ctx.build_setting_value))
    return ThreadsInfo(count = ctx.build_setting_value)

threads = rule(
    doc = "A build setting: the number of threads that compress a layer. The bytes of the layer do not depend on it.",
    implementation = _threads_impl,
    build_setting = config.int(flag = True),
)

THREADS_ATTRS = {
    "_threads": attr.label(
        default = "//rules:threads",
        providers = [ThreadsInfo],
    ),
}

def thread_count(ctx):
    """Returns the number of threads that compress the layer of a target.

    Args:
      ctx: the context of a rule with THREADS_ATTRS and an attribute compression.

    Returns:
      int.
    """
    return 1 if ctx.attr.compression == "none" else ctx.attr._threads[ThreadsInfo].count

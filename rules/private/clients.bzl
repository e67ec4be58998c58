"""Toolchains: the programs that push images to registries and load them into container engines."""

load("//rules:providers.bzl", "ClientInfo")
load(":messages.bzl", "format_label")

visibility(["//rules/...", "//tests/...", "//tools/..."])

REGISTRY_CLIENT = "//rules:registry_client_toolchain_type"
CONTAINER_ENGINE = "//rules:container_engine_toolchain_type"

def _client_impl(ctx):
    program = ctx.executable.program
    if program and not ctx.attr.kind:
        fail("{}: kind: must be set; write which program {} is".format(format_label(ctx.label), format_label(ctx.attr.program.label)))
    runfiles = ctx.runfiles([program] if program else [])
    if program:
        runfiles = runfiles.merge(ctx.attr.program[DefaultInfo].default_runfiles)
    info = ClientInfo(kind = ctx.attr.kind, program = program)
    default = DefaultInfo(runfiles = runfiles)
    return [default, info, platform_common.ToolchainInfo(client = info, default = default)]

def _client_attrs(kinds):
    return {
        "kind": attr.string(
            doc = "Which program it is. The command line depends on it. If `program` is not set, only this program is searched on `PATH`.",
            values = [""] + kinds,
        ),
        "program": attr.label(
            doc = "The program, which Bazel builds or fetches. The default is the first of these that is on `PATH`: {}.".format(", ".join(["`" + kind + "`" for kind in kinds])),
            allow_files = True,
            cfg = "target",
            executable = True,
        ),
    }

registry_client = rule(
    doc = "A registry client, for a toolchain of type `//rules:registry_client_toolchain_type`.",
    implementation = _client_impl,
    attrs = _client_attrs(["crane", "skopeo"]),
    provides = [ClientInfo],
)

container_engine = rule(
    doc = "The command-line client of a container engine, for a toolchain of type `//rules:container_engine_toolchain_type`.",
    implementation = _client_impl,
    attrs = _client_attrs(["docker", "podman", "nerdctl"]),
    provides = [ClientInfo],
)

# Bazel resolves a toolchain in the configuration of the rule that requires it. These rules are in the configuration of the
# host, because the attribute _client of image_push and image_load has the transition for_host.
def _resolve_toolchain(toolchain_type):
    def implementation(ctx):
        toolchain = ctx.toolchains[toolchain_type]
        return [toolchain.default, toolchain.client]

    return implementation

current_registry_client = rule(
    doc = "The resolved toolchain for registries, as a target.",
    implementation = _resolve_toolchain(REGISTRY_CLIENT),
    toolchains = [REGISTRY_CLIENT],
    provides = [ClientInfo],
)

current_container_engine = rule(
    doc = "The resolved toolchain for container engines, as a target.",
    implementation = _resolve_toolchain(CONTAINER_ENGINE),
    toolchains = [CONTAINER_ENGINE],
    provides = [ClientInfo],
)

"""The programs that take images to registries and container engines, as toolchains."""

load("//rules:providers.bzl", "ClientInfo")

REGISTRY_CLIENT = "//rules:registry_client_toolchain_type"
CONTAINER_ENGINE = "//rules:container_engine_toolchain_type"

def _client_impl(ctx):
    program = ctx.executable.program
    info = ClientInfo(kind = ctx.attr.kind if program else "", program = program)
    runfiles = ctx.runfiles([program] if program else [])
    if program:
        runfiles = runfiles.merge(ctx.attr.program[DefaultInfo].default_runfiles)
    return [
        DefaultInfo(runfiles = runfiles),
        info,
        platform_common.ToolchainInfo(client = info, default = DefaultInfo(runfiles = runfiles)),
    ]

def _client_attrs(kinds, what):
    return {
        "kind": attr.string(
            doc = "What the program is; how it is called depends on it.",
            default = kinds[0],
            values = kinds,
        ),
        "program": attr.label(
            doc = "The program, built or fetched; by default {} on `PATH`.".format(what),
            allow_files = True,
            cfg = "target",
            executable = True,
        ),
    }

registry_client = rule(
    doc = "A client of registries, as a toolchain of type `//rules:registry_client_toolchain_type`.",
    implementation = _client_impl,
    attrs = _client_attrs(["crane", "skopeo"], "`crane`, else `skopeo`,"),
    provides = [ClientInfo],
)

container_engine = rule(
    doc = "A container engine's client, as a toolchain of type `//rules:container_engine_toolchain_type`.",
    implementation = _client_impl,
    attrs = _client_attrs(["docker", "podman", "nerdctl"], "`docker`, else `podman`, else `nerdctl`,"),
    provides = [ClientInfo],
)

# A toolchain belongs to the configuration of the rule that asks for it. These ask in that
# of the host, where an attribute of image_push and image_load takes them (delivery.bzl).
def _current_impl(toolchain_type):
    def implementation(ctx):
        toolchain = ctx.toolchains[toolchain_type]
        return [toolchain.default, toolchain.client]

    return implementation

current_registry_client = rule(
    doc = "The toolchain for registries, as a target.",
    implementation = _current_impl(REGISTRY_CLIENT),
    toolchains = [REGISTRY_CLIENT],
    provides = [ClientInfo],
)

current_container_engine = rule(
    doc = "The toolchain for container engines, as a target.",
    implementation = _current_impl(CONTAINER_ENGINE),
    toolchains = [CONTAINER_ENGINE],
    provides = [ClientInfo],
)

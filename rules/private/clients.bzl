"""The programs that take images to registries and container engines, as toolchains."""

load("//rules:providers.bzl", "ClientInfo")
load(":messages.bzl", "label_text")

REGISTRY_CLIENT = "//rules:registry_client_toolchain_type"
CONTAINER_ENGINE = "//rules:container_engine_toolchain_type"

def _client_impl(ctx):
    program = ctx.executable.program
    if program and not ctx.attr.kind:
        fail("{}: kind: is not set; say what {} is".format(label_text(ctx.label), label_text(ctx.attr.program.label)))
    runfiles = ctx.runfiles([program] if program else [])
    if program:
        runfiles = runfiles.merge(ctx.attr.program[DefaultInfo].default_runfiles)
    info = ClientInfo(kind = ctx.attr.kind, program = program)
    default = DefaultInfo(runfiles = runfiles)
    return [default, info, platform_common.ToolchainInfo(client = info, default = default)]

def _client_attrs(kinds):
    return {
        "kind": attr.string(
            doc = "What the program is, for how it is called depends on it; without a program, the only one to take from `PATH`.",
            values = [""] + kinds,
        ),
        "program": attr.label(
            doc = "The program, built or fetched; by default the first on `PATH` of {}.".format(", ".join(["`" + kind + "`" for kind in kinds])),
            allow_files = True,
            cfg = "target",
            executable = True,
        ),
    }

registry_client = rule(
    doc = "A client of registries, as a toolchain of type `//rules:registry_client_toolchain_type`.",
    implementation = _client_impl,
    attrs = _client_attrs(["crane", "skopeo"]),
    provides = [ClientInfo],
)

container_engine = rule(
    doc = "A container engine's client, as a toolchain of type `//rules:container_engine_toolchain_type`.",
    implementation = _client_impl,
    attrs = _client_attrs(["docker", "podman", "nerdctl"]),
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

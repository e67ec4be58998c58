"""The OCI platform of an image."""

visibility(["//rules/...", "//tests/...", "//tools/..."])

# Constraint value -> architecture/variant of the OCI image-spec (GOARCH, GOARM).
_ARCHITECTURES = {
    "@platforms//cpu:aarch64": "arm64/v8",
    "@platforms//cpu:armv7": "arm/v7",
    "@platforms//cpu:i386": "386",
    "@platforms//cpu:ppc": "ppc64le",
    "@platforms//cpu:riscv64": "riscv64",
    "@platforms//cpu:s390x": "s390x",
    "@platforms//cpu:x86_64": "amd64",
}

ARCHITECTURE_ATTRS = {
    "_architectures": attr.label_keyed_string_dict(default = _ARCHITECTURES),
}

PLATFORM_ATTRS = ARCHITECTURE_ATTRS | {
    "platform": attr.string(
        doc = """The platform of the image: `os/architecture` or `os/architecture/variant`, for instance `linux/arm64`. The default \
is `linux` and the CPU that Bazel builds for (`--platforms`).""",
    ),
}

def find_cpu_platform(ctx):
    """Returns the OCI platform for the CPU that Bazel builds for.

    Args:
      ctx: the context of a rule or aspect with ARCHITECTURE_ATTRS.

    Returns:
      str: linux/architecture or linux/architecture/variant; "" if the CPU is not known.
    """
    for constraint, architecture in ctx.attr._architectures.items():
        if ctx.target_platform_has_constraint(constraint[platform_common.ConstraintValueInfo]):
            return "linux/" + architecture
    return ""

def find_image_platform(ctx):
    """Returns the platform that an image is for. The action SetcapAttributes checks it.

    Args:
      ctx: the context of a rule with PLATFORM_ATTRS.

    Returns:
      str: the attribute platform, or else the platform for the CPU that Bazel builds for; "" if that is not known.
    """
    return ctx.attr.platform or find_cpu_platform(ctx)

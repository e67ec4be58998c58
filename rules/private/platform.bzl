"""The OCI platform of an image."""

visibility(["//rules/...", "//tests/...", "//tools/..."])

# Constraint value -> architecture/variant of the OCI image-spec (GOARCH, GOARM). containerd takes arm without a variant for v7.
# Older versions of platforms have ppc in place of ppc64le, and i386 beside x86_32.
_ARCHITECTURES = {
    "@platforms//cpu:aarch32": "arm/v7",
    "@platforms//cpu:aarch64": "arm64/v8",
    "@platforms//cpu:armv7": "arm/v7",
    "@platforms//cpu:i386": "386",
    "@platforms//cpu:ppc": "ppc64le",
    "@platforms//cpu:ppc64le": "ppc64le",
    "@platforms//cpu:riscv64": "riscv64",
    "@platforms//cpu:s390x": "s390x",
    "@platforms//cpu:x86_32": "386",
    "@platforms//cpu:x86_64": "amd64",
}

_CpuPlatformInfo = provider(
    doc = "The OCI platform for the CPU that Bazel builds for.",
    fields = {"name": "str: linux/architecture or linux/architecture/variant; empty if the CPU is not known."},
)

def _cpu_platform_impl(ctx):
    for constraint, architecture in ctx.attr.architectures.items():
        if ctx.target_platform_has_constraint(constraint[platform_common.ConstraintValueInfo]):
            return _CpuPlatformInfo(name = "linux/" + architecture)
    return _CpuPlatformInfo(name = "")

cpu_platform = rule(
    doc = "The OCI platform for the CPU that Bazel builds for, found once for all images.",
    implementation = _cpu_platform_impl,
    attrs = {
        "architectures": attr.label_keyed_string_dict(
            doc = "The architecture of the OCI image-spec, by constraint value.",
            default = _ARCHITECTURES,
        ),
    },
)

ARCHITECTURE_ATTRS = {
    "_cpu_platform": attr.label(
        default = "//rules/private:cpu_platform",
        providers = [_CpuPlatformInfo],
    ),
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
    return ctx.attr._cpu_platform[_CpuPlatformInfo].name

def find_image_platform(ctx):
    """Returns the platform that an image is for. The action SetcapAttributes checks it.

    Args:
      ctx: the context of a rule with PLATFORM_ATTRS.

    Returns:
      str: the attribute platform, or else the platform for the CPU that Bazel builds for; "" if that is not known.
    """
    return ctx.attr.platform or find_cpu_platform(ctx)

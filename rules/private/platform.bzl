"""The OCI platform of an image."""

load(":messages.bzl", "format_problem")

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
      dict of os, architecture and variant; empty strings if the CPU is not known.
    """
    text = ""
    for constraint, architecture in ctx.attr._architectures.items():
        if ctx.target_platform_has_constraint(constraint[platform_common.ConstraintValueInfo]):
            text = "linux/" + architecture
    return _parse_platform(text)

def format_platform(platform):
    """Returns a platform as text.

    Args:
      platform: dict of os, architecture and variant.

    Returns:
      str: os/architecture/variant.
    """
    return "/".join([platform["os"], platform["architecture"], platform["variant"]])

def _parse_platform(text):
    """Parses os/architecture or os/architecture/variant; returns empty strings if the text is neither."""
    words = text.split("/")
    if not 2 <= len(words) or len(words) > 3 or "" in words:
        return {"architecture": "", "os": "", "variant": ""}
    return {"architecture": words[1], "os": words[0], "variant": words[2] if len(words) == 3 else ""}

def find_image_platform(ctx, problems):
    """Returns the platform that an image is for.

    Args:
      ctx: the context of a rule with PLATFORM_ATTRS.
      problems: list of str, to which problems are added.

    Returns:
      dict of os, architecture and variant.
    """
    platform = _parse_platform(ctx.attr.platform) if ctx.attr.platform else find_cpu_platform(ctx)
    if not platform["os"]:
        explanation = "not a valid platform; write os/architecture" if ctx.attr.platform else "the CPU of the target platform is not known; set the attribute"
        problems.append(format_problem("platform", ctx.attr.platform, explanation + ", as \"linux/amd64\""))
    return platform

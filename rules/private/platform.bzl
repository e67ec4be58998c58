"""The OCI platform of an image."""

load(":messages.bzl", "problem")

# Constraint -> os/architecture/variant as in the OCI image-spec (GOARCH, GOARM).
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
        doc = "`os/architecture` or `os/architecture/variant`; by default `linux` and the CPU that Bazel builds for.",
    ),
}

def cpu_platform(ctx):
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
    return _parse(text)

def platform_text(platform):
    """Returns a platform as the packer takes it.

    Args:
      platform: dict of os, architecture and variant.

    Returns:
      str, os/architecture/variant.
    """
    return "/".join([platform["os"], platform["architecture"], platform["variant"]])

def _parse(text):
    words = text.split("/")
    if not 2 <= len(words) or len(words) > 3 or "" in words:
        return {"architecture": "", "os": "", "variant": ""}
    return {"architecture": words[1], "os": words[0], "variant": words[2] if len(words) == 3 else ""}

def oci_platform(ctx, problems):
    """The platform that the image is for.

    Args:
      ctx: the context of a rule with PLATFORM_ATTRS.
      problems: list of str, gets what is wrong.

    Returns:
      dict of os, architecture and variant.
    """
    platform = _parse(ctx.attr.platform) if ctx.attr.platform else cpu_platform(ctx)
    if not platform["os"]:
        what = "not a valid platform; write os/architecture" if ctx.attr.platform else "the CPU of the target platform is not known; set the attribute"
        problems.append(problem("platform", ctx.attr.platform, what + ", as \"linux/amd64\""))
    return platform

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

PLATFORM_ATTRS = {
    "platform": attr.string(
        doc = "`os/architecture` or `os/architecture/variant`; by default `linux` and the CPU that Bazel builds for.",
    ),
    "_architectures": attr.label_keyed_string_dict(default = _ARCHITECTURES),
}

def oci_platform(ctx, problems):
    """The platform that the image is for.

    Args:
      ctx: the context of a rule with PLATFORM_ATTRS.
      problems: list of str, gets what is wrong.

    Returns:
      dict of os, architecture and variant.
    """
    text = ctx.attr.platform
    if not text:
        for constraint, architecture in ctx.attr._architectures.items():
            if ctx.target_platform_has_constraint(constraint[platform_common.ConstraintValueInfo]):
                text = "linux/" + architecture
    words = text.split("/")
    if not text:
        problems.append(problem("platform", text, "the CPU of the target platform is not known; set the attribute, as \"linux/amd64\""))
        return {"architecture": "", "os": "", "variant": ""}
    if not 2 <= len(words) or len(words) > 3 or "" in words:
        problems.append(problem("platform", text, "not a valid platform; write os/architecture, as \"linux/amd64\""))
        return {"architecture": "", "os": "", "variant": ""}
    return {"architecture": words[1], "os": words[0], "variant": words[2] if len(words) == 3 else ""}

"""Platforms: an operating system (GOOS), an architecture (GOARCH) and a variant.

The OCI image-spec takes the names from Go. Users write a platform as "linux/amd64" or "linux/arm/v7"; here it is a mapping
with the keys `os`, `architecture` and `variant`, which the config of an image and the descriptors of an index also have.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rules_setcap.diagnostics.errors import quote
from rules_setcap.diagnostics.suggestions import find_closest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_KEYS = ("os", "architecture", "variant")
_SYSTEMS = frozenset(
    "aix android darwin dragonfly freebsd illumos ios js linux netbsd openbsd plan9 solaris wasip1 wasip2 windows".split()
)
_ARCHITECTURES = frozenset("386 amd64 arm arm64 loong64 mips mips64 mips64le mipsle ppc64 ppc64le riscv64 s390x wasm".split())
# OCI image-spec, "Platform Variants", and the other variants that containerd accepts.
_VARIANTS = {
    "386": r"softfloat|sse2",
    "amd64": r"v[1-4]",
    "arm": r"v[5-8]",
    "arm64": r"v[89](\.[0-9])?",
    "ppc64": r"power([89]|10)",
    "ppc64le": r"power([89]|10)",
    "riscv64": r"rva2[023]u64",
}
_VARIANT_HINTS = {"386": "sse2", "amd64": "v1 to v4", "arm": "v5 to v8", "arm64": "v8 or v9", "riscv64": "rva20u64 to rva23u64"}
# The names of uname(1), Debian, Docker Hub and Bazel for the same platforms.
_ALIASES = {
    **dict.fromkeys(("x86_64", "x86-64", "x64", "amd64p32", "k8"), "amd64"),
    **dict.fromkeys(("i386", "i486", "i586", "i686", "x86", "x86_32"), "386"),
    **dict.fromkeys(("aarch64", "armv8", "arm64v8", "arm64_v8"), "arm64"),
    **dict.fromkeys(("armhf", "armv7", "armv7l", "arm32v7"), "arm/v7"),
    **dict.fromkeys(("armel", "armv6", "armv6l", "arm32v6"), "arm/v6"),
    **dict.fromkeys(("arm32v5", "armv5"), "arm/v5"),
    **dict.fromkeys(("ppc64el", "powerpc64le", "ppcle", "ppc"), "ppc64le"),
    **dict.fromkeys(("riscv", "rv64"), "riscv64"),
    **dict.fromkeys(("loongarch64", "loong"), "loong64"),
    **dict.fromkeys(("mipsel",), "mipsle"),
    **dict.fromkeys(("mips64el",), "mips64le"),
    **dict.fromkeys(("s390",), "s390x"),
    **dict.fromkeys(("macos", "osx", "macosx"), "darwin"),
    **dict.fromkeys(("win", "win32", "win64"), "windows"),
}


def split_platform(text: str) -> dict[str, str]:
    """Returns the platform that a rule or a container engine writes as os/architecture[/variant].

    Args:
      text: the platform; its variant may be missing or empty.
    """
    return dict(zip(_KEYS, (text.split("/") + [""] * len(_KEYS))[: len(_KEYS)], strict=True))


def parse_platform(text: str) -> dict[str, str]:
    """Returns the platform that a user writes as os/architecture[/variant].

    Raises:
      ValueError: the text does not have this form; the message is a sentence.
    """
    words = text.split("/")
    if not 2 <= len(words) <= 3 or not all(words):
        raise ValueError('not a valid platform; write os/architecture, as "linux/amd64" or "linux/arm/v7"')
    return split_platform(text)


def format_platform(platform: Mapping[str, Any]) -> str:
    """Returns a platform, or that of a config, as users write it. Fields that are not text are left out."""
    return "/".join(value for key in _KEYS if (value := platform.get(key)) and isinstance(value, str))


def describe_platform(config: Mapping[str, Any]) -> dict[str, str]:
    """Returns the platform of a config as the descriptors of an index have it: without an empty variant."""
    return {key: config[key] for key in ("architecture", "os", "variant") if config.get(key)}


def matches_platform(candidate: object, platform: Mapping[str, str]) -> bool:
    """Returns whether an image is for a platform; variants are compared if both have one.

    Args:
      candidate: the platform of a descriptor, or the config of the image; it may be anything.
      platform: the platform.
    """
    if not isinstance(candidate, dict):
        return False
    variant = candidate.get("variant")
    return (candidate.get("os"), candidate.get("architecture")) == (platform["os"], platform["architecture"]) and (
        not variant or not platform["variant"] or variant == platform["variant"]
    )


def find_platform_fault(os: str, architecture: str, variant: str) -> str:
    """Returns what is wrong with a platform, as a sentence; "" if its names are known."""
    if architecture in _SYSTEMS and os in _ARCHITECTURES:
        return f"the operating system comes first; did you mean {quote(f'{architecture}/{os}')}?"
    if os not in _SYSTEMS:
        closest = _find_closest_name(os, _SYSTEMS)
        rest = "/".join(filter(None, (architecture, variant)))
        return f"{quote(os)} is not a known operating system" + (
            f"; did you mean {quote(f'{closest}/{rest}')}?" if closest else '; write "linux"'
        )
    if architecture not in _ARCHITECTURES:
        closest = _find_closest_name(architecture, _ARCHITECTURES)
        rest = f"/{variant}" if variant and "/" not in closest else ""
        hint = (
            f"did you mean {quote(f'{os}/{closest}{rest}')}?"
            if closest
            else f"it must be one of {', '.join(sorted(_ARCHITECTURES))}"
        )
        return f"{quote(architecture)} is not a known architecture; {hint}"
    if variant and not re.fullmatch(_VARIANTS.get(architecture, "(?!)"), variant, re.ASCII):
        variants = _VARIANT_HINTS.get(architecture)
        return f"{quote(variant)} is not a known variant of {architecture}; " + (
            f"it must be {variants}" if variants else "leave it out"
        )
    return ""


def _find_closest_name(name: str, names: frozenset[str]) -> str:
    """Returns the name that the user probably meant; "" if none is similar enough."""
    alias = _ALIASES.get(name.lower(), name.lower())
    if alias.partition("/")[0] in names:
        return alias
    return find_closest(name.lower(), sorted(names))

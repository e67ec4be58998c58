"""The names of platforms: GOOS, GOARCH and variants, which the OCI image-spec takes from Go."""

from __future__ import annotations

import re

from rules_setcap.diagnostics.errors import quote

_SYSTEMS = frozenset(
    "aix android darwin dragonfly freebsd illumos ios js linux netbsd openbsd plan9 solaris wasip1 wasip2 windows".split()
)
_ARCHITECTURES = frozenset(
    "386 amd64 arm arm64 loong64 mips mips64 mips64le mipsle ppc64 ppc64le riscv64 s390x wasm".split()
)
# OCI image-spec, "Platform Variants", and what containerd takes besides.
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
# The names that uname(1), Debian, Docker Hub and Bazel have for them.
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


def parse_platform(text: str) -> dict[str, str]:
    """Parses os/architecture or os/architecture/variant; the variant is "" if there is none.

    Raises:
      ValueError: the text is neither; the error says what to write.
    """
    words = text.split("/")
    if not 2 <= len(words) <= 3 or not all(words):
        raise ValueError('not a valid platform; write os/architecture, as "linux/amd64"')
    return dict(zip(("os", "architecture", "variant"), [*words, ""], strict=False))


def find_fault(os: str, architecture: str, variant: str) -> str:
    """Returns what is wrong with a platform, as a sentence; "" if it is a known one."""
    if architecture in _SYSTEMS and os in _ARCHITECTURES:
        return f"the operating system comes first; did you mean {quote(f'{architecture}/{os}')}?"
    if os not in _SYSTEMS:
        near = _closest(os, _SYSTEMS)
        rest = "/".join(filter(None, (architecture, variant)))
        return f"{quote(os)} is not a known operating system" + (f"; did you mean {quote(f'{near}/{rest}')}?" if near else '; write "linux"')
    if architecture not in _ARCHITECTURES:
        near = _closest(architecture, _ARCHITECTURES)
        rest = f"/{variant}" if variant and "/" not in near else ""
        hint = f"did you mean {quote(f'{os}/{near}{rest}')}?" if near else f"it must be one of {', '.join(sorted(_ARCHITECTURES))}"
        return f"{quote(architecture)} is not a known architecture; {hint}"
    if variant and not re.fullmatch(_VARIANTS.get(architecture, "(?!)"), variant, re.ASCII):
        known = _VARIANT_HINTS.get(architecture)
        return f"{quote(variant)} is not a known variant of {architecture}; " + (f"it must be {known}" if known else "leave it out")
    return ""


def _closest(name: str, names: frozenset[str]) -> str:
    """Returns the name that was probably meant, or ""."""
    import difflib

    alias = _ALIASES.get(name.lower(), name.lower())
    if alias.partition("/")[0] in names:
        return alias
    return next(iter(difflib.get_close_matches(name.lower(), sorted(names), n=1)), "")

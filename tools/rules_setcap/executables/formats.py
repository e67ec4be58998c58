"""Recognizes programs for other operating systems than Linux by their first bytes."""

from __future__ import annotations

START = 8
"""How many bytes of a file system() looks at."""

BUILD_FOR_LINUX = 'build for Linux, with --platforms=LABEL of a platform that has the constraint "@platforms//os:linux"'
"""What to do where a program is for another system, for messages."""

# Mach-O of 32 and 64 bits, in both byte orders (mach-o/loader.h).
_MACH_O = (b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf", b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe")
# A universal binary, for more than one CPU: the number of CPUs follows (mach-o/fat.h). A class file of Java begins with
# the same four bytes, and has a version there, which is 45 at least.
_UNIVERSAL = (b"\xca\xfe\xba\xbe", b"\xca\xfe\xba\xbf")
_FIRST_VERSION = 45


def system(start: bytes) -> str:
    """Returns the operating system that a program is for: "macOS", "Windows", or "" for all other files.

    Args:
      start: the first bytes of the file: START, or all of a shorter file.
    """
    if start[:4] in _MACH_O:
        return "macOS"
    if start[:4] in _UNIVERSAL and len(start) >= START and 0 < int.from_bytes(start[4:8], "big") < _FIRST_VERSION:
        return "macOS"
    return "Windows" if start[:2] == b"MZ" else ""

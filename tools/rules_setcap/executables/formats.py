"""Recognizes programs of other operating systems than Linux by their first bytes."""

from __future__ import annotations

START = 8
"""The number of bytes of a file that find_system() needs."""

BUILD_FOR_LINUX = 'build for Linux, with --platforms=LABEL of a platform that has the constraint "@platforms//os:linux"'
"""What to do about a program of another operating system, for messages."""

# Mach-O of 32 and 64 bits, in both byte orders (mach-o/loader.h).
_MACH_O = (b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf", b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe")
# A universal binary, for several CPUs: the number of CPUs follows (mach-o/fat.h). A class file of Java begins with the same four
# bytes, which a version of at least 45 follows.
_UNIVERSAL = (b"\xca\xfe\xba\xbe", b"\xca\xfe\xba\xbf")
_FIRST_JAVA_VERSION = 45


def find_system(start: bytes) -> str:
    """Returns the operating system that a program is for: "macOS", "Windows", or "" for every other file.

    Args:
      start: the first START bytes of the file, or all bytes of a shorter file.
    """
    if start[:4] in _MACH_O:
        return "macOS"
    if start[:4] in _UNIVERSAL and len(start) >= START and 0 < int.from_bytes(start[4:8], "big") < _FIRST_JAVA_VERSION:
        return "macOS"
    return "Windows" if start[:2] == b"MZ" else ""

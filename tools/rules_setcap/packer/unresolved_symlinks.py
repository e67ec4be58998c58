"""Finds the unresolved symlinks among the outputs of actions.

Bazel 7 does not tell rules which outputs are unresolved symlinks (`ctx.actions.declare_symlink`): `File.is_symlink` exists
since Bazel 8. And most inputs of an action are symbolic links: a sandbox consists of links into the execution root, and
`ctx.actions.symlink(target_file = ...)` makes links too. These links are absolute. The target of an unresolved symlink is
the same text wherever the action runs.
"""

from __future__ import annotations

import binascii
import hashlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def is_unresolved(output: str, target: str, digests: Callable[[], Mapping[str, str]]) -> bool:
    """Returns whether an output is an unresolved symlink, and not a file that Bazel has put there as a link.

    Args:
      output: the path of the output, which is a symbolic link on disk.
      target: the target of the link; not an absolute path in bazel-out, which is always followed.
      digests: returns the digests of the action's inputs by path, as Bazel sends them to a worker; {} elsewhere.
    """
    # A worker without a sandbox also sees relative links where an action has run "ln -s" to make a declared file.
    if digest := binascii.a2b_base64(digests().get(output, "")).decode("ascii", "replace"):
        if digest == _hash_symlink(target):
            return True
        if digest == _hash_file(output):
            return False
    # There are no digests (a sandbox, a remote executor, or neither), or they are not SHA-256.
    return not _leads_to_source_file(target)


def _leads_to_source_file(target: str) -> bool:
    """Returns whether an absolute link leads to a source file.

    If so, the same file is in the execution root, at a path with which the target of the link ends.
    """
    names = target.split("/") if target.startswith("/") else []
    for start in range(1, len(names)):
        try:
            if os.path.samefile("/".join(names[start:]), target):
                return True
        except OSError:
            pass  # One of the two does not exist.
    return False


def _hash_symlink(target: str) -> str:
    """Returns Bazel's digest of an unresolved symlink: that of its target, with the first byte inverted."""
    digest = bytearray(hashlib.sha256(os.fsencode(target)).digest())
    digest[0] ^= 0xFF
    return digest.hex()


def _hash_file(path: str) -> str:
    """Returns the SHA-256 digest of a file; "" if it cannot be read."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError:
        return ""
    return digest.hexdigest()

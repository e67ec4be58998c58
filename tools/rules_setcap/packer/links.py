"""Finds the unresolved symlinks among the outputs of actions.

Bazel 7 does not tell rules which outputs are unresolved symlinks (`ctx.actions.declare_symlink`): `File.is_symlink` is of
Bazel 8. And most inputs are links: a sandbox consists of links into the execution root, and so do the outputs of
`ctx.actions.symlink(target_file = ...)`. These are absolute. The text of an unresolved symlink is its own, wherever the
action runs.
"""

from __future__ import annotations

import binascii
import hashlib
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Mapping


def is_unresolved(output: str, text: str, digests: Callable[[], Mapping[str, str]]) -> bool:
    """Returns whether an output of an action is an unresolved symlink, and not the file that the link leads to.

    Args:
      output: its path, which is a symbolic link on disk.
      text: the text of the link; not an absolute path in bazel-out, which is always followed.
      digests: returns the digests of the action's inputs by path, as Bazel sends them to a worker; {} elsewhere.
    """
    # A worker without a sandbox also sees the relative links that "ln -s" left in place of declared files.
    if digest := binascii.a2b_base64(digests().get(output, "")).decode("ascii", "replace"):
        if digest == _digest_of_link(text):
            return True
        if digest == _digest_of_file(output):
            return False
    # There are no digests (a sandbox, a remote executor, or neither), or they are not SHA-256.
    return not _leads_to_source(text)


def _leads_to_source(text: str) -> bool:
    """Returns whether an absolute link leads to a source file, which the execution root has at the end of the same path."""
    names = text.split("/") if text.startswith("/") else []
    for start in range(1, len(names)):
        try:
            if os.path.samefile("/".join(names[start:]), text):
                return True
        except OSError:
            pass  # Not there.
    return False


def _digest_of_link(text: str) -> str:
    """Returns Bazel's digest of an unresolved symlink: its text's, with the first byte inverted."""
    digest = bytearray(hashlib.sha256(os.fsencode(text)).digest())
    digest[0] ^= 0xFF
    return digest.hex()


def _digest_of_file(path: str) -> str:
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError:
        return ""
    return digest.hexdigest()

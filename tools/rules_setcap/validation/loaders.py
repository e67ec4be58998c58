"""Checks that the image has the loader of a dynamically linked program, or the interpreter of a script."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from rules_setcap.diagnostics.errors import quote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rules_setcap.validation.checked_image import CheckedImage


def find_faults(path: str, image: CheckedImage) -> Iterator[str]:
    """Yields why execve(2) cannot start a file.

    Args:
      path: the path of the file in the image.
      image: the image.
    """
    if image.os != "linux":
        return
    merged = image.merged
    if loader := merged.loaders.get(path):
        if not merged.find_file(loader):
            yield (
                f'is linked dynamically, and its loader {quote(loader)} is not in the image: it does not start ("no such file or '
                'directory"); link it statically (linkopts = ["-static"] in cc_binary), or set base to an image that has the loader'
            )
        return
    words = merged.scripts.get(path, "").split(None, 1)
    if not words:
        return
    if not merged.find_file(words[0]):
        yield f"is a script, and its interpreter {quote(words[0])} is not in the image; set base to an image that has it"
    elif posixpath.basename(words[0]) == "env" and len(words) > 1:
        name = _find_env_program(words[1])
        if name and not image.find_program(name):
            yield (
                f"is a script, and its interpreter {quote(name)}, which {words[0]} looks for in {image.path}, is not in the image; set base "
                "to an image that has it, or PATH in env to its directory"
            )


def _find_env_program(text: str) -> str:
    """Returns the program that env(1) executes; "" if that is not known.

    Args:
      text: the first line of a script, after "#!/usr/bin/env ". The kernel passes it as one argument, which env splits into
        words only after -S.
    """
    if not text.startswith("-"):
        return "" if "=" in text else text
    if not text.startswith("-S"):
        return ""
    words = [word for word in text[2:].split() if "=" not in word]
    return words[0] if words and not words[0].startswith("-") else ""

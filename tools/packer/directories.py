"""The directories that the layers below have: those need no entry of their own."""

from __future__ import annotations

from . import below, files
from .entries import DIRECTORY, SYMLINK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Sequence


class Below:
    """The layers below a layer: metadata of those built here, and the layout of a base."""

    def __init__(self, metadata: Sequence[str], layout: str, platform: str) -> None:
        """
        Args:
          metadata: paths of metadata files.
          layout: an OCI layout directory, or "".
          platform: os/architecture/variant of the image in it.
        """
        self._metadata, self._layout, self._platform = metadata, layout, platform

    def load(self) -> set[str]:
        """The directories, absolute; a later layer may have replaced or removed some, which are then not among them.

        Raises:
          InputError: the base is not what its digests say.
          OSError: it cannot be read.
        """
        found: set[str] = set()
        if self._layout:
            tree = below.tree(below.of_layout(self._layout, self._platform))
            # An entry in place of a symbolic link to a directory would hide what that holds.
            found.update(path for path, node in tree.walk() if node.type in (DIRECTORY, SYMLINK))
        for path in self._metadata:
            found.update(files.read_json(path)["directories"])
        return found

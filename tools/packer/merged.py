"""The merged root filesystem of an image, from what each layer's metadata lists.

OCI image-spec, "Image Layer Filesystem Changeset", "Applying Changesets". No layer is read
here: `contents` in a layer's metadata (contents.py) names its entries.
"""

from __future__ import annotations

from collections import namedtuple

from . import limits
from .entries import DIRECTORY, FILE, SYMLINK
from .errors import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping

Directory = namedtuple("Directory", ("mode", "uid", "gid", "xattrs"))
"""The attributes of a directory. mode, uid, gid: int; xattrs: tuple of pairs of name (str) and value (bytes)."""

Replacement = namedtuple("Replacement", ("path", "below", "above"))
"""An entry that replaces one of another kind. path: str; below, above: str, descriptions for messages."""


class Merged:
    """The entries of layers, applied one on top of the other.

    Attributes:
      files: set of str, paths of files, devices and FIFOs.
      directories: dict of Directory by path.
      links: dict of str by path, targets of symbolic links.
      capabilities: dict of str by path, as cap_to_text(3) writes them.
      scripts: dict of str by path, the first lines of scripts without "#!".
      loaders: dict of str by path, PT_INTERP of dynamically linked programs.
      problems: list of str, of contents that could not be listed.
      changed: set of str, directories whose attributes a layer changed only because an entry is below them.
    """

    def __init__(self) -> None:
        self.files: set[str] = set()
        self.directories: dict[str, Directory] = {}
        self.links: dict[str, str] = {}
        self.capabilities: dict[str, str] = {}
        self.scripts: dict[str, str] = {}
        self.loaders: dict[str, str] = {}
        self.changed: set[str] = set()
        self.problems: list[str] = []
        self._folders: dict[str, str] = {}  # Memoized results of locate().

    def apply(self, metadata: Mapping[str, Any]) -> list[Replacement]:
        """Applies a layer.

        A directory that the layer has only as the parent of an entry keeps the attributes that it has below.

        Args:
          metadata: of the layer; `contents` and `capabilities` are read.

        Returns:
          The entries that replace one of another kind.
        """
        contents = metadata["contents"]
        self.problems += metadata.get("problems", ())
        self._folders.clear()
        for path in contents.get("hidden", ()):
            self._remove(path)
        for path in contents.get("opaque", ()):
            self._remove_below(path)
        replaced = self._apply_directories(contents)
        files, links = contents["files"], contents["links"]
        for path in links:
            if self.kind(path) not in ("", SYMLINK):
                replaced.append(Replacement(path, self.describe(path), f"a symbolic link to {quote(links[path])}"))
                self._remove(path)
        if self.links or self.directories:
            for path in files:
                if path in self.links or path in self.directories:
                    replaced.append(Replacement(path, self.describe(path), "a file"))
                    self._remove(path)
        self._forget({*files, *links} if self.files else set())
        self.links.update(links)
        self.files.update(files)
        self.capabilities.update(metadata["capabilities"])
        self.scripts.update(contents.get("scripts", ()))
        self.loaders.update(contents.get("loaders", ()))
        return replaced

    def kind(self, path: str) -> str:
        """Returns the kind of entry at a path, links not followed: FILE, DIRECTORY, SYMLINK, or "" if there is none."""
        if path in self.links:
            return SYMLINK
        if path in self.directories:
            return DIRECTORY
        return FILE if path in self.files else ""

    def describe(self, path: str) -> str:
        """Returns a description of the entry at a path, for messages."""
        kind = self.kind(path)
        return f"a symbolic link to {quote(self.links[path])}" if kind == SYMLINK else f"a {kind}"

    def locate(self, path: str) -> str:
        """Returns `path` with the symbolic links in its parent directories followed.

        Raises:
          ValueError: there are more than 40 links on the way; the message is a sentence.
        """
        if not self.links:
            return path
        folder, _, name = path.rpartition("/")
        real = self._folders.get(folder)
        if real is None:
            real = self._folders[folder] = self.resolve(folder)
        return f"{real}/{name}"

    def resolve(self, path: str) -> str:
        """Returns `path` with every symbolic link followed, the last one too; whether it exists or not.

        Raises:
          ValueError: there are more than 40 links on the way; the message is a sentence.
        """
        at = ""
        todo = path.split("/")[::-1]
        followed = 0
        while todo:
            name = todo.pop()
            if name in ("", "."):
                continue
            if name == "..":
                at = at.rpartition("/")[0]
                continue
            here = f"{at}/{name}"
            target = self.links.get(here)
            if target is None:
                at = here
                continue
            followed += 1
            if followed > limits.LINKS:
                raise ValueError(f"more than {limits.LINKS} symbolic links lead from {quote(path)}")
            if target.startswith("/"):
                at = ""
            todo += target.split("/")[::-1]
        return at

    def file(self, path: str) -> str:
        """Returns the path of the file that `path` leads to, all links followed; "" if it leads to no file."""
        try:
            real = self.resolve(path)
        except ValueError:
            return ""
        return real if real in self.files else ""

    def _apply_directories(self, contents: Mapping[str, Any]) -> list[Replacement]:
        """Applies the directories of a layer; returns those that replace an entry of another kind."""
        replaced = []
        parents = set(contents.get("parents", ()))
        xattrs = contents.get("xattrs", {})
        for path, (mode, uid, gid) in contents["directories"].items():
            if path in self.files or path in self.links:
                replaced.append(Replacement(path, self.describe(path), "a directory"))
                self._remove(path)
            values = tuple([(name, bytes.fromhex(value)) for name, value in xattrs[path].items()]) if path in xattrs else ()
            directory = Directory(mode, uid, gid, values)
            if path in parents and path in self.directories:
                if self.directories[path] != directory:
                    self.changed.add(path)
                continue
            self.directories[path] = directory
            self.changed.discard(path)
        return replaced

    def _remove(self, path: str) -> None:
        self.files.discard(path)
        self.links.pop(path, None)
        if self.directories.pop(path, None):
            self._remove_below(path)

    def _remove_below(self, path: str) -> None:
        prefix = path + "/"
        self.files = {each for each in self.files if not each.startswith(prefix)}
        for entries in (self.directories, self.links, self.capabilities, self.scripts, self.loaders):
            for each in [each for each in entries if each.startswith(prefix)]:
                del entries[each]

    def _forget(self, replacing: set[str]) -> None:
        """Removes facts about files that a layer replaces, or that are not there any more."""
        for known in (self.capabilities, self.scripts, self.loaders):
            for path in [path for path in known if path in replacing or path not in self.files]:
                del known[path]

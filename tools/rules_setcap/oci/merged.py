"""The merged root filesystem of an image, from what each layer's metadata lists.

OCI image-spec, "Image Layer Filesystem Changeset", "Applying Changesets". No layer is read
here: `contents` in a layer's metadata (contents.py) names its entries.
"""

from __future__ import annotations

from collections import namedtuple

from rules_setcap.archive.entry import DIRECTORY, FILE, SYMLINK
from rules_setcap.diagnostics.errors import problem, quote
from rules_setcap.oci import symlinks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Collection, Mapping

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
      differing: dict by path, files that have different capabilities in different container engines.
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
        self.differing: dict[str, str] = {}
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
        replaced = self._find_replaced_links(contents)
        directories: dict[str, str] = {}  # Where they go; parents come first.
        for name in contents["directories"]:
            path = directories[name] = self._place(name)
            if path in self.links:  # Before whiteouts: one below it is about the layer's directory.
                replaced.append(Replacement(path, self.describe(path), "a directory"))
                self._remove(path)
        for path in contents.get("hidden", ()):
            self._remove(self._place(path))
        for path in contents.get("opaque", ()):
            self._remove_below(self._place_folder(path))
        replaced += self._apply_directories(contents, directories)
        links = {self._place(path): target for path, target in contents["links"].items()}
        for path in links:
            if self.kind(path) not in ("", SYMLINK):
                replaced.append(Replacement(path, self.describe(path), f"a symbolic link to {quote(links[path])}"))
                self._remove(path)
        self.links.update(links)
        self._folders.clear()
        files = self._place_all(contents["files"])
        if self.links or self.directories:
            for path in files:
                if path in self.links or path in self.directories:
                    replaced.append(Replacement(path, self.describe(path), "a file"))
                    self._remove(path)
        self._forget({*files, *links} if self.files else set())
        self.files.update(files)
        for known, new in (
            (self.capabilities, metadata["capabilities"]),
            (self.scripts, contents.get("scripts", {})),
            (self.loaders, contents.get("loaders", {})),
        ):
            known.update(zip(self._place_all(new), new.values()))
        self.differing.update(dict.fromkeys(metadata.get("differing", ()), ""))
        return replaced

    def uncertain(self) -> list[str]:
        """Returns a problem for each file whose capabilities depend on the container engine."""
        what = "container engines give this file different capabilities, as getcap shows; assign them by file_capabilities"
        return [problem("base", path, what) for path in self.differing]

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
        return symlinks.resolve(path, self.links.get)

    def file(self, path: str) -> str:
        """Returns the path of the file that `path` leads to, all links followed; "" if it leads to no file."""
        try:
            real = self.resolve(path)
        except ValueError:
            return ""
        return real if real in self.files else ""

    def _apply_directories(self, contents: Mapping[str, Any], places: Mapping[str, str]) -> list[Replacement]:
        """Applies the directories of a layer at their places; returns those that replace a file."""
        replaced = []
        parents = set(contents.get("parents", ()))
        xattrs = contents.get("xattrs", {})
        for name, (mode, uid, gid) in contents["directories"].items():
            path = places[name]
            if path in self.files:
                replaced.append(Replacement(path, self.describe(path), "a directory"))
                self._remove(path)
            values = tuple([(key, bytes.fromhex(value)) for key, value in xattrs[name].items()]) if name in xattrs else ()
            directory = Directory(mode, uid, gid, values)
            if name in parents and path in self.directories:
                if self.directories[path] != directory:
                    self.changed.add(path)
                continue
            self.directories[path] = directory
            self.changed.discard(path)
        return replaced

    def _find_replaced_links(self, contents: Mapping[str, Any]) -> list[Replacement]:
        """Returns the symbolic links of layers below that are in the place of a parent directory which the layer does not list.

        Engines differ on such an entry: some follow the link, others make a directory in its place, which hides what the link
        leads to. The entry is applied where the link leads.
        """
        if not self.links:
            return []
        folders = {path.rpartition("/")[0] for key in ("files", "directories", "links", "hidden") for path in contents.get(key, ())}
        folders.update(contents.get("opaque", ()))
        own = (contents["directories"], contents["links"])
        found: dict[str, Replacement] = {}
        for folder in sorted(folders):
            while folder and folder not in found:
                if folder in self.links and not any(folder in entries for entries in own):
                    found[folder] = Replacement(folder, self.describe(folder), "a directory")
                folder = folder.rpartition("/")[0]
        return list(found.values())

    def _place(self, path: str) -> str:
        """Returns where an entry of a layer goes: its path with the symbolic links in its parent directories followed."""
        folder, _, name = path.rpartition("/")
        return f"{self._place_folder(folder)}/{name}" if self.links else path

    def _place_all(self, paths: Collection[str]) -> Collection[str]:
        """Returns where the entries of a layer go, in the same order."""
        folders = {path.rpartition("/")[0] for path in paths} if self.links else ()
        if all(self._place_folder(folder) == folder for folder in folders):
            return paths
        return [self._place(path) for path in paths]

    def _place_folder(self, folder: str) -> str:
        """Returns the directory that the path of a directory leads to."""
        real = self._folders.get(folder)
        if real is None:
            try:
                real = self.resolve(folder)
            except ValueError as error:
                self.problems.append(problem("layers", folder, str(error)))
                real = folder
            self._folders[folder] = real
        return real

    def _remove(self, path: str) -> None:
        self.files.discard(path)
        self.differing.pop(path, None)
        if self.links.pop(path, None) is not None:
            self._folders.clear()
        if self.directories.pop(path, None):
            self._remove_below(path)

    def _remove_below(self, path: str) -> None:
        prefix = path + "/"
        self.files = {each for each in self.files if not each.startswith(prefix)}
        for entries in (self.directories, self.links, self.capabilities, self.scripts, self.loaders, self.differing):
            for each in [each for each in entries if each.startswith(prefix)]:
                del entries[each]

    def _forget(self, replacing: set[str]) -> None:
        """Removes facts about files that a layer replaces, or that are not there any more."""
        for known in (self.capabilities, self.scripts, self.loaders):
            for path in [path for path in known if path in replacing or path not in self.files]:
                del known[path]
        for path in self.differing.keys() & replacing:
            del self.differing[path]

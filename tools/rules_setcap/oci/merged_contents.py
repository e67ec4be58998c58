"""Computes the merged root filesystem of an image from the metadata of its layers.

OCI image-spec, "Image Layer Filesystem Changeset", "Applying Changesets". No layer is read here: `contents` in the metadata
of a layer lists its entries (layer_contents.py). root_filesystem.py computes the same from the layers themselves.
"""

from __future__ import annotations

from collections import namedtuple
from typing import TYPE_CHECKING

from rules_setcap.archive.entry import DIRECTORY, FILE, SYMLINK
from rules_setcap.diagnostics.errors import format_problem, quote
from rules_setcap.oci import symlinks

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from typing import Any

DirectoryAttributes = namedtuple("DirectoryAttributes", ("mode", "uid", "gid", "xattrs"))
"""The attributes of a directory. mode, uid, gid: int; xattrs: tuple of pairs of name (str) and value (bytes)."""

Replacement = namedtuple("Replacement", ("path", "below", "above"))
"""An entry that replaces an entry of another type in a layer below.

path: str; below, above: str, descriptions of the two entries for messages."""


class MergedContents:
    """The merged root filesystem of layers, to which the metadata of layers is applied one by one.

    Attributes:
      files: set of str, the paths of files, devices and FIFOs.
      directories: dict of DirectoryAttributes by path.
      links: dict of str by path, the targets of symbolic links.
      capabilities: dict of str by path, the capabilities of files as cap_to_text(3) writes them.
      scripts: dict of str by path, the first lines of scripts without "#!".
      loaders: dict of str by path, PT_INTERP of dynamically linked programs.
      differing_files: dict by path, the files that have different capabilities in different container engines, in order.
      problems: list of str, the problems of layers whose contents could not be listed.
      changed_directories: set of str, the paths of directories for which a layer that names only files below them has other
        attributes.
    """

    def __init__(self) -> None:
        """Starts without layers."""
        self.files: set[str] = set()
        self.directories: dict[str, DirectoryAttributes] = {}
        self.links: dict[str, str] = {}
        self.capabilities: dict[str, str] = {}
        self.scripts: dict[str, str] = {}
        self.loaders: dict[str, str] = {}
        self.differing_files: dict[str, str] = {}
        self.changed_directories: set[str] = set()
        self.problems: list[str] = []
        self._folders: dict[str, str] = {}  # By path of a directory, the resolved path; memoized.

    def apply_layer(self, metadata: Mapping[str, Any]) -> list[Replacement]:
        """Applies a layer.

        A directory that the layer has only as the parent of an entry keeps the attributes that it has in the layers below.

        Args:
          metadata: the metadata of the layer, of which `contents` and `capabilities` are read.

        Returns:
          The entries that replace an entry of another type.
        """
        contents = metadata["contents"]
        self.problems += metadata.get("problems", ())
        self._folders.clear()
        replaced = self._find_replaced_links(contents)
        directories: dict[str, str] = {}  # By path in the layer, the resolved path; parents come first.
        for name in contents["directories"]:
            path = directories[name] = self._resolve_entry_parents(name)
            if path in self.links:  # Before whiteouts: a whiteout below it is about the directory of the layer.
                replaced.append(Replacement(path, self.describe_entry(path), "a directory"))
                self._remove(path)
        for path in contents.get("hidden", ()):
            self._remove(self._resolve_entry_parents(path))
        for path in contents.get("opaque", ()):
            self._remove_below(self._resolve_folder(path))
        replaced += self._apply_directories(contents, directories)
        links = {self._resolve_entry_parents(path): target for path, target in contents["links"].items()}
        for path, target in links.items():
            if self.get_type(path) not in ("", SYMLINK):
                replaced.append(Replacement(path, self.describe_entry(path), f"a symbolic link to {quote(target)}"))
                self._remove(path)
        self.links.update(links)
        self._folders.clear()
        files = self._resolve_all_parents(contents["files"])
        if self.links or self.directories:
            for path in files:
                if path in self.links or path in self.directories:
                    replaced.append(Replacement(path, self.describe_entry(path), "a file"))
                    self._remove(path)
        self._forget_files({*files, *links} if self.files else set())
        self.files.update(files)
        for table, added in (
            (self.capabilities, metadata["capabilities"]),
            (self.scripts, contents.get("scripts", {})),
            (self.loaders, contents.get("loaders", {})),
        ):
            table.update(zip(self._resolve_all_parents(added), added.values(), strict=True))
        self.differing_files.update(dict.fromkeys(metadata.get("differing", ()), ""))
        return replaced

    def describe_uncertain_files(self) -> list[str]:
        """Returns a problem for each file that has different capabilities in different container engines."""
        what = "container engines give this file different capabilities, as getcap shows; assign them by file_capabilities"
        return [format_problem("base", path, what) for path in self.differing_files]

    def get_type(self, path: str) -> str:
        """Returns the type of the entry at a path: FILE, DIRECTORY, SYMLINK, or "" if there is none. Links are not followed."""
        if path in self.links:
            return SYMLINK
        if path in self.directories:
            return DIRECTORY
        return FILE if path in self.files else ""

    def describe_entry(self, path: str) -> str:
        """Returns a description of the entry at a path, for messages."""
        entry_type = self.get_type(path)
        return f"a symbolic link to {quote(self.links[path])}" if entry_type == SYMLINK else f"a {entry_type}"

    def resolve_parents(self, path: str) -> str:
        """Returns `path` with the symbolic links in its parent directories followed.

        Raises:
          ValueError: there are more than 40 links on the way; the message is a sentence.
        """
        if not self.links:
            return path
        folder, _, name = path.rpartition("/")
        real = self._folders.get(folder)
        if real is None:
            real = self._folders[folder] = self.resolve_path(folder)
        return f"{real}/{name}"

    def resolve_path(self, path: str) -> str:
        """Returns `path` with every symbolic link followed, the last one too; the path need not exist.

        Raises:
          ValueError: there are more than 40 links on the way; the message is a sentence.
        """
        return symlinks.resolve_links(path, self.links.get)

    def find_file(self, path: str) -> str:
        """Returns the path of the file to which `path` leads, with all links followed; "" if it does not lead to a file."""
        try:
            real = self.resolve_path(path)
        except ValueError:
            return ""
        return real if real in self.files else ""

    def _apply_directories(self, contents: Mapping[str, Any], paths: Mapping[str, str]) -> list[Replacement]:
        """Applies the directories of a layer; returns those that replace a file.

        Args:
          contents: the contents of the layer.
          paths: the resolved path of each directory, by its path in the layer.
        """
        replaced = []
        parents = set(contents.get("parents", ()))
        xattrs = contents.get("xattrs", {})
        for name, (mode, uid, gid) in contents["directories"].items():
            path = paths[name]
            if path in self.files:
                replaced.append(Replacement(path, self.describe_entry(path), "a directory"))
                self._remove(path)
            values = tuple([(key, bytes.fromhex(value)) for key, value in xattrs[name].items()]) if name in xattrs else ()
            directory = DirectoryAttributes(mode, uid, gid, values)
            if name in parents and path in self.directories:
                if self.directories[path] != directory:
                    self.changed_directories.add(path)
                continue
            self.directories[path] = directory
            self.changed_directories.discard(path)
        return replaced

    def _find_replaced_links(self, contents: Mapping[str, Any]) -> list[Replacement]:
        """Returns the symbolic links of layers below that have the path of a parent directory which the layer does not list.

        Engines differ about an entry in such a directory: some follow the link, others replace it by a directory, which hides
        the directory to which the link leads. The entry is applied where the link leads.
        """
        if not self.links:
            return []
        folders = {
            path.rpartition("/")[0] for key in ("files", "directories", "links", "hidden") for path in contents.get(key, ())
        }
        folders.update(contents.get("opaque", ()))
        listed = (contents["directories"], contents["links"])
        replacements: dict[str, Replacement] = {}
        for directory in sorted(folders):
            folder = directory
            while folder and folder not in replacements:
                if folder in self.links and not any(folder in entries for entries in listed):
                    replacements[folder] = Replacement(folder, self.describe_entry(folder), "a directory")
                folder = folder.rpartition("/")[0]
        return list(replacements.values())

    def _resolve_entry_parents(self, path: str) -> str:
        """Returns the path of a layer's entry with the symbolic links in its parent directories followed."""
        folder, _, name = path.rpartition("/")
        return f"{self._resolve_folder(folder)}/{name}" if self.links else path

    def _resolve_all_parents(self, paths: Collection[str]) -> Collection[str]:
        """Returns the paths of a layer's entries, in the same order, with the symbolic links in their parent directories followed."""
        folders = {path.rpartition("/")[0] for path in paths} if self.links else ()
        if all(self._resolve_folder(folder) == folder for folder in folders):
            return paths
        return [self._resolve_entry_parents(path) for path in paths]

    def _resolve_folder(self, folder: str) -> str:
        """Returns the path of the directory to which a path leads; the path itself, and a problem, if links lead in a circle."""
        real = self._folders.get(folder)
        if real is None:
            try:
                real = self.resolve_path(folder)
            except ValueError as error:
                self.problems.append(format_problem("layers", folder, str(error)))
                real = folder
            self._folders[folder] = real
        return real

    def _remove(self, path: str) -> None:
        """Removes the entry at a path, and what is below it; capabilities and programs are removed by _forget_files()."""
        self.files.discard(path)
        self.differing_files.pop(path, None)
        if self.links.pop(path, None) is not None:
            self._folders.clear()
        if self.directories.pop(path, None):
            self._remove_below(path)

    def _remove_below(self, path: str) -> None:
        """Removes what is below a directory."""
        prefix = path + "/"
        self.files = {file for file in self.files if not file.startswith(prefix)}
        for entries in (self.directories, self.links, self.capabilities, self.scripts, self.loaders, self.differing_files):
            for removed in [entry for entry in entries if entry.startswith(prefix)]:
                del entries[removed]

    def _forget_files(self, replaced: set[str]) -> None:
        """Removes what is known about files that a layer replaces, or that do not exist any more."""
        for table in (self.capabilities, self.scripts, self.loaders):
            for path in [path for path in table if path in replaced or path not in self.files]:
                del table[path]
        for path in self.differing_files.keys() & replaced:
            del self.differing_files[path]

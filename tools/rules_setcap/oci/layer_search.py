"""Finds files of an image in its layers from the highest one down, so that the layers below them need not be fetched.

A path is settled if the layers that have been read decide where it leads, whatever the layers below have: each parent
directory has an entry, and the last component has an entry or is hidden by a whiteout. A directory without an entry of its own
is not settled, because in a layer below it may be a symbolic link, and it has the mode and owner that it has there. A hard link
to a file of a layer below is not settled either.

Container engines agree about settled paths, except where the layers that have been read have entries about which engines may
differ (RootFilesystem), or entries that a symbolic link of a layer below can redirect to the path. Then all layers are read. So
the result is that of layer_merge.merge_layers(), unless containerd refuses the image because of a layer that has not been read:
podman and umoci may give a directory or a hard link another mode or owner.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_setcap.archive.entry import DIRECTORY, SYMLINK
from rules_setcap.archive.reader import TarError
from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import InputError, format_problem
from rules_setcap.oci.engines.comparison import shorten_entries, unpack_by_engines
from rules_setcap.oci.found_files import follow_links
from rules_setcap.oci.layer_blobs import open_layer
from rules_setcap.oci.layer_merge import drop_unused_records
from rules_setcap.oci.nodes import OPAQUE, WHITEOUT, DirectoryNode
from rules_setcap.oci.root_filesystem import RootFilesystem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from rules_setcap.archive.budget import ReadBudget
    from rules_setcap.archive.reader import Member
    from rules_setcap.oci.layer_blobs import LayerBlob
    from rules_setcap.oci.layer_merge import Inspect

_FREE_ENTRIES, _ENTRIES_A_READ = 200_000, 8
"""Merging layers again takes time. It may take as many entries as these, and this many for each entry that has been read."""


class LayerSearch:
    """Reads the layers of an image from the highest one down, until paths are settled.

    Attributes:
      root: RootFilesystem, the merged root filesystem of the layers that have been read.
      blobs: list of LayerBlob, the layers, the lowest first. Those that have been read have the paths that `fetch` returned.
      first: int, the number of the lowest layer that has been read; the number of layers if none has been read.
      differing: list of str, if all layers have been read, the paths of files that have different capabilities in different
        container engines.
    """

    def __init__(
        self, blobs: Sequence[LayerBlob], fetch: Callable[[LayerBlob], LayerBlob], inspect: Inspect, budget: ReadBudget
    ) -> None:
        """Reads nothing yet.

        Args:
          blobs: the layers, the lowest first.
          fetch: fetches a layer, and returns it with the path of the file.
          inspect: gets each layer and its number, and yields its entries; it may read their content.
          budget: counts what is read.
        """
        self.blobs = list(blobs)
        self.first = len(self.blobs)
        self.root = RootFilesystem()
        self.differing: list[str] = []
        self._fetch, self._inspect, self._budget = fetch, inspect, budget
        self._layers: list[list[Member]] = []  # The entries of the layers that have been read, the lowest first.
        self._entries_left = _FREE_ENTRIES
        self._needs_all = False  # Whether the layers that have been read do not tell what engines read.
        self._names: set[str] = set()  # The names that lead to the paths.

    @property
    def is_complete(self) -> bool:
        """Whether all layers have been read."""
        return not self.first

    def find_paths(self, paths: Iterable[str]) -> None:
        """Reads layers until all paths are settled, and the targets of symbolic links at these paths.

        Args:
          paths: absolute, normalized paths.

        Raises:
          InputError: a layer is not valid, or no engine accepts the layers.
        """
        paths = list(paths)
        frontier, is_due = self._find_frontier(paths), False
        while frontier and self.first:
            self._read_layer()
            is_due = is_due or self._may_settle(frontier)
            if self.first and is_due and not self._needs_all and self._merge_upper_layers():
                frontier, is_due = self._find_frontier(paths), False
        if frontier:
            self._merge_all_layers()

    def read_all(self) -> None:
        """Reads the layers that have not been read; raises InputError as find_paths()."""
        if self.first:
            while self.first:
                self._read_layer()
            self._merge_all_layers()

    def _read_layer(self) -> None:
        """Fetches and reads the next layer."""
        self.first -= 1
        blob = self.blobs[self.first] = self._fetch(self.blobs[self.first])
        with open_layer(blob, self._budget) as archive:
            members = self._inspect(archive, self.first)
            self._layers.insert(0, shorten_entries(drop_unused_records(members, self._budget)))
        self._entries_left += _ENTRIES_A_READ * len(self._layers[0])

    def _merge_upper_layers(self) -> bool:
        """Merges the layers that have been read into `root`; returns False if that takes too long or needs the layers below."""
        count = sum(map(len, self._layers))
        if count > self._entries_left:
            return False
        self._entries_left -= count
        root = RootFilesystem()
        try:
            for number, members in enumerate(self._layers, self.first):
                root.apply_layer(members, number, self.blobs[number].descriptor["size"])
        except TarError:
            # A hard link to a file of a layer below; or an invalid layer, which _merge_all_layers() reports.
            self._needs_all = True
            return False
        self.root, self._needs_all = root, root.engines_may_differ
        return not root.engines_may_differ

    def _merge_all_layers(self) -> None:
        """Merges all layers as layer_merge.unpack_if_engines_differ() does."""
        self.root = RootFilesystem()
        for number, (blob, members) in enumerate(zip(self.blobs, self._layers, strict=True)):
            try:
                self.root.apply_layer(members, number, blob.descriptor["size"])
            except TarError as error:
                what = f"layer {blob.descriptor['digest']}: {error}"
                raise InputError([format_problem("base", blob.place, what)]) from None
        if not self.root.engines_may_differ:
            return
        try:
            self.root, differences = unpack_by_engines(self._layers)
        except TarError as error:
            raise InputError([format_problem("base", self.blobs[0].place, str(error))]) from None
        self.differing = [difference.path for difference in differences]

    def _find_frontier(self, paths: Iterable[str]) -> set[str]:
        """Returns the paths about which a lower layer may decide where `paths` lead; none if they are settled."""
        entries = (member.path.rpartition("/") for members in self._layers for member in members)
        opaque = {folder for folder, _, name in entries if name == OPAQUE}
        self._names = set()
        frontier = set()
        for path in paths:
            for step in follow_links(self.root, path):
                if unsettled := self._find_unsettled(step, opaque):
                    frontier.add(unsettled)
                    break
        return frontier or set(self._list_redirectable())

    def _find_unsettled(self, path: str, opaque: set[str]) -> str:
        """Returns the first path on the way about which a lower layer may decide; "" if the path is settled.

        Args:
          path: an absolute path.
          opaque: the paths of directories with an opaque whiteout.
        """
        # The name of each directory on the way, the directory, and whether layers below have nothing in it.
        trail: list[tuple[str, DirectoryNode, bool]] = [("", self.root.root, "" in opaque)]
        todo = path.split("/")[::-1]
        followed = 0
        while todo:
            name = todo.pop()
            if name in ("", "."):
                continue
            if name == "..":
                del trail[max(len(trail) - 1, 1) :]
                continue
            self._names.add(name)
            _, folder, is_closed = trail[-1]
            here = "/".join([part for part, _, _ in trail] + [name])
            node = folder.children.get(name)
            if node is None:
                return "" if is_closed or name in (folder.removed_names or ()) else here
            if isinstance(node, DirectoryNode):
                if node.entry < 0:
                    return here  # containerd looks for its attributes in all layers below, also behind an opaque whiteout.
                trail.append((name, node, is_closed or node.replaces_other or here in opaque))
            elif node.type == SYMLINK and todo:
                followed += 1
                if followed > limits.LINKS:
                    return ""  # find_node() reports it.
                if node.link.startswith("/"):
                    del trail[1:]
                todo += node.link.split("/")[::-1]
            else:
                return ""
        return ""

    def _list_redirectable(self) -> Iterator[str]:
        """Yields directories without an entry, below which an entry has a name that leads to the paths.

        If the directory is a symbolic link in a layer below, some engines follow it. Then the entry may be at another path.
        """
        directories: set[str] = {""}  # Those that have an entry, in a layer below or before.
        implied: dict[str, str] = {}  # By directory, the first directory on the way that has no entry; "" if all have one.
        for members in self._layers:
            for member in members:
                folder, _, name = member.path.rpartition("/")
                first = implied.get(folder)
                if first is None or (first and first in directories):
                    first = implied[folder] = _find_implied(folder, directories)
                if first and (name == OPAQUE or not self._names.isdisjoint(_list_names(member.path[len(first) + 1 :]))):
                    yield first
                if member.type == DIRECTORY:
                    directories.add(member.path)

    def _may_settle(self, frontier: set[str]) -> bool:
        """Returns whether the lowest layer that has been read has an entry that may settle one of these paths."""
        watched = {"", *frontier}
        for unsettled in frontier:
            names = unsettled.split("/")
            watched.update("/".join(names[:count]) for count in range(2, len(names)))
        for member in self._layers[0]:
            path, is_directory = member.path, member.type == DIRECTORY
            folder, _, name = path.rpartition("/")
            if name == OPAQUE:
                path = folder
            elif name.startswith(WHITEOUT):
                path = f"{folder}/{name[len(WHITEOUT) :]}"
            if path in watched and (not is_directory or path in frontier):
                return True
        return False


def _find_implied(folder: str, directories: set[str]) -> str:
    """Returns the first directory on the way to a directory that is not in `directories`; "" if all are."""
    at = 0
    while at < len(folder):
        at = folder.find("/", at + 1)
        at = len(folder) if at < 0 else at
        if folder[:at] not in directories:
            return folder[:at]
    return ""


def _list_names(path: str) -> list[str]:
    """Returns the names in a path; that of a whiteout is the name that it hides."""
    return [name.removeprefix(WHITEOUT) for name in path.split("/")]

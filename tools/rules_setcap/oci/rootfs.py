"""The merged root filesystem of an image, computed from its layers without unpacking any.

OCI image-spec, "Image Layer Filesystem Changeset", "Applying Changesets". Container engines agree about ordinary layers.
Tree notices a layer about which they may differ, and unpacking.py then does what each of them does.
"""

from __future__ import annotations

from rules_setcap.archive.entry import DIRECTORY, HARDLINK, SYMLINK
from rules_setcap.archive.reader import ArchiveError
from rules_setcap.archive.records import CAPABILITY, OVERLAY
from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import quote
from rules_setcap.oci.nodes import (
    DEVICE,
    OPAQUE,
    WHITEOUT,
    Budget,
    Directory,
    Node,
    TooManyLinks,
    check_path,
    is_whiteout_device,
    walk,
    xattrs_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, Iterator

    from rules_setcap.archive.reader import Member

AUFS = "/.wh..wh."
_MEMOIZED = 4096  # Folders; a path may have 4096 bytes.


class Tree:
    """The files of an image.

    Attributes:
      root: Directory.
      unusual: bool, whether a layer has something about which engines may differ.
    """

    def __init__(self, root: Directory | None = None) -> None:
        """
        Args:
          root: what is there already; nothing by default.
        """
        self.root = root or Directory(None, 0, -1)
        self.unusual = False
        self._folders: dict[str, Directory] = {"": self.root}  # Memoized results of _enter().
        self._budget = Budget()
        self._linked = False  # Whether _walk() followed a symbolic link.
        self._rooted = -1  # The last layer with an entry for the root.

    def apply(self, members: Iterable[Member], layer: int, size: int = 0) -> None:
        """Applies a layer.

        Args:
          members: its entries.
          layer: its number; the lowest is 0.
          size: bytes of the layer as it is stored; a large layer may have more files.

        Raises:
          ArchiveError: every engine refuses the layer, or it exceeds a limit.
        """
        self._budget.extend(size)
        self._forget()
        for number, member in enumerate(members):
            check_path(member)
            self._add(member, layer, number)

    def find(self, path: str) -> tuple[str, Node] | None:
        """Finds what is at a path; its last part is not followed.

        Args:
          path: absolute.

        Returns:
          The path without symbolic links in it, and what is there; None if there is nothing.

        Raises:
          TooManyLinks: there are more symbolic links on the way than `limits.LINKS`.
        """
        folder, _, name = path.rpartition("/")
        trail = self._walk(folder, None)
        node = trail[-1][1].children.get(name) if trail else None
        if trail is None or node is None:
            return None
        return "/".join([part for part, _ in trail] + [name]), node

    def walk(self) -> Iterator[tuple[str, Node]]:
        """Yields all paths below the root with what is there, sorted by name in each directory."""
        return walk(self.root)

    def _add(self, member: Member, layer: int, number: int) -> None:
        folder, _, name = member.path.rpartition("/")
        if not name:
            self.unusual |= self._rooted == layer
            self._rooted = layer
            return
        parent = self._folders.get(folder)
        if parent is None:
            parent = self._enter(folder, layer)
        self._budget.add(member.path)
        if member.records and any(record.startswith(OVERLAY) for record in member.records):
            self.unusual = True
        if name.startswith(WHITEOUT):
            self._hide(parent, name, layer)
        elif member.type == HARDLINK:
            self._link(parent, name, member, layer)
        else:
            self._put(parent, name, member, layer, number)

    def _put(self, parent: Directory, name: str, member: Member, layer: int, number: int) -> None:
        """Adds an entry that is no hard link."""
        known = parent.children.get(name)
        if known is not None and DIRECTORY in (known.type, member.type):
            if known.type == member.type:
                self.unusual |= known.layer == layer and known.entry >= 0
                self._touch(parent, name, layer)
                known.describe(member, layer, number)
                return
            self._forget()
        elif known is not None and known.type == SYMLINK:
            self._forget()
        if known is not None:
            # overlayfs would merge a new directory with one of that name in a layer below; Docker takes no path twice.
            self.unusual |= self._is_own(parent, name, layer)
        if member.type == DEVICE and is_whiteout_device(member):
            self.unusual = True
        self._touch(parent, name, layer)
        if member.type != DIRECTORY:
            parent.children[name] = Node(member, layer, number)
            return
        made = parent.children[name] = Directory(member, layer, number)
        made.renewed = known is not None or _is_renewed(parent, name)

    def _link(self, parent: Directory, name: str, member: Member, layer: int) -> None:
        """Adds a hard link; its mode and owner become those of the file."""
        known = parent.children.pop(name, None)
        if known is not None:
            self.unusual |= self._is_own(parent, name, layer)
            if known.type in (DIRECTORY, SYMLINK):
                self._forget()
        folder, _, last = member.link.rpartition("/")
        self._linked = False
        try:
            trail = self._walk(folder, None)
        except TooManyLinks:
            trail = None
        self.unusual |= self._linked
        target = trail[-1][1].children.get(last) if trail else None
        if trail is None or target is None or target.type == DIRECTORY:
            if self.unusual:
                return
            raise ArchiveError(f"{quote(member.path)} is a hard link to {quote(member.link)}, which is not a file")
        # An engine that unpacks each layer by itself does not have the files of those below.
        self.unusual |= not self._is_own(trail[-1][1], last, layer)
        xattrs = xattrs_of(member)
        if xattrs.get(CAPABILITY) != target.xattrs.get(CAPABILITY):
            # Some engines call chown, which clears the attribute, and then set the link's own.
            self.unusual = True
            target.xattrs = {**target.xattrs, **xattrs}
        if target.type != SYMLINK:
            target.mode = member.mode
        target.uid, target.gid = member.uid, member.gid
        self._touch(parent, name, layer)
        parent.children[name] = target

    def _hide(self, parent: Directory, name: str, layer: int) -> None:
        """Applies a whiteout; what its own layer has stays."""
        # overlayfs knows no opaque root, and engines do not make a whiteout twice.
        self.unusual |= self._has_mark(parent, name, layer) or name == OPAQUE and parent is self.root
        if name == OPAQUE:
            self._close(parent, layer)
            self._touch(parent, OPAQUE, layer)
            return
        if parent.gone is None:
            parent.gone = set()
        parent.gone.add(name[len(WHITEOUT) :])
        hidden = parent.children.get(name[len(WHITEOUT) :])
        if hidden is not None:
            if self._is_own(parent, name[len(WHITEOUT) :], layer):
                self.unusual = True
                if isinstance(hidden, Directory):
                    self._close(hidden, layer)
            else:
                del parent.children[name[len(WHITEOUT) :]]
                if hidden.type in (DIRECTORY, SYMLINK):
                    self._forget()
        self._touch(parent, name, layer)

    def _close(self, folder: Directory, layer: int) -> None:
        """Hides what the layers below have in a directory; what this one has stays."""
        todo = [folder]
        while todo:
            folder = todo.pop()
            if folder.closed == layer and self.unusual:
                continue  # There is nothing to hide, and nothing else to find out.
            self._budget.step(len(folder.children))
            own = folder.own if folder.own_layer == layer and folder.own is not None else ()
            fresh, folder.closed = folder.closed == layer, layer
            for name, child in list(folder.children.items()):
                if not fresh and name not in own:
                    del folder.children[name]
                    if folder.gone is None:
                        folder.gone = set()
                    folder.gone.add(name)
                    if child.type in (DIRECTORY, SYMLINK):
                        self._forget()
                elif isinstance(child, Directory):
                    # Engines that remember entries alone remove a directory without one, and what this layer has in it.
                    self.unusual |= child.layer != layer or child.entry < 0
                    todo.append(child)

    def _touch(self, parent: Directory, name: str, layer: int) -> None:
        """Records that a layer has a name in a directory."""
        self.unusual |= self._has_mark(parent, WHITEOUT + name, layer)
        if layer == 0 and not name.startswith(WHITEOUT):
            return  # All is its own.
        if parent.own_layer != layer or parent.own is None:
            parent.own, parent.own_layer = set(), layer
        parent.own.add(name)

    def _has_mark(self, parent: Directory, name: str, layer: int) -> bool:
        """Returns whether the layer that is being applied has a whiteout of this name in a directory."""
        return parent.own is not None and parent.own_layer == layer and name in parent.own

    def _is_own(self, parent: Directory, name: str, layer: int) -> bool:
        """Returns whether the layer that is being applied has a name in a directory."""
        return layer == 0 or parent.closed == layer or parent.own_layer == layer and parent.own is not None and name in parent.own

    def _enter(self, folder: str, layer: int) -> Directory:
        """Returns the directory at an absolute path; makes it if it is not there."""
        self._linked = False
        try:
            trail = self._walk(folder, layer)
            assert trail is not None
        except TooManyLinks:
            # An engine that unpacks each layer by itself does not see the links of layers below.
            self.unusual = True
            return Directory(None, layer, -1)
        # Engines differ in which links they follow, and AUFS has its own files below such names.
        self.unusual |= self._linked or AUFS in folder
        if layer:
            for (_, parent), (name, _) in zip(trail, trail[1:]):
                self._touch(parent, name, layer)
        found = trail[-1][1]
        if len(self._folders) > _MEMOIZED:
            self._forget()
        self._folders[folder] = found
        return found

    def _forget(self) -> None:
        """Forgets memoized folders; after a directory or a symbolic link was replaced or removed, and in a new layer."""
        self._folders = {"": self.root}

    def _walk(self, folder: str, layer: int | None) -> list[tuple[str, Directory]] | None:
        """Walks to a directory, through symbolic links, within the root.

        Args:
          folder: absolute, or "" for the root.
          layer: the layer for which directories are made that are not there; None if none are made.

        Returns:
          The directories on the way, from the root, with their names; None if there is no such directory.
        """
        trail = [("", self.root)]
        todo = folder.split("/")[::-1]
        links = 0
        self._budget.step(len(todo))
        while todo:
            name = todo.pop()
            if name in ("", "."):
                continue
            if name == "..":
                if len(trail) > 1:
                    trail.pop()
                continue
            parent = trail[-1][1]
            node = parent.children.get(name)
            if node is not None and node.type == SYMLINK:
                links += 1
                if links > limits.LINKS:
                    raise TooManyLinks(f"more than {limits.LINKS} symbolic links lead from {quote(folder)}")
                self._linked = True
                if node.link.startswith("/"):
                    del trail[1:]
                parts = node.link.split("/")
                self._budget.step(len(parts))
                todo += parts[::-1]
                continue
            if not isinstance(node, Directory):
                if layer is None:
                    return None
                if node is not None:
                    self.unusual = True  # Engines replace the file by a directory, or refuse the layer.
                made = parent.children[name] = Directory(None, layer, -1)
                made.renewed = _is_renewed(parent, name)
                # containerd looks for its attributes in each layer below, and fails where links or files lead elsewhere.
                self.unusual |= made.renewed
                self._budget.add("/".join([part for part, _ in trail]) + name)
                self._touch(parent, name, layer)
                node = made
            trail.append((name, node))
        return trail


def _is_renewed(parent: Directory, name: str) -> bool:
    return parent.renewed or parent.gone is not None and name in parent.gone

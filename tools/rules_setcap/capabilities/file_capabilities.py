"""The capabilities of a file, as a value that is made from text or from an extended attribute, and becomes either."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rules_setcap.capabilities import text_format, text_parser, xattr
from rules_setcap.capabilities.errors import CapabilityError

if TYPE_CHECKING:
    from collections.abc import Sequence


class FileCapabilities(NamedTuple):
    """The capabilities that `security.capability` assigns to a file (capabilities(7), "File capabilities").

    Attributes:
      permitted: a set: bit n is set if capability n is in it.
      inheritable: a set.
      effective: a set. A file has one effective bit for all of its capabilities, so this must be empty, or all capabilities
        that are permitted or inheritable; see check().
      rootid: uid of root in the user namespace that the capabilities are for; 0 if they are for every user namespace.
    """

    permitted: int
    inheritable: int
    effective: int
    rootid: int = 0

    def check(self) -> FileCapabilities:
        """Returns these capabilities if a file can hold them.

        Raises:
          CapabilityError: the effective set is neither empty nor all of the others; setcap(8) refuses it too
            (linux/capability.h, VFS_CAP_FLAGS_EFFECTIVE).
        """
        either = self.permitted | self.inheritable
        if self.effective in (0, either):
            return self
        if self.effective & ~either:
            raise CapabilityError(
                f'"{self.to_text()}": effective without permitted or inheritable; a file cannot hold that: '
                "what is effective must be permitted as well, as in cap_x=ep"
            )
        raise CapabilityError(
            f'"{self.to_text()}": effective for some capabilities only; a file has one effective bit for all of them: '
            "write e for every capability or for none"
        )

    def to_text(self) -> str:
        """Returns the sets as cap_to_text(3) writes them, without the rootid."""
        return text_format.format_sets(self.permitted, self.inheritable, self.effective)

    def to_getcap_text(self) -> str:
        """Returns the sets and the rootid as `getcap -n` of libcap prints them."""
        return self.to_text() + (f" [rootid={self.rootid}]" if self.rootid else "")

    def to_xattr(self) -> bytes:
        """Returns the value of `security.capability` that setcap(8) writes.

        Raises:
          CapabilityError: a file cannot hold these sets or this rootid.
        """
        self.check()
        return xattr.encode_record(self.permitted, self.inheritable, self.effective != 0, self.rootid)


def from_list(items: Sequence[str]) -> FileCapabilities | None:
    """Reads an attribute such as `linux_capabilities`.

    Args:
      items: each is a name, or several names with commas between them, all permitted (as in ko and in Docker's --cap-add);
        or clauses of cap_from_text(3). Items act in order, as clauses of one text do.

    Returns:
      The capabilities; None for an empty list, which assigns none, so that the file has no `security.capability`. Clauses
      that leave all sets empty (`=`) assign an empty record; the kernel does not treat that like no record.

    Raises:
      CapabilityError: with all problems of all items.
    """
    return FileCapabilities(*text_parser.parse_items(items)).check() if items else None


def from_text(text: str) -> FileCapabilities:
    """Reads clauses of cap_from_text(3), as setcap(8) takes them.

    Raises:
      CapabilityError: with all problems of the text.
    """
    text_parser.check_not_blank(text)
    return FileCapabilities(*text_parser.parse_clauses(text)).check()


def from_xattr(value: bytes) -> FileCapabilities:
    """Reads a value of `security.capability` that setxattr(2) accepts.

    Raises:
      CapabilityError: the value is invalid; the kernel refuses it (EINVAL).
    """
    permitted, inheritable, effective, rootid = xattr.decode_record(value)
    return FileCapabilities(permitted, inheritable, permitted | inheritable if effective else 0, rootid)

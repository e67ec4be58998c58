"""The capabilities of a file, as a value."""

from __future__ import annotations

from collections import namedtuple

from rules_setcap.capabilities.errors import CapabilityError

_Fields = namedtuple("_Fields", ("permitted", "inheritable", "effective", "rootid"), defaults=(0,))


class FileCapabilities(_Fields):
    """What a file's `security.capability` says (capabilities(7), "File capabilities").

    Attributes:
      permitted: bit n set means capability n.
      inheritable: likewise.
      effective: likewise; the kernel has one bit for all of it, so it is empty or
        all that is permitted or inheritable.
      rootid: uid of root in the user namespace that the record is for; 0 for any
        (revision 2 has none).
    """

    __slots__ = ()

    permitted: int
    inheritable: int
    effective: int
    rootid: int

    def check(self) -> FileCapabilities:
        """Returns self if a file can hold it.

        Raises:
          CapabilityError: the effective set is a part of the others, or more (setcap(8)
            refuses it; linux/capability.h, VFS_CAP_FLAGS_EFFECTIVE).
        """
        either = self.permitted | self.inheritable
        if self.effective in (0, either):
            return self
        from rules_setcap.capabilities.text import to_text

        text = to_text(self)
        if self.effective & ~either:
            raise CapabilityError(
                f'"{text}": effective without permitted or inheritable; a file cannot hold that: '
                "what is effective must be permitted as well, as in cap_x=ep"
            )
        raise CapabilityError(
            f'"{text}": effective for some capabilities only; a file has one effective bit for all of them: '
            "write e for every capability or for none"
        )

    def to_xattr(self) -> bytes:
        """The value of `security.capability`; see capabilities.xattr.encode."""
        from rules_setcap.capabilities.xattr import encode

        return encode(self)

    def to_text(self) -> str:
        """As cap_to_text(3) writes it; see capabilities.text.to_text."""
        from rules_setcap.capabilities.text import to_text

        return to_text(self)

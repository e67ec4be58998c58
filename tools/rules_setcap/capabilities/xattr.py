"""Encodes and decodes values of `security.capability`: `struct vfs_ns_cap_data` of linux/capability.h.

All numbers are 32 bits, little-endian: magic_etc (the revision in the highest byte, flags in the others), permitted and
inheritable of capabilities 0 to 31, permitted and inheritable of 32 to 63, and in revision 3 the rootid. Revision 1 ends
after capabilities 0 to 31.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from rules_setcap.capabilities.errors import CapabilityError
from rules_setcap.capabilities.text_format import format_sets

NAME = "security.capability"

_REVISION_1 = 0x01000000  # VFS_CAP_REVISION_1, 12 bytes
_REVISION_2 = 0x02000000  # VFS_CAP_REVISION_2, 20 bytes
_REVISION_3 = 0x03000000  # VFS_CAP_REVISION_3, 24 bytes
_EFFECTIVE = 0x000001  # VFS_CAP_FLAGS_EFFECTIVE
_INVALID_ROOTID = 0xFFFFFFFF  # INVALID_UID

_LOW = 0xFFFFFFFF


class Record(NamedTuple):
    """The fields of a value: two sets (bit n is set if capability n is in it), the effective bit, and the rootid or 0."""

    permitted: int
    inheritable: int
    effective: bool
    rootid: int


def encode_record(permitted: int, inheritable: int, effective: bool, rootid: int) -> bytes:
    """Returns the bytes that setcap(8) writes: revision 3 if there is a rootid, else revision 2.

    Raises:
      CapabilityError: a set or the rootid is out of range.
    """
    for name, value in (("permitted", permitted), ("inheritable", inheritable)):
        if not 0 <= value < 1 << 64:
            raise CapabilityError(f"{name} set {value:#x}: a file holds capabilities 0 to 63")
    if not 0 <= rootid < _INVALID_ROOTID:
        raise CapabilityError(f"rootid {rootid}: out of range (1 to 4294967294, or 0 for no rootid)")
    magic = (_REVISION_3 if rootid else _REVISION_2) | (_EFFECTIVE if effective else 0)
    data = struct.pack("<5I", magic, permitted & _LOW, inheritable & _LOW, permitted >> 32, inheritable >> 32)
    return data + struct.pack("<I", rootid) if rootid else data


def decode_record(data: bytes) -> Record:
    """Decodes a value that setxattr(2) accepts (cap_convert_nscap in security/commoncap.c).

    Revision 3 with rootid 0 means the same as revision 2, to the kernel and here. Revision 1 is refused, although the kernel
    reads it from a file system image that was made without setxattr (get_vfs_caps_from_disk): no container engine can
    unpack a layer that has it.

    Raises:
      CapabilityError: the kernel refuses the value (EINVAL).
    """
    if len(data) < 4:
        raise CapabilityError(f"{data.hex()}: {len(data)} bytes are too few for {NAME}")
    (magic,) = struct.unpack_from("<I", data)
    revision, flags = magic & 0xFF000000, magic & 0x00FFFFFF
    if revision == _REVISION_1 and len(data) == 12 and not flags & ~_EFFECTIVE:
        permitted, inheritable = struct.unpack_from("<2I", data, 4)
        text = format_sets(permitted, inheritable, permitted | inheritable if flags else 0)
        raise CapabilityError(
            f"{data.hex()}: revision 1 of {NAME}, which setxattr(2) refuses, so that no container engine can unpack it; in a file system "
            f"image (squashfs, EROFS) the kernel reads it as {text}; write revision 2"
        )
    size = {_REVISION_2: 20, _REVISION_3: 24}.get(revision)
    if size is None:
        raise CapabilityError(f"{data[:32].hex()}: revision {revision >> 24} of {NAME}; setxattr(2) takes 2 and 3")
    if len(data) != size:
        what = f"{data[:32].hex()}: {len(data)} bytes; revision {revision >> 24} of {NAME} has {size}"
        raise CapabilityError(what + _describe_text(data, size))
    if flags & ~_EFFECTIVE:
        raise CapabilityError(f"{data.hex()}: unknown flags {flags:#x} in {NAME}")
    permitted_low, inheritable_low, permitted_high, inheritable_high = struct.unpack_from("<4I", data, 4)
    rootid = struct.unpack_from("<I", data, 20)[0] if size == 24 else 0
    if rootid == _INVALID_ROOTID:
        raise CapabilityError(f"{data.hex()}: rootid 4294967295 is out of range (0 to 4294967294)")
    permitted = permitted_high << 32 | permitted_low
    inheritable = inheritable_high << 32 | inheritable_low
    return Record(permitted, inheritable, bool(flags & _EFFECTIVE), rootid)


def _describe_text(data: bytes, size: int) -> str:
    """Describes a value that a program, such as rules_img, wrote as UTF-8 text: each byte from 0x80 on became two.

    Args:
      data: the value.
      size: the number of bytes of a valid value.

    Returns:
      The end of a message, or "" if the value is not such text.
    """
    try:
        original = data.decode().encode("latin-1")
        if len(original) != size:
            return ""
        record = decode_record(original)
    except (UnicodeError, CapabilityError):
        return ""
    raised = (record.permitted | record.inheritable) if record.effective else 0
    return f"; this is the value of {format_sets(record.permitted, record.inheritable, raised)}, written as UTF-8 text"

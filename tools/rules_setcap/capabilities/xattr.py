"""Encodes and decodes `security.capability`: `struct vfs_ns_cap_data` of linux/capability.h.

All numbers are little-endian: magic_etc (revision in the highest byte, flags in the
others), then permitted and inheritable of capabilities 0-31, of 32-63, and in
revision 3 the rootid. Revision 1 ends after capabilities 0-31.
"""

from __future__ import annotations

import struct

from rules_setcap.capabilities.errors import CapabilityError
from rules_setcap.capabilities.sets import FileCapabilities

NAME = "security.capability"

_REVISION_1 = 0x01000000  # VFS_CAP_REVISION_1, 12 bytes
_REVISION_2 = 0x02000000  # VFS_CAP_REVISION_2, 20 bytes
_REVISION_3 = 0x03000000  # VFS_CAP_REVISION_3, 24 bytes
_EFFECTIVE = 0x000001  # VFS_CAP_FLAGS_EFFECTIVE
_INVALID_ROOTID = 0xFFFFFFFF  # INVALID_UID

_LOW = 0xFFFFFFFF


def encode(capabilities: FileCapabilities) -> bytes:
    """The bytes that setcap(8) writes: revision 2, or 3 where there is a rootid.

    Raises:
      CapabilityError: a file cannot hold these sets or this rootid.
    """
    capabilities.check()
    permitted, inheritable, effective, rootid = capabilities
    for name, value in (("permitted", permitted), ("inheritable", inheritable)):
        if not 0 <= value < 1 << 64:
            raise CapabilityError(f"{name} set {value:#x}: a file holds capabilities 0 to 63")
    if not 0 <= rootid < _INVALID_ROOTID:
        raise CapabilityError(f"rootid {rootid}: a uid is 1 to 4294967294, and 0 means none")
    magic = (_REVISION_3 if rootid else _REVISION_2) | (_EFFECTIVE if effective else 0)
    data = struct.pack(
        "<5I", magic, permitted & _LOW, inheritable & _LOW, permitted >> 32, inheritable >> 32
    )
    return data + struct.pack("<I", rootid) if rootid else data


def decode(data: bytes) -> FileCapabilities:
    """Decodes a value that setxattr(2) accepts (cap_convert_nscap in security/commoncap.c).

    Revision 3 with rootid 0 is the same as revision 2, to the kernel as here. Revision 1 is refused, although the kernel
    reads it from a file system image that was made without setxattr (get_vfs_caps_from_disk): no container engine can
    unpack a layer that has it.

    Raises:
      CapabilityError: the kernel would refuse it (EINVAL).
    """
    if len(data) < 4:
        raise CapabilityError(f"{data.hex()}: {len(data)} bytes are too few for {NAME}")
    (magic,) = struct.unpack_from("<I", data)
    revision, flags = magic & 0xFF000000, magic & 0x00FFFFFF
    if revision == _REVISION_1 and len(data) == 12 and not flags & ~_EFFECTIVE:
        permitted, inheritable = struct.unpack_from("<2I", data, 4)
        meant = FileCapabilities(permitted, inheritable, permitted | inheritable if flags else 0, 0)
        raise CapabilityError(
            f"{data.hex()}: revision 1 of {NAME}, which setxattr(2) refuses, so that no container engine can unpack it; in a file system "
            f"image (squashfs, EROFS) the kernel reads it as {meant.to_text()}; write revision 2"
        )
    size = {_REVISION_2: 20, _REVISION_3: 24}.get(revision)
    if size is None:
        raise CapabilityError(f"{data[:32].hex()}: revision {revision >> 24} of {NAME}; setxattr(2) takes 2 and 3")
    if len(data) != size:
        raise CapabilityError(
            f"{data[:32].hex()}: {len(data)} bytes; revision {revision >> 24} of {NAME} has {size}"
        )
    if flags & ~_EFFECTIVE:
        raise CapabilityError(f"{data.hex()}: unknown flags {flags:#x} in {NAME}")
    permitted_low, inheritable_low, permitted_high, inheritable_high = struct.unpack_from("<4I", data, 4)
    rootid = struct.unpack_from("<I", data, 20)[0] if size == 24 else 0
    if rootid == _INVALID_ROOTID:
        raise CapabilityError(f"{data.hex()}: rootid 4294967295 is no uid")
    permitted = permitted_high << 32 | permitted_low
    inheritable = inheritable_high << 32 | inheritable_low
    effective = permitted | inheritable if flags & _EFFECTIVE else 0
    return FileCapabilities(permitted, inheritable, effective, rootid)

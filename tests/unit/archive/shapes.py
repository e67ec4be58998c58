"""Makes tars in the forms that other programs write.

Each program has its own form of numbers, checksum and magic, which was taken from its source or from archives that it wrote.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tars import ELF, END

V7, USTAR, GNU = bytes(8), b"ustar\x0000", b"ustar  \0"
GNU_TIMES = b"14525122000\0" * 2
"""The fields atime and ctime of GNU tar."""
CAPABILITY = b"SCHILY.xattr.security.capability"
NET_RAW = bytes.fromhex("0100000200200000000000000000000000000000")


class Writer(NamedTuple):
    """The form in which a program writes a header.

    Attributes:
      mode: the format of mode, uid and gid.
      size: the format of size and mtime.
      checksum: the format of the checksum.
      magic: bytes 257 to 264.
      device: the device numbers of entries that are not devices.
      has_base256: whether the program writes large numbers in base 256.
      trailer: the last four bytes.
    """

    mode: bytes
    size: bytes
    checksum: bytes
    magic: bytes
    device: bytes = bytes(8)
    has_base256: bool = True
    trailer: bytes = bytes(4)


_POSIX = Writer(b"%07o\0", b"%011o\0", b"%06o\0 ", USTAR, b"0000000\0")
WRITERS = {
    "Go, Python, GNU tar posix, jib": _POSIX,
    "GNU tar, busybox, 7-zip": _POSIX._replace(magic=GNU, device=bytes(8)),
    "GNU tar v7": _POSIX._replace(magic=V7, device=bytes(8), has_base256=False),
    "UNIX v7": Writer(b"%6o \0", b"%11o ", b"%6o\0 ", V7, has_base256=False),
    "bsdtar": Writer(b"%06o \0", b"%011o ", b"%06o\0 ", USTAR, b"000000 \0"),
    "bsdtar with large numbers": Writer(b"%08o", b"%012o", b"%06o\0 ", USTAR, b"00000000"),
    "star": Writer(b"%07o ", b"%011o ", b"%07o ", USTAR, b"0000000 ", trailer=b"tar\0"),
    "Solaris tar": Writer(b"%07o\0", b"%011o\0", b"%07o\0", USTAR, b"0000000\0", has_base256=False),
    "Rust's tar": Writer(b"%07o\0", b"%011o\0", b"%07o\0", USTAR, b"0000000\0"),
    "Rust's tar, GNU": Writer(b"%07o\0", b"%011o\0", b"%07o\0", GNU),
    "Apache Commons Compress": Writer(b"%06o \0", b"%011o ", b"%06o\0 ", USTAR, b"000000 \0"),
    "node-tar": Writer(b"%06o \0", b"%010o \0", b"%06o \0", USTAR, b"000000 \0"),
    "Perl's Archive::Tar": Writer(b"%06o\0\0", b"%11o\0", b"%6o\0\0", b"ustar\0\0\0", bytes(8), has_base256=False),
}


def make_header(writer: Writer = _POSIX, name: bytes = b"a", kind: bytes = b"0", size: int = 0, **fields: bytes | int) -> bytes:
    """Returns a header.

    Args:
      writer: the form of the header.
      name: the name, up to 100 bytes.
      kind: the type flag.
      size: the size of the content in bytes.
      **fields: mode, uid, gid, mtime, devmajor, devminor (numbers, or the bytes of the field), and the bytes of size_field, link,
        prefix, magic, owner and trailer.
    """
    made = bytearray(512)

    def put(at: int, width: int, value: bytes | int, form: bytes) -> None:
        if isinstance(value, int):
            text = form % value if value >= 0 else b""
            value = text if 0 < len(text) <= width else encode_base256(value, width)
        made[at : at + len(value[:width])] = value[:width]

    put(0, 100, name, b"")
    put(100, 8, fields.get("mode", 0o755), writer.mode)
    put(108, 8, fields.get("uid", 0), writer.mode)
    put(116, 8, fields.get("gid", 0), writer.mode)
    put(124, 12, fields.get("size_field", size), writer.size)
    put(136, 12, fields.get("mtime", 1700000000), writer.size)
    made[156:157] = kind
    put(157, 100, fields.get("link", b""), b"")
    magic = bytes(fields.get("magic", writer.magic))
    made[257:265] = magic
    if magic != V7:
        put(265, 32, fields.get("owner", b"root"), b"")
        put(329, 8, fields.get("devmajor", writer.device), b"")
        put(337, 8, fields.get("devminor", writer.device), b"")
        if writer.trailer == b"tar\0":
            made[476:500] = b"14525122000 " * 2
        put(345, 155 if writer.trailer != b"tar\0" else 130, fields.get("prefix", b""), b"")
        put(508, 4, fields.get("trailer", writer.trailer), b"")
    return add_checksum(made, writer.checksum)


def add_checksum(header: bytes, form: bytes = b"%06o\0 ") -> bytes:
    """Returns a header with the right checksum."""
    return header[:148] + form % (sum(header[:148]) + 256 + sum(header[156:512])) + header[156:]


def change_header(entry: bytes, at: int, data: bytes) -> bytes:
    """Returns an entry with other bytes at an offset of its header, and the right checksum."""
    return add_checksum(entry[:at] + data + entry[at + len(data) : 512]) + entry[512:]


def encode_base256(value: int, width: int) -> bytes:
    """Returns a number in base 256, two's complement, with the highest bit set."""
    digits = (value % (1 << 8 * width)).to_bytes(width, "big")
    return bytes([digits[0] | 0x80]) + digits[1:]


def pad(data: bytes) -> bytes:
    """Returns data with zeros up to a whole block."""
    return data + bytes(-len(data) % 512)


def make_record(name: bytes, value: bytes) -> bytes:
    """Returns a pax record."""
    size = len(name) + len(value) + 3
    total = size + len(str(size))
    return b"%d %s=%s\n" % (size + len(str(total)), name, value)


def make_pax_header(
    records: Sequence[tuple[bytes, bytes]] | Mapping[bytes, bytes],
    writer: Writer = _POSIX,
    kind: bytes = b"x",
    **fields: bytes | int,
) -> bytes:
    """Returns a pax header with its records."""
    pairs = records.items() if isinstance(records, Mapping) else records
    data = b"".join(make_record(name, value) for name, value in pairs)
    return make_header(writer, b"PaxHeaders/x", kind, len(data), **{"mode": 0o644, **fields}) + pad(data)


def make_long_name(name: bytes, kind: bytes = b"L", writer: Writer = WRITERS["GNU tar, busybox, 7-zip"]) -> bytes:
    """Returns GNU tar's header for a long name, or for a long target (kind K)."""
    return make_header(writer, b"././@LongLink", kind, len(name) + 1, mode=0, mtime=0) + pad(name + b"\0")


def make_old_sparse(
    name: bytes = b"sparse", pieces: Sequence[tuple[int, int]] = ((0, 512), (4096, 512)), size: int = 8192
) -> bytes:
    """Returns a sparse file in GNU tar's old format."""
    stored = sum(length for _, length in pieces)
    made = bytearray(make_header(WRITERS["GNU tar, busybox, 7-zip"], name, b"S", stored))
    fields = [b"%011o\0%011o\0" % piece for piece in pieces]
    made[386 : 386 + 24 * len(fields[:4])] = b"".join(fields[:4])
    made[482:495] = (b"\1" if fields[4:] else b"\0") + b"%011o\0" % size
    more = b""
    while fields := fields[21:] if more else fields[4:]:
        more += b"".join(fields[:21]).ljust(504, b"\0") + (b"\1" if fields[21:] else b"\0") + bytes(7)
    return add_checksum(made) + more + pad(ELF[:stored].ljust(stored, b"x"))


def make_pax_sparse(version: str, name: bytes = b"sparse", records: Sequence[tuple[bytes, bytes]] = ()) -> bytes:
    """Returns a sparse file in pax format 0.0, 0.1 or 1.0: 8192 bytes, of which 1024 are in the archive."""
    data = pad(ELF[:1024])
    sizes = [(b"GNU.sparse.size", b"8192"), (b"GNU.sparse.numblocks", b"2")]
    if version == "0.0":
        pieces = [
            (b"GNU.sparse.offset", b"0"),
            (b"GNU.sparse.numbytes", b"512"),
            (b"GNU.sparse.offset", b"4096"),
            (b"GNU.sparse.numbytes", b"512"),
        ]
        return make_pax_header([*sizes, *pieces, *records]) + make_header(name=name, size=1024) + data
    major, minor = version.encode().split(b".")
    start = [(b"GNU.sparse.major", major), (b"GNU.sparse.minor", minor), (b"GNU.sparse.name", name)]
    short = b"GNUSparseFile.1/" + name[:50]
    if version == "0.1":
        return (
            make_pax_header([*start, *sizes, (b"GNU.sparse.map", b"0,512,4096,512"), *records])
            + make_header(name=short, size=1024)
            + data
        )
    mapped = pad(b"2\n0\n512\n4096\n512\n") + data
    return (
        make_pax_header([*start, (b"GNU.sparse.realsize", b"8192"), *records])
        + make_header(name=short, size=len(mapped))
        + mapped
    )


def make_program(writer: Writer = _POSIX, name: bytes = b"program", data: bytes = ELF, **fields: bytes | int) -> bytes:
    """Returns an entry of a program with its content."""
    return make_header(writer, name, size=len(data), **fields) + pad(data)


def _make_tar_of_writer(writer: Writer) -> bytes:
    """Returns a tar with one entry of each kind, as a program writes them."""
    entries = [
        make_header(writer, b"usr/", b"5"),
        make_program(writer, b"usr/program", uid=1000, gid=100),
        make_program(writer, b"usr/\xff\xfe"),
        make_header(writer, b"usr/link", b"2", link=b"program", mode=0o777),
        make_header(writer, b"usr/hard", b"1", link=b"usr/program"),
        make_header(writer, b"usr/fifo", b"6"),
        make_header(writer, b"empty", b"0", mode=0o644, mtime=0),
    ]
    if writer.magic == V7:
        entries.append(make_header(writer, b"opt/", b"\0"))
        entries.append(make_header(writer, b"old", b"\0", len(ELF)) + pad(ELF))
    if writer.magic[:6] == USTAR[:6]:
        entries.append(make_program(writer, b"program", prefix=b"p" * 120))
        entries.append(
            make_pax_header({b"path": b"long/" * 60 + b"program", b"mtime": b"1700000000.25", b"uid": b"3000000"}, writer)
            + make_program(writer, b"long")
        )
        entries.append(make_pax_header({b"comment": b"of all"}, writer, b"g") + make_program(writer, b"after"))
    if writer.magic == GNU:
        entries.append(make_long_name(b"long/" * 60 + b"program", writer=writer) + make_program(writer, b"long/"))
        entries.append(
            make_long_name(b"t" * 200, b"K", writer)
            + make_long_name(b"l" * 200, writer=writer)
            + make_header(writer, b"l", b"2", link=b"t")
        )
    if writer.has_base256:
        entries.append(make_program(writer, b"large", uid=1 << 24, gid=1 << 31, mtime=-1))
    return b"".join(entries) + END


def make_canonical_tars() -> dict[str, bytes]:
    """Returns archives that must be read, by name: one of each writer, and one for each extension."""
    made = {name: _make_tar_of_writer(writer) for name, writer in WRITERS.items()}
    many = [(number * 1024, 512) for number in range(60)]
    others = {
        "GNU sparse": make_old_sparse(),
        "GNU sparse with a long map": make_old_sparse(pieces=many, size=60 * 1024),
        "GNU sparse without data": make_old_sparse(pieces=[(8192, 0)]),
        "pax sparse 0.0": make_pax_sparse("0.0"),
        "pax sparse 0.1": make_pax_sparse("0.1"),
        "pax sparse 1.0": make_pax_sparse("1.0"),
        "star's fields": make_pax_header(
            {b"SCHILY.dev": b"2049", b"SCHILY.ino": b"1", b"SCHILY.nlink": b"1", b"SCHILY.tflags": b"x"}
        )
        + make_program(),
        "star's archive type": make_pax_header({b"SCHILY.archtype": b"exustar", b"SCHILY.release": b"star 1.6"}, kind=b"g")
        + make_program(),
        "hdrcharset": make_pax_header({b"hdrcharset": b"BINARY", b"path": b"a\xff"}) + make_program(),
        "xattrs": make_pax_header(
            {b"SCHILY.xattr.user.a": b"\0\n=\xff", b"SCHILY.xattr.user.b": b"", b"SCHILY.acl.access": b"user::rwx"}
        )
        + make_program(),
        "size in a record": make_pax_header({b"size": b"%d" % len(ELF)}) + make_header(name=b"program") + pad(ELF),
        "mtime before 1970": make_pax_header({b"mtime": b"-5.5"}) + make_program(),
        "pax header of old Go": make_pax_header({b"path": b"program"}, mode=0, mtime=0) + make_program(),
        "node-tar with times": make_header(
            WRITERS["node-tar"], b"a", prefix=(b"p" * 100).ljust(131, b"\0") + b"14525122000\0" * 2
        ),
        "signed checksum": add_signed_checksum(make_header(name=b"\xff")),
        "modes with types": make_header(mode=0o100644),
        "./": make_header(name=b"./", kind=b"5") + make_program(name=b"./program"),
        "absolute": make_program(name=b"/program"),
        "directory with a size": make_header(name=b"d/", kind=b"5", size=4096) + make_program(),
        "global header alone": make_pax_header({b"comment": b"commit"}, kind=b"g"),
        "device": make_header(name=b"null", kind=b"3", devmajor=b"0000001\0", devminor=b"0000003\0"),
        "the same long name twice": make_long_name(b"l" * 120) * 2 + make_program(WRITERS["GNU tar, busybox, 7-zip"]),
        "AIX tar": make_header(size_field=b"         77 ", size=63, mtime=b"\0" + b"1722000726 ") + pad(ELF[:63]),
        "pax after a long name": make_long_name(b"l" * 120)
        + make_pax_header({CAPABILITY: NET_RAW})
        + make_program(WRITERS["GNU tar, busybox, 7-zip"]),
        "long name after pax": make_pax_header({CAPABILITY: NET_RAW})
        + make_long_name(b"l" * 120)
        + make_program(WRITERS["GNU tar, busybox, 7-zip"]),
        "pax before v7": make_pax_header({CAPABILITY: NET_RAW}) + make_program(WRITERS["GNU tar v7"]),
        "GNU incremental": add_checksum(
            bytes(bytearray(make_program(WRITERS["GNU tar, busybox, 7-zip"])[:345]) + GNU_TIMES + bytes(143))
        )
        + pad(ELF),
    }
    return {**made, **{name: entries + END for name, entries in others.items()}}


def add_signed_checksum(header: bytes) -> bytes:
    """Returns a header with the checksum of programs that add signed bytes."""
    total = sum(byte - 256 if byte > 127 else byte for byte in header[:148] + header[156:512]) + 256
    return header[:148] + b"%06o\0 " % total + header[156:]

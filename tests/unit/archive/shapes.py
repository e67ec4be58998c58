"""Generates tars in the shapes that other programs write, and random ones that no program writes.

Each writer has its own form of numbers, checksum and magic; they were taken from its source or from
archives that it wrote.
"""

from __future__ import annotations

from typing import Mapping, NamedTuple, Sequence

from tars import ELF, END

V7, USTAR, GNU = bytes(8), b"ustar\x0000", b"ustar  \0"
GNU_TIMES = b"14525122000\0" * 2
"""When a file was read and changed, in the format of GNU tar."""
CAPABILITY = b"SCHILY.xattr.security.capability"
NET_RAW = bytes.fromhex("0100000200200000000000000000000000000000")


class Writer(NamedTuple):
    """The form in which a program writes a header.

    Attributes:
      mode, size, checksum: format of mode and owners, of size and mtime, and of the checksum.
      magic: bytes 257 to 264.
      device: the number of a device, of entries that are none.
      binary: whether large numbers are in base 256.
      trailer: the last four bytes.
    """

    mode: bytes
    size: bytes
    checksum: bytes
    magic: bytes
    device: bytes = bytes(8)
    binary: bool = True
    trailer: bytes = bytes(4)


_POSIX = Writer(b"%07o\0", b"%011o\0", b"%06o\0 ", USTAR, b"0000000\0")
WRITERS = {
    "Go, Python, GNU tar posix, jib": _POSIX,
    "GNU tar, busybox, 7-zip": _POSIX._replace(magic=GNU, device=bytes(8)),
    "GNU tar v7": _POSIX._replace(magic=V7, device=bytes(8), binary=False),
    "UNIX v7": Writer(b"%6o \0", b"%11o ", b"%6o\0 ", V7, binary=False),
    "bsdtar": Writer(b"%06o \0", b"%011o ", b"%06o\0 ", USTAR, b"000000 \0"),
    "bsdtar with large numbers": Writer(b"%08o", b"%012o", b"%06o\0 ", USTAR, b"00000000"),
    "star": Writer(b"%07o ", b"%011o ", b"%07o ", USTAR, b"0000000 ", trailer=b"tar\0"),
    "Solaris tar": Writer(b"%07o\0", b"%011o\0", b"%07o\0", USTAR, b"0000000\0", binary=False),
    "Rust's tar": Writer(b"%07o\0", b"%011o\0", b"%07o\0", USTAR, b"0000000\0"),
    "Rust's tar, GNU": Writer(b"%07o\0", b"%011o\0", b"%07o\0", GNU),
    "Apache Commons Compress": Writer(b"%06o \0", b"%011o ", b"%06o\0 ", USTAR, b"000000 \0"),
    "node-tar": Writer(b"%06o \0", b"%010o \0", b"%06o \0", USTAR, b"000000 \0"),
    "Perl's Archive::Tar": Writer(b"%06o\0\0", b"%11o\0", b"%6o\0\0", b"ustar\0\0\0", bytes(8), binary=False),
}


def block(writer: Writer = _POSIX, name: bytes = b"a", kind: bytes = b"0", size: int = 0, **fields: bytes | int) -> bytes:
    """Returns a header.

    Args:
      writer: the form.
      name: up to 100 bytes.
      kind: the type flag.
      size: bytes of content.
      **fields: mode, uid, gid, mtime (numbers, or bytes as they are), size_field, link, prefix, magic, owner, trailer, gnu_times.
    """
    made = bytearray(512)

    def put(at: int, width: int, value: bytes | int, form: bytes) -> None:
        if isinstance(value, int):
            text = form % value if value >= 0 else b""
            value = text if 0 < len(text) <= width else binary(value, width)
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
    return summed(made, writer.checksum)


def summed(header: bytes, form: bytes = b"%06o\0 ") -> bytes:
    """Returns a header with its checksum."""
    return header[:148] + form % (sum(header[:148]) + 256 + sum(header[156:512])) + header[156:]


def changed(entry: bytes, at: int, data: bytes) -> bytes:
    """Returns an entry with other bytes in its header."""
    return summed(entry[:at] + data + entry[at + len(data) : 512]) + entry[512:]


def binary(value: int, width: int) -> bytes:
    """Returns a number in base 256, two's complement, with the highest bit set."""
    digits = (value % (1 << 8 * width)).to_bytes(width, "big")
    return bytes([digits[0] | 0x80]) + digits[1:]


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def record(name: bytes, value: bytes) -> bytes:
    """Returns a pax record."""
    size = len(name) + len(value) + 3
    total = size + len(str(size))
    return b"%d %s=%s\n" % (size + len(str(total)), name, value)


def extension(records: Sequence[tuple[bytes, bytes]] | Mapping[bytes, bytes], writer: Writer = _POSIX, kind: bytes = b"x", **fields: bytes | int) -> bytes:
    """Returns a pax header with its records."""
    pairs = records.items() if isinstance(records, Mapping) else records
    data = b"".join(record(name, value) for name, value in pairs)
    return block(writer, b"PaxHeaders/x", kind, len(data), **{"mode": 0o644, **fields}) + padded(data)


def long_name(name: bytes, kind: bytes = b"L", writer: Writer = WRITERS["GNU tar, busybox, 7-zip"]) -> bytes:
    """Returns GNU tar's header for a long name, or target."""
    return block(writer, b"././@LongLink", kind, len(name) + 1, mode=0, mtime=0) + padded(name + b"\0")


def old_sparse(name: bytes = b"sparse", pieces: Sequence[tuple[int, int]] = ((0, 512), (4096, 512)), size: int = 8192) -> bytes:
    """Returns a sparse file in GNU tar's own format."""
    stored = sum(length for _, length in pieces)
    made = bytearray(block(WRITERS["GNU tar, busybox, 7-zip"], name, b"S", stored))
    fields = [b"%011o\0%011o\0" % piece for piece in pieces]
    made[386 : 386 + 24 * len(fields[:4])] = b"".join(fields[:4])
    made[482:495] = (b"\1" if fields[4:] else b"\0") + b"%011o\0" % size
    more = b""
    while fields := fields[21:] if more else fields[4:]:
        more += b"".join(fields[:21]).ljust(504, b"\0") + (b"\1" if fields[21:] else b"\0") + bytes(7)
    return summed(made) + more + padded(ELF[:stored].ljust(stored, b"x"))


def pax_sparse(version: str, name: bytes = b"sparse", records: Sequence[tuple[bytes, bytes]] = ()) -> bytes:
    """Returns a sparse file in pax format 0.0, 0.1 or 1.0: 8192 bytes, of which 1024 are in the archive."""
    data = padded(ELF[:1024])
    sizes = [(b"GNU.sparse.size", b"8192"), (b"GNU.sparse.numblocks", b"2")]
    if version == "0.0":
        pieces = [(b"GNU.sparse.offset", b"0"), (b"GNU.sparse.numbytes", b"512"), (b"GNU.sparse.offset", b"4096"), (b"GNU.sparse.numbytes", b"512")]
        return extension([*sizes, *pieces, *records]) + block(name=name, size=1024) + data
    major, minor = version.encode().split(b".")
    start = [(b"GNU.sparse.major", major), (b"GNU.sparse.minor", minor), (b"GNU.sparse.name", name)]
    short = b"GNUSparseFile.1/" + name[:50]
    if version == "0.1":
        return extension([*start, *sizes, (b"GNU.sparse.map", b"0,512,4096,512"), *records]) + block(name=short, size=1024) + data
    mapped = padded(b"2\n0\n512\n4096\n512\n") + data
    return extension([*start, (b"GNU.sparse.realsize", b"8192"), *records]) + block(name=short, size=len(mapped)) + mapped


def program(writer: Writer = _POSIX, name: bytes = b"program", data: bytes = ELF, **fields: bytes | int) -> bytes:
    """Returns an entry of a program, with its content."""
    return block(writer, name, size=len(data), **fields) + padded(data)


def _of_writer(writer: Writer) -> bytes:
    """Returns one entry of each kind, as a program writes them."""
    entries = [
        block(writer, b"usr/", b"5"),
        program(writer, b"usr/program", uid=1000, gid=100),
        program(writer, b"usr/\xff\xfe"),
        block(writer, b"usr/link", b"2", link=b"program", mode=0o777),
        block(writer, b"usr/hard", b"1", link=b"usr/program"),
        block(writer, b"usr/fifo", b"6"),
        block(writer, b"empty", b"0", mode=0o644, mtime=0),
    ]
    if writer.magic == V7:
        entries.append(block(writer, b"opt/", b"\0"))
        entries.append(block(writer, b"old", b"\0", len(ELF)) + padded(ELF))
    if writer.magic[:6] == USTAR[:6]:
        entries.append(program(writer, b"program", prefix=b"p" * 120))
        entries.append(extension({b"path": b"long/" * 60 + b"program", b"mtime": b"1700000000.25", b"uid": b"3000000"}, writer) + program(writer, b"long"))
        entries.append(extension({b"comment": b"of all"}, writer, b"g") + program(writer, b"after"))
    if writer.magic == GNU:
        entries.append(long_name(b"long/" * 60 + b"program", writer=writer) + program(writer, b"long/"))
        entries.append(long_name(b"t" * 200, b"K", writer) + long_name(b"l" * 200, writer=writer) + block(writer, b"l", b"2", link=b"t"))
    if writer.binary:
        entries.append(program(writer, b"large", uid=1 << 24, gid=1 << 31, mtime=-1))
    return b"".join(entries) + END


def canonical() -> dict[str, bytes]:
    """Returns archives that must be read: of each writer, and of each extension, by name."""
    made = {name: _of_writer(writer) for name, writer in WRITERS.items()}
    many = [(number * 1024, 512) for number in range(60)]
    others = {
        "GNU sparse": old_sparse(),
        "GNU sparse with a long map": old_sparse(pieces=many, size=60 * 1024),
        "GNU sparse without data": old_sparse(pieces=[(8192, 0)]),
        "pax sparse 0.0": pax_sparse("0.0"),
        "pax sparse 0.1": pax_sparse("0.1"),
        "pax sparse 1.0": pax_sparse("1.0"),
        "star's fields": extension({b"SCHILY.dev": b"2049", b"SCHILY.ino": b"1", b"SCHILY.nlink": b"1", b"SCHILY.tflags": b"x"}) + program(),
        "star's archive type": extension({b"SCHILY.archtype": b"exustar", b"SCHILY.release": b"star 1.6"}, kind=b"g") + program(),
        "hdrcharset": extension({b"hdrcharset": b"BINARY", b"path": b"a\xff"}) + program(),
        "xattrs": extension({b"SCHILY.xattr.user.a": b"\0\n=\xff", b"SCHILY.xattr.user.b": b"", b"SCHILY.acl.access": b"user::rwx"}) + program(),
        "size in a record": extension({b"size": b"%d" % len(ELF)}) + block(name=b"program") + padded(ELF),
        "mtime before 1970": extension({b"mtime": b"-5.5"}) + program(),
        "pax header of old Go": extension({b"path": b"program"}, mode=0, mtime=0) + program(),
        "node-tar with times": block(WRITERS["node-tar"], b"a", prefix=(b"p" * 100).ljust(131, b"\0") + b"14525122000\0" * 2),
        "signed checksum": signed(block(name=b"\xff")),
        "modes with types": block(mode=0o100644),
        "./": block(name=b"./", kind=b"5") + program(name=b"./program"),
        "absolute": program(name=b"/program"),
        "directory with a size": block(name=b"d/", kind=b"5", size=4096) + program(),
        "global header alone": extension({b"comment": b"commit"}, kind=b"g"),
        "device": block(name=b"null", kind=b"3", devmajor=b"0000001\0", devminor=b"0000003\0"),
        "the same long name twice": long_name(b"l" * 120) * 2 + program(WRITERS["GNU tar, busybox, 7-zip"]),
        "AIX tar": block(size_field=b"         77 ", size=63, mtime=b"\0" + b"1722000726 ") + padded(ELF[:63]),
        "pax after a long name": long_name(b"l" * 120) + extension({CAPABILITY: NET_RAW}) + program(WRITERS["GNU tar, busybox, 7-zip"]),
        "long name after pax": extension({CAPABILITY: NET_RAW}) + long_name(b"l" * 120) + program(WRITERS["GNU tar, busybox, 7-zip"]),
        "pax before v7": extension({CAPABILITY: NET_RAW}) + program(WRITERS["GNU tar v7"]),
        "GNU incremental": summed(bytes(bytearray(program(WRITERS["GNU tar, busybox, 7-zip"])[:345]) + GNU_TIMES + bytes(143))) + padded(ELF),
    }
    return {**made, **{name: entries + END for name, entries in others.items()}}


def signed(header: bytes) -> bytes:
    """Returns a header with the checksum of programs that add up signed bytes."""
    total = sum(byte - 256 if byte > 127 else byte for byte in header[:148] + header[156:512]) + 256
    return header[:148] + b"%06o\0 " % total + header[156:]

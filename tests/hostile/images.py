"""Hostile images of at most 1 MiB: tars, archives and layouts."""

from __future__ import annotations

import gzip
import hashlib
import json
import pathlib
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence

from tars import CAPABILITY, END, MIB, compress, file, header, pad, pax, zeros, zeros_of_zstd

_MEDIA = "application/vnd.oci.image."


def _names(count: int, name: bytes = b"f%d") -> Iterator[bytes]:
    for number in range(count):
        yield header(name % number)
    yield END


def symlink_chain() -> Iterator[bytes]:
    """Forty links that are long, and many files through them."""
    yield pax((b"linkpath", b"d")) + header(b"l0", kind=b"2")
    for number in range(1, 39):
        yield pax((b"linkpath", b"./" * 2000 + b"l%d" % (number - 1))) + header(b"l%d" % number, kind=b"2")
    yield header(b"d/", kind=b"5")
    yield from _names(20_000, b"l38/f%d")


def many_opaque() -> Iterator[bytes]:
    """A directory with many files, and many whiteouts of all of it."""
    for number in range(100_000):
        yield header(b"d/%d/f%d" % (number % 100, number))
    for _ in range(2000):
        yield header(b".wh..wh..opq")
    yield END


def deep_names() -> Iterator[bytes]:
    """Paths of 2,000 directories, none shared."""
    for number in range(3000):
        yield pax((b"path", b"%d/" % number + b"a/" * 2040 + b"x")) + header(b"f")
    yield END


def long_names() -> Iterator[bytes]:
    """Names of 255 bytes, 15 in a path, none shared."""
    for number in range(24_000):
        yield pax((b"path", b"/".join([b"%d" % number + b"n" * 249] * 15))) + header(b"f")
    yield END


def large_xattrs() -> Iterator[bytes]:
    """Extended attributes of 1 MiB each."""
    for number in range(600):
        yield pax((b"SCHILY.xattr.user.a", bytes(MIB - 64))) + header(b"f%d" % number)
    yield END


def directory_xattrs() -> Iterator[bytes]:
    """Extended attributes of directories, which metadata keeps."""
    for number in range(600):
        yield pax((b"SCHILY.xattr.user.a", bytes(MIB - 64))) + header(b"d%d/" % number, kind=b"5")
    yield END


def many_records() -> Iterator[bytes]:
    """As many records as a header holds, many times."""
    records = [(b"SCHILY.xattr.user.%d" % number, b"") for number in range(30_000)]
    one = pax(*records)
    for number in range(12):
        yield one + header(b"f%d" % number)
    yield END


def many_headers() -> Iterator[bytes]:
    """Headers of long names that no entry follows."""
    for _ in range(100_000):
        yield header(b"././@LongLink", 2, b"L") + pad(b"a\0")
    yield END


def many_globals() -> Iterator[bytes]:
    """Headers for all entries."""
    for number in range(90_000):
        yield pax((b"comment", b"x"), kind=b"g") + header(b"f")
    yield END


def sparse_maps() -> Iterator[bytes]:
    """The longest maps of old GNU sparse files."""
    extension = b"00000000000\0" * 42 + b"\1" + bytes(7)
    assert len(extension) == 512
    head = bytearray(header(b"s", kind=b"S"))
    head[257:265] = b"ustar  \0"
    head[482] = 1
    head[148:156] = b"        "
    head[148:156] = b"%06o\0 " % sum(head)
    for _ in range(40):
        yield bytes(head) + extension * 10_000 + extension[:504] + bytes(8)
    yield END


def capable_files() -> Iterator[bytes]:
    """Many files with capabilities: each is printed."""
    for number in range(70_000):
        yield file(b"f%d" % number, b"", CAPABILITY)
    yield END


def invalid_capabilities() -> Iterator[bytes]:
    """Many files with an invalid attribute: each is a problem."""
    for number in range(70_000):
        yield file(b"f%d" % number, b"", (CAPABILITY[0], b"x"))
    yield END


def capable_links() -> Iterator[bytes]:
    """Many hard links to one file, each with capabilities."""
    yield file(b"a", b"\x7fELF")
    for number in range(50_000):
        yield pax(CAPABILITY) + header(b"f%d" % number, kind=b"1", link=b"a")
    yield END


def many_programs() -> Iterator[bytes]:
    """Programs whose tables are as large as they may be."""
    program = large_elf()
    for number in range(60):
        yield file(b"f%d" % number, program, CAPABILITY)
    yield END


def large_elf() -> bytes:
    """An ELF program with 4096 headers and 1024 needed libraries, each of the same long string."""
    count = 4096
    strings = b"a" * 4000 + b"\0"
    table = 64 + 56 * count
    dynamic = b"".join(struct.pack("<qQ", 1, 0) for _ in range(1024)) + struct.pack("<qQqQqQ", 5, 0, 10, len(strings), 0, 0)
    at = table + len(strings)
    segments = [struct.pack("<IIQQQQQQ", 1, 5, table, 0, 0, len(strings), len(strings), 0)] * (count - 1)
    segments.append(struct.pack("<IIQQQQQQ", 2, 5, at, 0, 0, len(dynamic), len(dynamic), 0))
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    head = struct.pack("<16sHHIQQQIHHHHHH", ident, 2, 62, 1, 0, 64, 0, 0, 64, 56, count, 0, 0, 0)
    return head + b"".join(segments) + strings + dynamic


def many_scripts() -> Iterator[bytes]:
    """Scripts with the longest first lines."""
    for number in range(80_000):
        yield file(b"f%d" % number, b"#!/" + b"%0245d" % number)
    yield END


def large_passwd() -> Iterator[bytes]:
    """The largest /etc/passwd."""
    text = b"".join(b"%d:x:1:\n" % number for number in range(350_000))[: 4 * MIB]
    for _ in range(1):
        yield file(b"etc/passwd", text, mode=0o644)
    yield END


def large_file() -> Iterator[bytes]:
    """One file of 900 MiB of zeros."""
    yield from zeros(b"f", 900 * MIB)
    yield END


TARS: dict[str, tuple[str, Callable[[], Iterable[bytes]]]] = {
    "symlink_chain": ("gzip", symlink_chain),
    "many_opaque": ("gzip", many_opaque),
    "deep_names": ("gzip", deep_names),
    "long_names": ("gzip", long_names),
    "large_xattrs": ("gzip", large_xattrs),
    "directory_xattrs": ("gzip", directory_xattrs),
    "many_records": ("gzip", many_records),
    "many_headers": ("gzip", many_headers),
    "many_globals": ("gzip", many_globals),
    "many_files": ("gzip", lambda: _names(145_000)),
    "many_files_zstd": ("zstd", lambda: _names(360_000, b"f%07d")),
    "many_directories": ("gzip", lambda: _names(145_000, b"%d/a/b/c/d/e/f")),
    "sparse_maps": ("gzip", sparse_maps),
    "capable_files": ("gzip", capable_files),
    "invalid_capabilities": ("gzip", invalid_capabilities),
    "capable_links": ("gzip", capable_links),
    "many_programs": ("gzip", many_programs),
    "many_scripts": ("gzip", many_scripts),
    "large_passwd": ("gzip", large_passwd),
    "gzip_zeros": ("gzip", large_file),
    "xz_zeros": ("xz", large_file),
    "bzip2_zeros": ("bzip2", large_file),
}


def tar(name: str) -> bytes:
    """Returns one of TARS, or of those that are made in another way; at most 1 MiB, whatever its generator yields."""
    if name == "zstd_zeros":
        # The header and the end are frames of their own.
        size = 31 << 30
        return compress("zstd", [header(b"f", size)]) + zeros_of_zstd(size) + compress("zstd", [END])
    if name in ("bzip2_streams", "xz_streams"):
        codec, count = name.partition("_")[0], 2000 if name == "bzip2_streams" else 50
        block = compress(codec, [bytes(128 * MIB)])
        return compress(codec, [header(b"f", count * 128 * MIB)]) + block * count + compress(codec, [END])
    codec, parts = TARS[name]
    data = compress(codec, parts())
    return data


OTHER_TARS = ("zstd_zeros", "bzip2_streams", "xz_streams")


class Layout:
    """An OCI image layout in the making."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        (directory / "blobs/sha256").mkdir(parents=True)
        (directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def blob(self, data: bytes, kind: str) -> dict[str, object]:
        """Adds a blob; returns its descriptor."""
        digest = hashlib.sha256(data).hexdigest()
        (self.directory / "blobs/sha256" / digest).write_bytes(data)
        return {"mediaType": _MEDIA + kind, "digest": "sha256:" + digest, "size": len(data)}

    def image(self, layers: Sequence[bytes], repeat: int = 1, **config: object) -> dict[str, object]:
        """Adds an image; returns its descriptor. The layers' diff_ids are invented."""
        named = [self.blob(layer, "layer.v1.tar" + _codec(layer)) for layer in layers] * repeat
        rootfs = {"type": "layers", "diff_ids": ["sha256:" + "0" * 64] * len(named)}
        own = {"os": "linux", "architecture": "amd64", "config": config, "rootfs": rootfs}
        manifest = {"schemaVersion": 2, "config": self.blob(_json(own), "config.v1+json"), "layers": named}
        return self.blob(_json(manifest), "manifest.v1+json")

    def index(self, *descriptors: object) -> None:
        """Writes index.json."""
        (self.directory / "index.json").write_bytes(_json({"schemaVersion": 2, "manifests": descriptors}))


def _codec(data: bytes) -> str:
    return "+gzip" if data[:2] == b"\x1f\x8b" else "+zstd" if data[:4] == b"\x28\xb5\x2f\xfd" else ""


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def layout(directory: pathlib.Path, name: str) -> pathlib.Path:
    """Writes one of LAYOUTS, or a layout whose only layer is a tar of that name; returns its directory."""
    made = Layout(directory)
    if name in LAYOUTS:
        LAYOUTS[name](made)
    else:
        made.index(made.image([tar(name)]))
    return directory


def _repeated_layer(made: Layout) -> None:
    made.index(made.image([compress("gzip", [*zeros(b"f", 200 * MIB), END])], 400))


def _repeated_plain_layer(made: Layout) -> None:
    made.index(made.image([b"".join(_names(900))], 450))


def _many_layers(made: Layout) -> None:
    made.index(made.image([END], 4500))


def _many_images(made: Layout) -> None:
    layer = compress("gzip", [*zeros(b"f", 200 * MIB), END])
    made.index(*(made.image([layer], 1, Labels={"n": str(number)}) for number in range(900)))


def _many_manifests(made: Layout) -> None:
    made.index(*(made.image([file(b"f%d" % number) + END]) for number in range(500)))


def _many_descriptors(made: Layout) -> None:
    one = made.image([END])
    made.index(*[{**one, "annotations": {"n": str(number)}} for number in range(5000)])


def _nested_indexes(made: Layout) -> None:
    inner = made.image([END])
    for _ in range(40):
        inner = made.blob(_json({"schemaVersion": 2, "manifests": [inner]}), "index.v1+json")
    made.index(inner)


def _wide_indexes(made: Layout) -> None:
    """Indexes of many indexes, each of which names them all."""
    inner = [made.image([END])]
    for depth in range(4):
        inner = [made.blob(_json({"schemaVersion": 2, "manifests": inner, "n": f"{depth} {number}"}), "index.v1+json") for number in range(40)]
    made.index(*inner)


def _deep_config(made: Layout) -> None:
    deep = '{"os":"linux","architecture":"amd64","config":{"X":' + '{"a":' * 100_000 + "1" + "}" * 100_000 + '},"rootfs":{"diff_ids":[]}}'
    config = made.blob(deep.encode(), "config.v1+json")
    made.index(made.blob(_json({"schemaVersion": 2, "config": config, "layers": []}), "manifest.v1+json"))


def _large_number(made: Layout) -> None:
    config = made.blob(b'{"os":"linux","architecture":"amd64","x":' + b"9" * 900_000 + b',"rootfs":{"diff_ids":[]}}', "config.v1+json")
    made.index(made.blob(_json({"schemaVersion": 2, "config": config, "layers": []}), "manifest.v1+json"))


def _large_config(made: Layout) -> None:
    made.index(made.image([END], 1, Env=[f"V{number}=" for number in range(60_000)], PATH="/a:" * 1000))


LAYOUTS: dict[str, Callable[[Layout], None]] = {
    "repeated_layer": _repeated_layer,
    "repeated_plain_layer": _repeated_plain_layer,
    "many_layers": _many_layers,
    "many_images": _many_images,
    "many_manifests": _many_manifests,
    "many_descriptors": _many_descriptors,
    "nested_indexes": _nested_indexes,
    "wide_indexes": _wide_indexes,
    "deep_config": _deep_config,
    "large_number": _large_number,
    "large_config": _large_config,
}


def archive(name: str) -> bytes:
    """Returns one of ARCHIVES, compressed."""
    return ARCHIVES[name]()


def _docker(layers: int, blob: bytes) -> Iterator[bytes]:
    config = _json({"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": ["sha256:" + "0" * 64] * layers}})
    yield file(b"c.json", config, mode=0o644)
    yield file(b"l.tar", blob, mode=0o644)
    yield file(b"manifest.json", _json([{"Config": "c.json", "RepoTags": None, "Layers": ["l.tar"] * layers}]), mode=0o644)
    yield END


def _many_json() -> bytes:
    def parts() -> Iterator[bytes]:
        yield file(b"oci-layout", b"{}", mode=0o644)
        for number in range(200):
            yield from zeros(b"a%d.json" % number, 4 * MIB, 0o644)
        yield file(b"index.json", b'{"manifests":[]}', mode=0o644) + END

    return compress("gzip", parts())


def _nested_gzip() -> bytes:
    inner = compress("gzip", [*zeros(b"f", 900 * MIB), END])
    return compress("gzip", _docker(300, inner))


def _nested_zeros() -> bytes:
    """An archive of 500 MiB of gzip, which itself stands for 500 GiB of zeros."""
    member = compress("gzip", [bytes(512 * MIB)])
    layer = compress("gzip", [header(b"f", 1024 * 512 * MIB)]) + member * 1024 + compress("gzip", [END])

    return compress("zstd", _docker(1, layer))


def _links(count: int) -> bytes:
    parts = [header(b"l%d" % number, kind=b"2", link=b"l%d" % (number + 1)) for number in range(count)]
    return compress("gzip", [*parts, *_docker(1, END)])


ARCHIVES: dict[str, Callable[[], bytes]] = {
    "many_json": _many_json,
    "nested_gzip": _nested_gzip,
    "nested_zeros": _nested_zeros,
    "archive_repeated_layer": lambda: compress("gzip", _docker(5000, END)),
    "archive_links": lambda: _links(100_000),
    "archive_deep_manifest": lambda: compress("gzip", [file(b"manifest.json", b"[" * 100_000), file(b"oci-layout", b"{}"), END]),
    "archive_zstd_zeros": lambda: compress("zstd", [file(b"oci-layout", b"{}"), header(b"blob", 31 << 30)]) + zeros_of_zstd(31 << 30) + compress("zstd", [END]),
    "gzip_of_gzip": lambda: gzip.compress(gzip.compress(gzip.compress(bytes(64 * MIB), mtime=0), mtime=0), mtime=0),
}

SLOW = frozenset(("xz_zeros", "bzip2_zeros", "bzip2_streams", "xz_streams", "zstd_zeros", "gzip_zeros"))
"""The tars that take longest to read."""

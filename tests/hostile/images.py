"""Makes hostile images of at most 1 MiB: tars, archives and layouts."""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import json
import pathlib
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from raw_tars import (
    CAPABILITY,
    END,
    MIB,
    compress,
    compress_zeros_to_zstd,
    make_file,
    make_header,
    make_pax_header,
    make_zeros,
    pad,
)

_MEDIA = "application/vnd.oci.image."


def _names(count: int, name: bytes = b"f%d") -> Iterator[bytes]:
    for number in range(count):
        yield make_header(name % number)
    yield END


def symlink_chain() -> Iterator[bytes]:
    """Yields a chain of forty links with long targets, and many files whose paths lead through it."""
    yield make_pax_header((b"linkpath", b"d")) + make_header(b"l0", kind=b"2")
    for number in range(1, 39):
        yield make_pax_header((b"linkpath", b"./" * 2000 + b"l%d" % (number - 1))) + make_header(b"l%d" % number, kind=b"2")
    yield make_header(b"d/", kind=b"5")
    yield from _names(20_000, b"l38/f%d")


def many_opaque() -> Iterator[bytes]:
    """Yields a directory with many files, and many opaque whiteouts of it."""
    for number in range(100_000):
        yield make_header(b"d/%d/f%d" % (number % 100, number))
    for _ in range(2000):
        yield make_header(b".wh..wh..opq")
    yield END


def deep_names() -> Iterator[bytes]:
    """Yields paths of 2,000 directories each, none of which is shared."""
    for number in range(3000):
        yield make_pax_header((b"path", b"%d/" % number + b"a/" * 2040 + b"x")) + make_header(b"f")
    yield END


def long_names() -> Iterator[bytes]:
    """Yields paths of 15 names of up to 255 bytes, none of which is shared."""
    for number in range(24_000):
        yield make_pax_header((b"path", b"/".join([b"%d" % number + b"n" * 249] * 15))) + make_header(b"f")
    yield END


def large_xattrs() -> Iterator[bytes]:
    """Yields files with an extended attribute of 1 MiB each."""
    for number in range(600):
        yield make_pax_header((b"SCHILY.xattr.user.a", bytes(MIB - 64))) + make_header(b"f%d" % number)
    yield END


def directory_xattrs() -> Iterator[bytes]:
    """Yields directories with an extended attribute of 1 MiB each, which metadata keeps."""
    for number in range(600):
        yield make_pax_header((b"SCHILY.xattr.user.a", bytes(MIB - 64))) + make_header(b"d%d/" % number, kind=b"5")
    yield END


def many_records() -> Iterator[bytes]:
    """Yields headers with as many records as they can hold."""
    records = [(b"SCHILY.xattr.user.%d" % number, b"") for number in range(30_000)]
    one = make_pax_header(*records)
    for number in range(12):
        yield one + make_header(b"f%d" % number)
    yield END


def many_headers() -> Iterator[bytes]:
    """Yields headers of long names without an entry after them."""
    for _ in range(100_000):
        yield make_header(b"././@LongLink", 2, b"L") + pad(b"a\0")
    yield END


def many_globals() -> Iterator[bytes]:
    """Yields many global headers."""
    for _ in range(90_000):
        yield make_pax_header((b"comment", b"x"), kind=b"g") + make_header(b"f")
    yield END


def sparse_maps() -> Iterator[bytes]:
    """Yields old GNU sparse files with the longest maps."""
    extension = b"00000000000\0" * 42 + b"\1" + bytes(7)
    assert len(extension) == 512
    head = bytearray(make_header(b"s", kind=b"S"))
    head[257:265] = b"ustar  \0"
    head[482] = 1
    head[148:156] = b"        "
    head[148:156] = b"%06o\0 " % sum(head)
    for _ in range(40):
        yield bytes(head) + extension * 10_000 + extension[:504] + bytes(8)
    yield END


def capable_files() -> Iterator[bytes]:
    """Yields many files with capabilities, each of which is printed."""
    for number in range(70_000):
        yield make_file(b"f%d" % number, b"", CAPABILITY)
    yield END


def invalid_capabilities() -> Iterator[bytes]:
    """Yields many files with an invalid attribute, each of which is a problem."""
    for number in range(70_000):
        yield make_file(b"f%d" % number, b"", (CAPABILITY[0], b"x"))
    yield END


def capable_links() -> Iterator[bytes]:
    """Yields many hard links with capabilities to one file."""
    yield make_file(b"a", b"\x7fELF")
    for number in range(50_000):
        yield make_pax_header(CAPABILITY) + make_header(b"f%d" % number, kind=b"1", link=b"a")
    yield END


def many_programs() -> Iterator[bytes]:
    """Yields programs with the largest tables."""
    program = large_elf()
    for number in range(60):
        yield make_file(b"f%d" % number, program, CAPABILITY)
    yield END


def large_elf() -> bytes:
    """Returns an ELF program with 4096 program headers that needs 1024 libraries of the same long name."""
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
    """Yields scripts with the longest first lines."""
    for number in range(80_000):
        yield make_file(b"f%d" % number, b"#!/" + b"%0245d" % number)
    yield END


def large_passwd() -> Iterator[bytes]:
    """Yields the largest /etc/passwd."""
    text = b"".join(b"%d:x:1:\n" % number for number in range(350_000))[: 4 * MIB]
    for _ in range(1):
        yield make_file(b"etc/passwd", text, mode=0o644)
    yield END


def large_file() -> Iterator[bytes]:
    """Yields a file of 900 MiB of zeros."""
    yield from make_zeros(b"f", 900 * MIB)
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


def make_tar(name: str) -> bytes:
    """Returns one of TARS or OTHER_TARS, compressed to at most 1 MiB."""
    if name == "zstd_zeros":
        # The header and the end-of-archive marker are frames of their own.
        size = 31 << 30
        return compress("zstd", [make_header(b"f", size)]) + compress_zeros_to_zstd(size) + compress("zstd", [END])
    if name in ("bzip2_streams", "xz_streams"):
        codec, count = name.partition("_")[0], 2000 if name == "bzip2_streams" else 50
        block = compress(codec, [bytes(128 * MIB)])
        return compress(codec, [make_header(b"f", count * 128 * MIB)]) + block * count + compress(codec, [END])
    codec, parts = TARS[name]
    return compress(codec, parts())


OTHER_TARS = ("zstd_zeros", "bzip2_streams", "xz_streams")


class Layout:
    """An OCI layout to which images are added. The diff_ids of layers are zeros unless `true_diff_ids` is set."""

    def __init__(self, directory: pathlib.Path, true_diff_ids: bool = False) -> None:
        self.directory, self._true_diff_ids = directory, true_diff_ids
        (directory / "blobs/sha256").mkdir(parents=True)
        (directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def blob(self, data: bytes, kind: str) -> dict[str, object]:
        """Adds a blob, and returns its descriptor."""
        digest = hashlib.sha256(data).hexdigest()
        (self.directory / "blobs/sha256" / digest).write_bytes(data)
        return {"mediaType": _MEDIA + kind, "digest": "sha256:" + digest, "size": len(data)}

    def image(self, layers: Sequence[bytes], repeat: int = 1, **config: object) -> dict[str, object]:
        """Adds an image, and returns its descriptor."""
        descriptors = [self.blob(layer, "layer.v1.tar" + _codec(layer)) for layer in layers] * repeat
        diff_ids = [_compute_diff_id(layer) if self._true_diff_ids else "sha256:" + "0" * 64 for layer in layers] * repeat
        rootfs = {"type": "layers", "diff_ids": diff_ids}
        image_config = {"os": "linux", "architecture": "amd64", "config": config, "rootfs": rootfs}
        manifest = {"schemaVersion": 2, "config": self.blob(_json(image_config), "config.v1+json"), "layers": descriptors}
        return self.blob(_json(manifest), "manifest.v1+json")

    def index(self, *descriptors: object) -> None:
        """Writes index.json."""
        (self.directory / "index.json").write_bytes(_json({"schemaVersion": 2, "manifests": descriptors}))


def _codec(data: bytes) -> str:
    return "+gzip" if data[:2] == b"\x1f\x8b" else "+zstd" if data[:4] == b"\x28\xb5\x2f\xfd" else ""


@functools.lru_cache(4)
def _compute_diff_id(layer: bytes) -> str:
    """Returns the digest of a tar; zeros for one that is damaged, or so large that hashing it takes long."""
    hashed, size = hashlib.sha256(), 0
    try:
        with _open_layer(layer) as stream:
            while (data := stream.read(MIB)) and size <= 2048 * MIB:
                hashed.update(data)
                size += len(data)
    except (OSError, EOFError, ValueError):
        return "sha256:" + "0" * 64
    return "sha256:" + ("0" * 64 if size > 2048 * MIB else hashed.hexdigest())


def _open_layer(layer: bytes) -> Any:
    """Returns the bytes of the tar of a layer as a file."""
    if _codec(layer) == "+gzip":
        return gzip.GzipFile(fileobj=io.BytesIO(layer))
    if _codec(layer) == "+zstd":
        from compression import zstd

        return zstd.ZstdFile(io.BytesIO(layer))
    return io.BytesIO(layer)


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def make_layout(directory: pathlib.Path, name: str, true_diff_ids: bool = False) -> pathlib.Path:
    """Writes one of LAYOUTS, or a layout whose only layer is the tar of that name, and returns its directory."""
    layout = Layout(directory, true_diff_ids)
    if name in LAYOUTS:
        LAYOUTS[name](layout)
    else:
        layout.index(layout.image([make_tar(name)]))
    return directory


def _repeated_layer(layout: Layout) -> None:
    layout.index(layout.image([compress("gzip", [*make_zeros(b"f", 200 * MIB), END])], 400))


def _repeated_plain_layer(layout: Layout) -> None:
    layout.index(layout.image([b"".join(_names(900))], 450))


def _many_layers(layout: Layout) -> None:
    layout.index(layout.image([END], 4500))


def _many_images(layout: Layout) -> None:
    layer = compress("gzip", [*make_zeros(b"f", 200 * MIB), END])
    layout.index(*(layout.image([layer], 1, Labels={"n": str(number)}) for number in range(900)))


def _many_manifests(layout: Layout) -> None:
    layout.index(*(layout.image([make_file(b"f%d" % number) + END]) for number in range(500)))


def _many_descriptors(layout: Layout) -> None:
    one = layout.image([END])
    layout.index(*[{**one, "annotations": {"n": str(number)}} for number in range(5000)])


def _nested_indexes(layout: Layout) -> None:
    inner = layout.image([END])
    for _ in range(40):
        inner = layout.blob(_json({"schemaVersion": 2, "manifests": [inner]}), "index.v1+json")
    layout.index(inner)


def _wide_indexes(layout: Layout) -> None:
    """Writes four levels of indexes; each index names all indexes of the next level."""
    inner = [layout.image([END])]
    for depth in range(4):
        inner = [
            layout.blob(_json({"schemaVersion": 2, "manifests": inner, "n": f"{depth} {number}"}), "index.v1+json")
            for number in range(40)
        ]
    layout.index(*inner)


def _deep_config(layout: Layout) -> None:
    deep = (
        '{"os":"linux","architecture":"amd64","config":{"X":'
        + '{"a":' * 100_000
        + "1"
        + "}" * 100_000
        + '},"rootfs":{"diff_ids":[]}}'
    )
    config = layout.blob(deep.encode(), "config.v1+json")
    layout.index(layout.blob(_json({"schemaVersion": 2, "config": config, "layers": []}), "manifest.v1+json"))


def _large_number(layout: Layout) -> None:
    config = layout.blob(
        b'{"os":"linux","architecture":"amd64","x":' + b"9" * 900_000 + b',"rootfs":{"diff_ids":[]}}', "config.v1+json"
    )
    layout.index(layout.blob(_json({"schemaVersion": 2, "config": config, "layers": []}), "manifest.v1+json"))


def _large_config(layout: Layout) -> None:
    layout.index(layout.image([END], 1, Env=[f"V{number}=" for number in range(60_000)], PATH="/a:" * 1000))


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


def make_archive(name: str) -> bytes:
    """Returns one of ARCHIVES, compressed."""
    return ARCHIVES[name]()


def _docker(layers: int, blob: bytes) -> Iterator[bytes]:
    config = _json({"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": ["sha256:" + "0" * 64] * layers}})
    yield make_file(b"c.json", config, mode=0o644)
    yield make_file(b"l.tar", blob, mode=0o644)
    yield make_file(b"manifest.json", _json([{"Config": "c.json", "RepoTags": None, "Layers": ["l.tar"] * layers}]), mode=0o644)
    yield END


def _many_json() -> bytes:
    def parts() -> Iterator[bytes]:
        yield make_file(b"oci-layout", b"{}", mode=0o644)
        for number in range(200):
            yield from make_zeros(b"a%d.json" % number, 4 * MIB, 0o644)
        yield make_file(b"index.json", b'{"manifests":[]}', mode=0o644) + END

    return compress("gzip", parts())


def _nested_gzip() -> bytes:
    inner = compress("gzip", [*make_zeros(b"f", 900 * MIB), END])
    return compress("gzip", _docker(300, inner))


def _nested_zeros() -> bytes:
    """Returns an archive with a layer of 500 MiB of gzip, which decompresses to 500 GiB of zeros."""
    member = compress("gzip", [bytes(512 * MIB)])
    layer = compress("gzip", [make_header(b"f", 1024 * 512 * MIB)]) + member * 1024 + compress("gzip", [END])

    return compress("zstd", _docker(1, layer))


def _links(count: int) -> bytes:
    parts = [make_header(b"l%d" % number, kind=b"2", link=b"l%d" % (number + 1)) for number in range(count)]
    return compress("gzip", [*parts, *_docker(1, END)])


ARCHIVES: dict[str, Callable[[], bytes]] = {
    "many_json": _many_json,
    "nested_gzip": _nested_gzip,
    "nested_zeros": _nested_zeros,
    "archive_repeated_layer": lambda: compress("gzip", _docker(5000, END)),
    "archive_links": lambda: _links(100_000),
    "archive_deep_manifest": lambda: compress(
        "gzip", [make_file(b"manifest.json", b"[" * 100_000), make_file(b"oci-layout", b"{}"), END]
    ),
    "archive_zstd_zeros": lambda: (
        compress("zstd", [make_file(b"oci-layout", b"{}"), make_header(b"blob", 31 << 30)])
        + compress_zeros_to_zstd(31 << 30)
        + compress("zstd", [END])
    ),
    "gzip_of_gzip": lambda: gzip.compress(gzip.compress(gzip.compress(bytes(64 * MIB), mtime=0), mtime=0), mtime=0),
}

SLOW = frozenset(("xz_zeros", "bzip2_zeros", "bzip2_streams", "xz_streams", "zstd_zeros", "gzip_zeros"))
"""The tars that take the longest to read."""

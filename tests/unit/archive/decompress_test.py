"""Compressed tars: which are read, and which are refused with which message."""

from __future__ import annotations

import bz2
import gzip
import lzma
import pathlib
import struct
import tarfile
import zlib
from collections.abc import Callable

import pytest
from compression import zstd
from tars import END, make_tar, problems_of, retrofit, without_end, write

from rules_setcap.archive import decompress
from rules_setcap.archive.budget import ReadBudget
from rules_setcap.diagnostics import limits
from support import packer

TAR = without_end(make_tar({"name": "server"})) + END
HALF = len(TAR) // 2
CODECS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zstd": zstd.compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
}
SKIPPABLE = struct.pack("<II", 0x184D2A50, 3) + b"toc"


def _compress_xz(data: bytes, dictionary: int) -> bytes:
    """Returns data as xz whose block header claims a dictionary of another size (xz file format, 5.3.1)."""
    made = bytearray(lzma.compress(data, preset=0))
    end = 12 + (made[12] + 1) * 4
    at = made.index(b"\x21\x01", 12, end) + 2
    made[at] = dictionary
    made[end - 4 : end] = zlib.crc32(made[12 : end - 4]).to_bytes(4, "little")
    return bytes(made)


def _compress_zstd(logarithm: int) -> bytes:
    """Returns TAR as zstd with a window of 2^logarithm bytes."""
    parameter = zstd.CompressionParameter
    options = {parameter.window_log: logarithm, parameter.content_size_flag: 0, parameter.compression_level: 1}
    compressor = zstd.ZstdCompressor(options=options)
    return compressor.compress(TAR) + compressor.flush()


READ = {
    **{f"two streams of {name}": compress(TAR[:HALF]) + compress(TAR[HALF:]) for name, compress in CODECS.items()},
    **{f"an empty stream of {name} at the end": compress(TAR) + compress(b"") for name, compress in CODECS.items()},
    **{f"an empty stream of {name} at the start": compress(b"") + compress(TAR) for name, compress in CODECS.items()},
    **{
        f"many streams of {name}": b"".join(compress(TAR[at : at + 64]) for at in range(0, len(TAR), 64))
        for name, compress in CODECS.items()
    },
    "xz with padding": lzma.compress(TAR[:HALF]) + bytes(8) + lzma.compress(TAR[HALF:]) + bytes(4),
    "xz with a dictionary of 64 MiB": _compress_xz(TAR, 28),
    "zstd after a skippable frame": SKIPPABLE + zstd.compress(TAR),
    "zstd before a skippable frame": zstd.compress(TAR) + SKIPPABLE,
    "zstd between skippable frames": zstd.compress(TAR[:HALF]) + SKIPPABLE + zstd.compress(TAR[HALF:]) + SKIPPABLE,
    "zstd with the largest window": _compress_zstd(limits.ZSTD_WINDOW_LOG),
}


@pytest.mark.parametrize("name", READ)
def test_the_stream_is_read(tmp_path, name):
    assert retrofit(tmp_path, write(tmp_path, READ[name])) == (0, "")
    assert (tmp_path / "out").read_bytes() == TAR


@pytest.mark.parametrize("codec", CODECS)
def test_a_compressed_tar_needs_no_marker_at_its_end_and_gets_one(tmp_path, codec):
    """rules_img writes such layers, and container engines read them."""
    for end in (b"", bytes(512)):
        assert retrofit(tmp_path, write(tmp_path, CODECS[codec](without_end(TAR) + end))) == (0, "")
        assert (tmp_path / "out").read_bytes() == without_end(TAR) + end + END


def _flip_bit(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at:][1:]


GZIP = gzip.compress(TAR)
REFUSED = {
    **{f"truncated {name}": (compress(TAR)[:-1], f"damaged {name}: it is truncated") for name, compress in CODECS.items()},
    **{f"half of {name}": (compress(TAR)[:60], f"damaged {name}: it is truncated") for name, compress in CODECS.items()},
    **{
        f"nothing in {name}": (compress(b""), "ends without an end-of-archive marker: it is empty")
        for name, compress in CODECS.items()
    },
    **{f"{name} and something": (compress(TAR) + b"something", f"damaged {name}: ") for name, compress in CODECS.items()},
    "gzip and zeros, which gzip(1) takes and Go does not": (GZIP + bytes(512), "damaged gzip: "),
    "zstd and zeros": (zstd.compress(TAR) + bytes(512), "damaged zstd: "),
    "bzip2 and zeros": (bz2.compress(TAR) + bytes(512), "damaged bzip2: "),
    "xz with odd padding": (lzma.compress(TAR) + bytes(6), "damaged xz: padding that is not a multiple of four bytes"),
    "gzip with a wrong checksum": (_flip_bit(GZIP, -6), "damaged gzip: Error -3 while decompressing data: incorrect data check"),
    "gzip with a wrong length": (_flip_bit(GZIP, -2), "damaged gzip: Error -3 while decompressing data: incorrect length check"),
    "xz with a dictionary of 4 GiB": (_compress_xz(TAR, 40), "damaged xz: it needs too much memory (limit XZ_MEMORY: 128 MiB)"),
    "zstd with a window of 256 MiB": (
        _compress_zstd(limits.ZSTD_WINDOW_LOG + 1),
        "damaged zstd: a window that is too large (limit ZSTD_WINDOW_LOG: 128 MiB)",
    ),
    "lz4": (b"\x04\x22\x4d\x18" + TAR, "compressed by lz4, which is not supported"),
    "old lz4": (b"\x02\x21\x4c\x18" + TAR, "compressed by lz4, which is not supported"),
    "compress": (b"\x1f\x9d\x90" + TAR, "compressed by compress, which is not supported"),
    "lzma": (lzma.compress(TAR, lzma.FORMAT_ALONE), "compressed by lzma, which is not supported"),
    "lzip": (b"LZIP\1" + TAR, "compressed by lzip, which is not supported"),
    "lzop": (b"\x89LZO\0\r\n\x1a\n" + TAR, "compressed by lzop, which is not supported"),
    "snappy": (b"\xff\x06\0\0sNaPpY" + TAR, "compressed by snappy, which is not supported"),
    "brotli": (b"\xce\xb2\xcf\x81" + TAR, "compressed by brotli, which is not supported"),
    "7-Zip": (b"7z\xbc\xaf\x27\x1c" + TAR, "compressed by 7-Zip, which is not supported"),
    "ZIP": (b"PK\x03\x04" + TAR, "compressed by ZIP, which is not supported"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_stream_is_refused(tmp_path, name):
    data, fault = REFUSED[name]
    problems = problems_of(tmp_path, data)
    assert len(problems) == 1 and fault in problems[0], problems


@pytest.mark.parametrize("tar_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT])
@pytest.mark.parametrize("name", ["LZIP", "PK\x03\x04", "7z"])
def test_a_tar_whose_first_name_looks_like_a_codec_is_read(tmp_path, name, tar_format):
    tar = without_end(make_tar({"name": name}, tar_format=tar_format)) + END
    assert retrofit(tmp_path, write(tmp_path, tar)) == (0, "")
    v7 = bytearray(tar[:257] + bytes(255) + tar[512:])
    v7[148:156] = b"        "
    v7[148:156] = b"%06o\0 " % sum(v7[:512])
    assert retrofit(tmp_path, write(tmp_path, bytes(v7))) == (0, "")


def test_reads_of_any_size_give_the_same_bytes(tmp_path):
    data = bytes(range(256)) * 2000
    for compress in CODECS.values():
        (tmp_path / "x").write_bytes(compress(data[:1000]) + compress(data[1000:]))
        for size in (100, 512, 65535, 65536, 1 << 20):
            with open(tmp_path / "x", "rb") as file:
                stream = decompress.DecompressedStream(file)
                parts = []
                while part := stream.read(size):
                    assert len(part) == size or not stream.read(1)
                    parts.append(part)
                assert b"".join(parts) == data


def test_our_own_sparse_file_is_read(tmp_path):
    """A layer with 3 GiB of zeros is 100 KiB of zstd."""
    with open(tmp_path / "source", "wb") as file:
        file.truncate(3 << 30)
    layer = packer.Layer(tmp_path)
    layer.lines.append('{"path":"/zeros","source":"source"}')
    assert layer.pack("--compression=zstd") == (0, "")
    assert layer.blob.stat().st_size < 200_000
    with open(layer.blob, "rb") as stream:
        assert _drain(decompress.DecompressedStream(stream, ReadBudget())) > 3 << 30


def _drain(stream: decompress.DecompressedStream) -> int:
    """Reads a stream to its end; returns the number of bytes."""
    total = 0
    while data := stream.read(1 << 20):
        total += len(data)
    return total


def _write_bomb(path: pathlib.Path, compress: Callable[[bytes], bytes], times: int) -> pathlib.Path:
    """Writes a file of `times` streams, 64 MiB of zeros each."""
    block = compress(bytes(64 << 20))
    path.write_bytes(block * times)
    return path


@pytest.mark.parametrize("codec", ["bzip2", "xz"])
def test_too_much_work_is_refused(tmp_path, codec, monkeypatch):
    """The ratio of bzip2 has no limit: 100 bytes decompress to 64 MiB."""
    monkeypatch.setattr(limits, "WORK_FREE", 4 << 30)
    with open(_write_bomb(tmp_path / "bomb", CODECS[codec], 100), "rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(0)
        for budget in (ReadBudget(), ReadBudget(size)):
            stream.seek(0)
            message = r"too much work for its size \(limit WORK_FREE: 4 GiB and 32 KiB for each byte"
            with pytest.raises(decompress.DecompressionError, match=message):
                _drain(decompress.DecompressedStream(stream, budget))


def test_streams_share_the_budget_of_the_input(tmp_path, monkeypatch):
    """For example, a manifest names a layer many times."""
    monkeypatch.setattr(limits, "WORK_FREE", 4 << 30)
    path = _write_bomb(tmp_path / "layer", gzip.compress, 1)
    budget = ReadBudget(path.stat().st_size)
    with pytest.raises(decompress.DecompressionError, match="too much work"):
        for _ in range(20):
            with open(path, "rb") as stream:
                _drain(decompress.DecompressedStream(stream, budget))

"""What a layer can be made to hold: single modes, owners, attributes, links, parents, huge files."""

from __future__ import annotations

import json
import os
import resource
import tarfile

import pytest

from support import packer


def _entries(layer: packer.Layer, *flags: str) -> dict[str, tarfile.TarInfo]:
    assert layer.pack(*flags) == (0, "")
    with tarfile.open(layer.blob) as archive:
        return {entry.name: entry for entry in archive}


def test_modes_owners_and_attributes(tmp_path):
    layer = packer.Layer(tmp_path).add("/a/one", b"1").add("/a/two", b"2").add("/a/link", type="hardlink", target="/a/one")
    entries = _entries(
        layer,
        packer.change("modes", "/a/one", mode="0640"),
        packer.change("owners", "/a/one", owner="5:4294967294"),
        packer.change("xattrs", "/a/one", xattrs=["user.text=a=b", "user.hex=0x00ff", "user.base=0sAAH/"]),
    )
    for name in ("a/one", "a/link"):
        one = entries[name]
        assert (one.mode, one.uid, one.gid) == (0o640, 5, 4294967294)
        headers = {key: value.encode("utf-8", "surrogateescape") for key, value in one.pax_headers.items()}
        assert headers["SCHILY.xattr.user.text"] == b"a=b"
        assert headers["SCHILY.xattr.user.hex"] == b"\0\xff"
        assert headers["SCHILY.xattr.user.base"] == b"\0\1\xff"
    assert (entries["a/two"].mode, entries["a/two"].uid) == (0o755, 0)
    assert "SCHILY.xattr.user.text" not in entries["a/two"].pax_headers


def test_what_is_wrong_with_them(tmp_path):
    layer = packer.Layer(tmp_path).add("/a", b"1")
    done = layer.pack(
        packer.change("modes", "/a", mode="rwx"),
        packer.change("modes", "/b", mode="0644"),
        packer.change("owners", "/a", owner="root"),
        packer.change("owners", "/a", owner="0:4294967295"),
        packer.change("xattrs", "/a", xattrs=["comment=x", "user.a", "user.b=0xabc", "user.c=0s!", "user.d=1", "user.d=2"]),
        packer.change("xattrs", "/a", xattrs=["security.capability=0x00"]),
    )
    assert done.status == 1
    assert [line.removeprefix("//app:image: ") for line in done.stderr.splitlines()] == [
        'modes: "/a": mode "rwx" is not valid; write it in octal, as "0755"',
        'modes: "/b": no entry of this layer has this path',
        'owners: "/a": "root": not a valid owner; write uid:gid in numbers, as "65532:65532"',
        'owners: "/a": "0:4294967295": gid 4294967295 is out of range (0 to 4294967294)',
        'xattrs: "comment=x": of /a: must be "name=value", the name with its namespace, as user.comment',
        'xattrs: "user.a": of /a: must be "name=value", the name with its namespace, as user.comment',
        'xattrs: "user.b=0xabc": of /a: the value must be hex after 0x, or base64 after 0s',
        'xattrs: "user.c=0s!": of /a: the value must be hex after 0x, or base64 after 0s',
        'xattrs: "user.d=2": of /a: user.d is there twice; keep one',
        'xattrs: "security.capability=0x00": of /a: capabilities are assigned by file_capabilities',
    ]


def test_limits_of_the_kernel(tmp_path):
    """xattr(7): the name has 255 bytes at most, the value 65536."""
    layer = packer.Layer(tmp_path).add("/a", b"1")
    longest = ["user." + "n" * 250 + "=", "user.value=" + "v" * 65536]
    assert layer.pack(packer.change("xattrs", "/a", xattrs=longest)) == (0, "")
    for word, fault in (
        ("user." + "n" * 251 + "=", 'must be "name=value", the name with its namespace, as user.comment'),
        ("user.value=" + "v" * 65537, "the value has 65537 bytes; the kernel takes at most 65536"),
    ):
        done = layer.pack(packer.change("xattrs", "/a", xattrs=[word]))
        assert done.status == 1 and done.stderr.endswith(f": of /a: {fault}\n") and done.stderr.count("\n") == 1


def test_attributes_that_container_engines_could_not_read(tmp_path):
    layer = packer.Layer(tmp_path).add("/a", b"1")
    words = [f"user.{number}=0x" + "00" * 65536 for number in range(16)]
    assert layer.pack(packer.change("xattrs", "/a", xattrs=words[1:])) == (0, "")
    os.unlink(layer.blob)
    os.unlink(tmp_path / "metadata")
    done = layer.pack(packer.change("xattrs", "/a", xattrs=words))
    assert done == (1, '//app:image: xattrs: "/a": 1048678 bytes in all; container engines read at most 1032192\n')
    assert layer.outputs() == []


def test_equal_files_become_links_where_asked(tmp_path):
    layer = packer.Layer(tmp_path)
    for name, content in {"b": b"\x7fELFsame", "a": b"\x7fELFsame", "c": b"\x7fELFelse", "mode": b"\x7fELFsame", "cap": b"\x7fELFsame", "x": b"", "y": b""}.items():
        layer.add(f"/{name}", content, mode="0700" if name == "mode" else "0755")
    grant = packer.assign("/cap", "kill")
    assert not any(entry.islnk() for entry in _entries(layer, grant).values())
    entries = _entries(layer, "--hard-link-duplicates=yes", grant)
    assert {name: entry.linkname for name, entry in entries.items() if entry.islnk()} == {"b": "a"}
    twin = packer.Layer(tmp_path / "twin")
    (tmp_path / "twin").mkdir()
    twin.add("/a", b"\x7fELFsame").add("/b", b"\x7fELFsame")
    both = _entries(twin, "--hard-link-duplicates=yes", packer.assign("/a", "kill"), packer.assign("/b", "kill"))
    record = "SCHILY.xattr.security.capability"
    assert both["b"].islnk() and both["a"].pax_headers[record] == both["b"].pax_headers[record]
    # Files with different extended attributes stay apart; with equal ones they are joined.
    comment = [packer.change("xattrs", f"/{name}", xattrs=["user.comment=x"]) for name in "ab"]
    assert not _entries(twin, "--hard-link-duplicates=yes", comment[0])["b"].islnk()
    assert _entries(twin, "--hard-link-duplicates=yes", *comment)["b"].islnk()
    # A link that was there before leads to the file, not to a link that comes after it.
    twin.add("/above", type="hardlink", target="/b")
    links = _entries(twin, "--hard-link-duplicates=yes")
    assert [(name, entry.linkname) for name, entry in links.items()] == [("a", ""), ("above", "a"), ("b", "a")]


def test_stamp(tmp_path):
    (tmp_path / "source-status").write_text("BUILD_EMBED_LABEL \nBUILD_TIMESTAMP 1700000000\n")
    layer = packer.Layer(tmp_path).add("/a", b"")
    stamp = "--mtime={BUILD_TIMESTAMP}", "--stamp=source-status"
    assert _entries(layer, *stamp)["a"].mtime == 1700000000
    os.unlink(layer.blob)
    os.unlink(tmp_path / "metadata")
    (tmp_path / "source-status").write_text("BUILD_TIMESTAMP soon\n")
    wrong = {
        stamp: "not a valid time; write it as \"1970-01-01T00:00:00Z\", or in seconds since 1970",
        stamp[:1]: "has the placeholder {BUILD_TIMESTAMP}; set stamp = True",
        ("--mtime={STABLE_TIME}", stamp[1]): 'the workspace status has no "STABLE_TIME"; it has BUILD_TIMESTAMP',
    }
    for flags, expected in wrong.items():
        value = flags[0].partition("=")[2]
        assert layer.pack(*flags) == (1, f'//app:image: mtime: "{value}": {expected}\n')
    assert layer.outputs() == []


MTIMES = {
    "4102444800": 4102444800,
    "2100-01-01T00:00:00Z": 4102444800,
    "2100-01-01T02:30:00+02:30": 4102444800,
    "253402300799": 253402300799,
    "-1": -1,
    "1969-12-31T23:59:59Z": -1,
}


@pytest.mark.parametrize("text", MTIMES)
def test_mtime(tmp_path, text):
    """Times beyond 2038 and 2242, where 32-bit integers and octal fields of tar end."""
    assert _entries(packer.Layer(tmp_path).add("/a", b""), f"--mtime={text}")["a"].mtime == MTIMES[text]


@pytest.mark.parametrize("text", ["", "1.5", "2100-02-29T00:00:00Z", "2100-01-01", "253402300800", "2100-01-01T00:00:00.5Z", "now", "٣"])
def test_wrong_mtime(tmp_path, text):
    done = packer.Layer(tmp_path).add("/a", b"").pack(f"--mtime={text}")
    assert done.status == 1
    assert done.stderr.startswith("//app:image: mtime: ")


def test_a_file_of_more_than_8_gib(tmp_path):
    """Its size fits no octal field; its holes cost neither disk nor memory."""
    size = (8 << 30) + 1
    layer = packer.Layer(tmp_path).add("/huge", b"")
    os.truncate(tmp_path / "source0", size)
    assert layer.pack("--compression=zstd") == (0, "")
    assert layer.blob.stat().st_size < 1 << 20
    from compression import zstd

    with zstd.open(layer.blob) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
        entry = archive.next()
        assert entry is not None and (entry.name, entry.size) == ("huge", size)


@pytest.mark.parametrize("compression", ["gzip", "libdeflate", "none", "zstd"])
@pytest.mark.parametrize("shape", ["many files", "one file"])
def test_memory_is_bounded(tmp_path, shape, compression):
    """64 MiB, whatever the layer's size, up to 20,000 files."""
    layer = packer.Layer(tmp_path)
    if shape == "one file":
        layer.add("/large", b"")
        with open(tmp_path / "source0", "wb") as file:
            for _ in range(150):  # By itself: what this process holds would count for its children.
                file.write(os.urandom(1 << 20))
    else:
        layer.add("/0", b"content")
        layer.lines += [json.dumps({"path": f"/some/directory/{number // 100}/file{number}", "source": "source0"}) for number in range(19999)]
    assert layer.pack(*packer.make_compression_flags(compression), "--threads=2") == (0, "")
    # Of the largest child so far: this one, or one that was within the bound, too.
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert largest < 64 << 10, f"{largest} KiB"

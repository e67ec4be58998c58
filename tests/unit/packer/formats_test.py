"""The attributes of a layer have their effect: modes, owners, xattrs, hard_link_duplicates, mtime. Large layers work."""

from __future__ import annotations

import json
import os
import resource
import tarfile

import pytest

from support import packer


def _pack(layer: packer.Layer, *flags: str) -> dict[str, tarfile.TarInfo]:
    assert layer.pack(*flags) == (0, "")
    with tarfile.open(layer.blob) as archive:
        return {entry.name: entry for entry in archive}


def test_modes_owners_and_xattrs_change_single_entries(tmp_path):
    layer = packer.Layer(tmp_path).add("/a/one", b"1").add("/a/two", b"2").add("/a/link", type="hardlink", target="/a/one")
    entries = _pack(
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


def test_invalid_modes_owners_and_xattrs_are_problems(tmp_path):
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


def test_xattrs_keep_the_limits_of_the_kernel(tmp_path):
    """xattr(7): a name has up to 255 bytes, a value up to 65536."""
    layer = packer.Layer(tmp_path).add("/a", b"1")
    longest = ["user." + "n" * 250 + "=", "user.value=" + "v" * 65536]
    assert layer.pack(packer.change("xattrs", "/a", xattrs=longest)) == (0, "")
    for word, fault in (
        ("user." + "n" * 251 + "=", 'must be "name=value", the name with its namespace, as user.comment'),
        ("user.value=" + "v" * 65537, "the value has 65537 bytes; the kernel takes at most 65536"),
    ):
        done = layer.pack(packer.change("xattrs", "/a", xattrs=[word]))
        assert done.status == 1 and done.stderr.endswith(f": of /a: {fault}\n") and done.stderr.count("\n") == 1


def test_xattrs_that_container_engines_cannot_read_are_a_problem(tmp_path):
    layer = packer.Layer(tmp_path).add("/a", b"1")
    words = [f"user.{number}=0x" + "00" * 65536 for number in range(16)]
    assert layer.pack(packer.change("xattrs", "/a", xattrs=words[1:])) == (0, "")
    os.unlink(layer.blob)
    os.unlink(tmp_path / "metadata")
    done = layer.pack(packer.change("xattrs", "/a", xattrs=words))
    assert done == (1, '//app:image: xattrs: "/a": 1048678 bytes in all; container engines read at most 1032192\n')
    assert layer.outputs() == []


def test_duplicates_become_hard_links(tmp_path):
    layer = packer.Layer(tmp_path)
    for name, content in {
        "b": b"\x7fELFsame",
        "a": b"\x7fELFsame",
        "c": b"\x7fELFelse",
        "mode": b"\x7fELFsame",
        "cap": b"\x7fELFsame",
        "x": b"",
        "y": b"",
    }.items():
        layer.add(f"/{name}", content, mode="0700" if name == "mode" else "0755")
    assignment = packer.assign("/cap", "kill")
    assert not any(entry.islnk() for entry in _pack(layer, assignment).values())
    entries = _pack(layer, "--hard-link-duplicates=yes", assignment)
    assert {name: entry.linkname for name, entry in entries.items() if entry.islnk()} == {"b": "a"}
    twin = packer.Layer(tmp_path / "twin")
    (tmp_path / "twin").mkdir()
    twin.add("/a", b"\x7fELFsame").add("/b", b"\x7fELFsame")
    both = _pack(twin, "--hard-link-duplicates=yes", packer.assign("/a", "kill"), packer.assign("/b", "kill"))
    record = "SCHILY.xattr.security.capability"
    assert both["b"].islnk() and both["a"].pax_headers[record] == both["b"].pax_headers[record]
    # Files with different extended attributes are not duplicates.
    comment = [packer.change("xattrs", f"/{name}", xattrs=["user.comment=x"]) for name in "ab"]
    assert not _pack(twin, "--hard-link-duplicates=yes", comment[0])["b"].islnk()
    assert _pack(twin, "--hard-link-duplicates=yes", *comment)["b"].islnk()
    # A hard link of the request leads to the file, not to a duplicate that comes after it.
    twin.add("/above", type="hardlink", target="/b")
    links = _pack(twin, "--hard-link-duplicates=yes")
    assert [(name, entry.linkname) for name, entry in links.items()] == [("a", ""), ("above", "a"), ("b", "a")]


def test_a_placeholder_in_mtime_is_expanded(tmp_path):
    (tmp_path / "source-status").write_text("BUILD_EMBED_LABEL \nBUILD_TIMESTAMP 1700000000\n")
    layer = packer.Layer(tmp_path).add("/a", b"")
    stamp = '--mtime="{BUILD_TIMESTAMP}"', "--stamp=source-status"
    assert _pack(layer, *stamp)["a"].mtime == 1700000000
    os.unlink(layer.blob)
    os.unlink(tmp_path / "metadata")
    (tmp_path / "source-status").write_text("BUILD_TIMESTAMP soon\n")
    problems = {
        stamp: 'not a valid time; write it as "1970-01-01T00:00:00Z", or in seconds since 1970',
        stamp[:1]: "has the placeholder {BUILD_TIMESTAMP}; set stamp = True",
        ('--mtime="{STABLE_TIME}"', stamp[1]): 'the workspace status has no "STABLE_TIME"; it has BUILD_TIMESTAMP',
    }
    for flags, expected in problems.items():
        value = flags[0].partition("=")[2]
        assert layer.pack(*flags) == (1, f"//app:image: mtime: {value}: {expected}\n")
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
def test_mtime_has_every_format(tmp_path, text):
    """32-bit integers end in 2038, and the octal fields of tar in 2242."""
    assert _pack(packer.Layer(tmp_path).add("/a", b""), f"--mtime={json.dumps(text)}")["a"].mtime == MTIMES[text]


@pytest.mark.parametrize(
    "text", ["", "1.5", "2100-02-29T00:00:00Z", "2100-01-01", "253402300800", "2100-01-01T00:00:00.5Z", "now", "٣", "0\n"]
)
def test_an_invalid_mtime_is_a_problem(tmp_path, text):
    done = packer.Layer(tmp_path).add("/a", b"").pack(f"--mtime={json.dumps(text)}")
    assert done.status == 1
    assert done.stderr.startswith("//app:image: mtime: ")


def test_a_file_may_have_more_than_8_gib(tmp_path):
    """The size does not fit into the octal field. The file is a hole, so it needs no space."""
    size = (8 << 30) + 1
    layer = packer.Layer(tmp_path).add("/huge", b"")
    os.truncate(tmp_path / "source0", size)
    assert layer.pack("--compression=zstd") == (0, "")
    assert layer.blob.stat().st_size < 1 << 20
    from compression import zstd

    with zstd.open(layer.blob) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
        entry = archive.next()
        assert entry is not None and (entry.name, entry.size) == ("huge", size)


@pytest.mark.parametrize("compression", ["gzip", "none", "zlib", "zstd"])
@pytest.mark.parametrize("shape", ["many files", "one file"])
def test_memory_is_bounded(tmp_path, shape, compression):
    """The packer needs up to 64 MiB for up to 20,000 files, whatever their size."""
    layer = packer.Layer(tmp_path)
    if shape == "one file":
        layer.add("/large", b"")
        with open(tmp_path / "source0", "wb") as file:
            # Piece by piece, because the memory of this process would count for its children.
            file.writelines(os.urandom(1 << 20) for _ in range(150))
    else:
        layer.add("/0", b"content")
        layer.lines += [
            json.dumps({"path": f"/some/directory/{number // 100}/file{number}", "source": "source0"}) for number in range(19999)
        ]
    assert layer.pack(*packer.make_compression_flags(compression), "--threads=2") == (0, "")
    # This is the largest child so far. Those before were within the bound too.
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert largest < 64 << 10, f"{largest} KiB"

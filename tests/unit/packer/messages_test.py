"""Invalid input: every problem has its message, all are reported at once, and no output is left."""

from __future__ import annotations

import json
import os
import sys

import pytest

from support import packer

ELF = b"\x7fELF"


@pytest.fixture
def layer(tmp_path) -> packer.Layer:
    return packer.Layer(tmp_path).add("/app/server", ELF)


def _pack_invalid(layer: packer.Layer, *flags: str, **options) -> list[str]:
    """Packs an invalid layer; returns the problems, without the label."""
    done = layer.pack(*flags, **options)
    assert done.status == 1
    assert layer.outputs() == []
    lines = done.stderr.splitlines()
    assert all(line.startswith(packer.TARGET + ": ") for line in lines), done.stderr
    return [line[len(packer.TARGET) + 2 :] for line in lines]


def test_all_problems_are_reported_at_once(layer):
    layer.add("/app/run.sh", b"#!/bin/sh\n").add("/app/data", b"text", mode="0644").add(
        "/app/link", type="symlink", target="server"
    )
    layer.add("/app/far", type="symlink", target="../app/link")
    layer.add("/app/text", b"text").add("/app/nothing")
    assert _pack_invalid(
        layer,
        packer.assign("/app/server", "net_bind_servce", "bfp", attribute="linux_capabilities"),
        packer.assign("/app/run.sh", "cap_net_raw=ep"),
        packer.assign("/app/data", "cap_net_raw=ep"),
        packer.assign("/app/link", "cap_net_raw=ep"),
        packer.assign("/app/far", "cap_net_raw=ep"),
        packer.assign("/app", "cap_net_raw=ep"),
        packer.assign("/app/text", "cap_net_raw=ep"),
        packer.assign("/app/nothing", "cap_net_raw=ep"),
        packer.assign("/app/sever", "cap_net_raw=ep"),
        packer.assign("app/server", "cap_net_raw=ep"),
        '--problem=owner: "root": not an owner',
    ) == [
        'owner: "root": not an owner',
        'linux_capabilities: "net_bind_servce": unknown capability; did you mean "net_bind_service"?',
        'linux_capabilities: "bfp": unknown capability; did you mean "bpf"?',
        'file_capabilities: "app/server": must be absolute; write "/app/server"',
        'file_capabilities: "/app/run.sh": a script; the kernel ignores its capabilities, and takes those of its interpreter, "/bin/sh": assign them to that, or to a program that starts the script',
        'file_capabilities: "/app/data": mode 0644 has no execute bit; capabilities are for programs: set mode = "0755"',
        'file_capabilities: "/app/link": a symbolic link; the kernel looks at the file it leads to: name "/app/server"',
        'file_capabilities: "/app/far": a symbolic link; the kernel looks at the file it leads to ("/app/link" -> "/app/server"): name "/app/server"',
        'file_capabilities: "/app": a directory; capabilities are for programs',
        'file_capabilities: "/app/text": not an ELF program; the kernel ignores its capabilities',
        'file_capabilities: "/app/nothing": not an ELF program; the kernel ignores its capabilities',
        'file_capabilities: "/app/sever": no entry of this layer has this path; did you mean "/app/server"?',
    ]


def test_two_assignments_for_one_file_are_a_problem(layer):
    layer.add("/app/second", type="hardlink", target="/app/server")
    assert _pack_invalid(
        layer, packer.assign("/app/server", "bpf"), packer.assign("/app/second", "kill", attribute="linux_capabilities")
    ) == ['linux_capabilities: "/app/second": the same file as "/app/server", which has capabilities already; keep one']
    assert _pack_invalid(
        layer, packer.assign("/app/server", "bpf"), packer.assign("/app/server/", "kill", attribute="linux_capabilities")
    ) == ['linux_capabilities: "/app/server": has capabilities from file_capabilities already; keep one of the two']


def test_a_partial_effective_set_is_a_problem(layer):
    assert _pack_invalid(layer, packer.assign("/app/server", "cap_bpf=ep cap_kill=p")) == [
        'file_capabilities: "cap_bpf=ep cap_kill+p": effective for some capabilities only; '
        "a file has one effective bit for all of them: write e for every capability or for none"
    ]


def test_an_empty_list_is_no_record_and_an_empty_string_is_pack_invalid(layer):
    assert layer.pack(packer.assign("/app/server")) == (0, "")
    assert layer.metadata()["capabilities"] == {}
    os.unlink(layer.blob)
    os.unlink(layer.directory / "metadata")
    assert _pack_invalid(layer, packer.assign("/app/server", "")) == [
        'file_capabilities: "": no capability; write a name, or leave it out'
    ]


ENTRIES = [
    ({"path": "app"}, '"app": must be absolute; write "/app"'),
    ({"path": "/"}, '"/": must not be the root directory'),
    ({"path": "/a//b"}, '"/a//b": must not have "//", "/./" or "/../"; write the path without them'),
    ({"path": "/a/../b"}, '"/a/../b": must not have "//", "/./" or "/../"; write the path without them'),
    ({"path": "/a/./b"}, '"/a/./b": must not have "//", "/./" or "/../"; write the path without them'),
    *(
        (
            {"path": path, **more},
            f'{json.dumps(path)}: must not contain a name that begins with ".wh.": container engines would delete a file of the '
            "layers below",
        )
        for path, more in {
            "/etc/.wh.passwd": {},
            "/.wh..wh..opq": {},
            "/etc/.wh.x/y": {},
            "/etc/.wh.link": {"type": "symlink", "target": "x"},
            "/etc/.wh.directory": {"type": "directory"},
        }.items()
    ),
    ({"path": "/a\0b"}, '"/a\\u0000b": must not have a NUL character'),
    ({"path": "/a\udcff"}, '"/a\\udcff": is not UTF-8'),
    ({"path": "/a", "type": "socket"}, '"/a": unknown type "socket"'),
    ({"path": "/a", "type": "symlink"}, '"/a": a symbolic link must lead somewhere; write its target'),
    ({"path": "/a", "type": "hardlink", "target": "/b"}, '"/a": hard link to "/b", which is not a file of this layer'),
    ({"path": "/a", "mode": "755x"}, '"/a": mode "755x" is not valid; write it in octal, as "0755"'),
    ({"path": "/a", "mode": "10000"}, '"/a": mode "10000" is not valid; write it in octal, as "0755"'),
    ({"path": "/a", "uid": -1}, '"/a": uid -1 is out of range (0 to 4294967294)'),
    ({"path": "/a", "gid": 4294967295}, '"/a": gid 4294967295 is out of range (0 to 4294967294)'),
    ({"path": "/a", "source": "mi\0ssing"}, '"/a": must not have a NUL character'),
    ({"path": "/a", "source": "\udcff"}, '"/a": is not UTF-8'),
    ({"path": "/a", "source": "/dev/null"}, '"/a": its source "/dev/null" is not a file'),
    ({"path": "/a", "type": "symlink", "source": "/dev/null"}, '"/a": its source "/dev/null" cannot be read: Invalid argument'),
    ({"path": "/a", "output": "missing"}, '"/a": its source "missing" does not exist'),
    ({"path": "/a", "source": "missing"}, '"/a": its source "missing" does not exist'),
]


@pytest.mark.parametrize("entry, expected", ENTRIES, ids=lambda value: str(value)[:40])
def test_an_invalid_entry_is_a_problem(layer, entry, expected):
    layer.lines.append(json.dumps(entry))
    assert _pack_invalid(layer) == ["srcs: " + expected]


def test_all_missing_sources_are_reported(layer):
    for name in ("one", "two"):
        layer.add(f"/{name}", source=name)
    assert _pack_invalid(layer) == [f'srcs: "/{name}": its source "{name}" does not exist' for name in ("one", "two")]


def test_two_entries_for_one_path_are_a_problem(layer):
    layer.add("/app/server", b"other", attribute="binary").add("/app/server", type="symlink", target="x", attribute="symlinks")
    assert _pack_invalid(layer) == [
        'binary: "/app/server": two entries for one path: the file "source0" (from srcs) and the file "source1"; keep one',
        'symlinks: "/app/server": two entries for one path: the file "source0" (from srcs) and a symbolic link to "x"; keep one',
    ]


def test_a_file_cannot_hold_an_entry(layer):
    layer.add("/app/server/data", b"", attribute="binary")
    assert _pack_invalid(layer) == ['binary: "/app/server/data": "/app/server" is a file, and cannot hold an entry']


def test_the_same_entry_twice_is_one(layer):
    layer.lines.append(layer.lines[0])
    assert layer.pack() == (0, "")


HOSTILE = [
    ("garbage", '"garbage": not a JSON object'),
    ("", '"": not a JSON object'),
    ("[1]", '"[1]": not a JSON object'),
    ("[" * 100000, "not a JSON object"),
    ('{"path": 7}', '"path" is unknown or of the wrong type'),
    ('{"path": "/a", "uid": "0"}', '"uid" is unknown or of the wrong type'),
    ('{"path": "/a", "uid": true}', '"uid" is unknown or of the wrong type'),
    ('{"path": "/a", "size": 5}', '"size" is unknown or of the wrong type'),
    ('{"path": "/a", "uid": 1e400}', '"uid" is unknown or of the wrong type'),
]


@pytest.mark.parametrize("line, expected", HOSTILE, ids=lambda value: str(value)[:30])
def test_a_hostile_entry_is_a_problem(layer, line, expected):
    (message,) = _pack_invalid(layer, lines=[line])
    assert expected in message


@pytest.mark.parametrize(
    "flags, expected",
    [
        (["--compression=zstd", "--level=20"], "compression_level: 20: is out of range (1 to 19 for zstd)"),
        (
            [*packer.make_compression_flags("gzip"), "--level=13"],
            "compression_level: 13: is out of range (1 to 12 for gzip)",
        ),
        (["--compression=gzip", "--level=10"], "compression_level: 10: is out of range (1 to 9 for gzip by zlib)"),
        (["--compression=gzip", "--level=-1"], "compression_level: -1: is out of range (1 to 9 for gzip by zlib)"),
    ],
)
def test_a_level_out_of_range_is_a_problem(layer, flags, expected):
    assert _pack_invalid(layer, *flags) == [expected]


@pytest.mark.parametrize("library", ["none.so", "source0", "/nonexistent/libdeflate.so"])
def test_a_library_that_cannot_be_loaded_is_a_problem(layer, library):
    (message,) = _pack_invalid(layer, "--compression=gzip", f"--library={library}")
    assert message.startswith(f'compression: "gzip": the library "{library}" cannot be loaded: ')


CAPABILITIES_FILES = {
    '{"source": "ko", "capabilities": ["bpff"]}': 'ko: "bpff": unknown capability; did you mean "bpf"?',
    '{"source": "ko", "capabilities": ["bpf"]}': 'ko: "/app/server": has capabilities from linux_capabilities already; keep one of the two',
    '{"source": "ko", "capabilities": "bpf"}': 'linux_capabilities_from: "source": must be a JSON object with ',
    '{"capabilities": ["bpf"]}': 'linux_capabilities_from: "source": must be a JSON object with ',
    "[" * 50_000: 'linux_capabilities_from: "source": must be a JSON object with ',
    " " * 70_000 + "{}": 'linux_capabilities_from: "source": is too large (limit CAPABILITIES_FILE: 65536 bytes)',
}


@pytest.mark.parametrize("text", CAPABILITIES_FILES, ids=lambda text: text[:40])
def test_a_problem_of_a_capabilities_file_names_its_source(layer, text):
    (layer.directory / "source").write_text(text)
    flags = "--capabilities-from=source", '--program="/app/server"'
    message, *_ = _pack_invalid(layer, packer.assign("/app/server", "kill", attribute="linux_capabilities"), *flags)
    assert message.startswith(CAPABILITIES_FILES[text])


def test_an_output_that_cannot_be_written_leaves_nothing(layer):
    (layer.directory / "blob").mkdir()
    done = layer.pack()
    assert done.status == 1
    assert layer.outputs() == ["blob"]


def test_a_full_disk_leaves_nothing(layer, tmp_path):
    """/dev/full reports that it is full."""
    os.symlink("/dev/full", tmp_path / "blob.partial")
    layer.add("/app/large", os.urandom(1 << 20))
    done = layer.pack()
    assert done.status == 1
    assert "No space left on device" in done.stderr
    assert layer.outputs() == []


@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_a_failure_in_the_middle_of_a_large_layer_leaves_nothing(layer, tmp_path, compression):
    """The thread that writes fails while others compress."""
    (tmp_path / "source-python").write_text(f'#!/bin/sh\nulimit -f 4096\nexec {sys.executable} "$@"\n')
    (tmp_path / "source-python").chmod(0o755)
    layer.add("/app/large", os.urandom(8 << 20))
    done = layer.pack(f"--compression={compression}", python=str(tmp_path / "source-python"))
    assert done.status == 1
    assert "File too large" in done.stderr and done.stderr.count("\n") == 1
    assert layer.outputs() == []


def test_an_invalid_command_line_has_its_own_exit_code(layer):
    assert packer.run("layer", "--output=x", cwd=layer.directory).status == 2
    assert packer.run("paint", cwd=layer.directory).status == 2

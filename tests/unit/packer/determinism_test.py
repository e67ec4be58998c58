"""Equal entries give equal bytes, whatever else differs: environment, order, interpreter, threads."""

from __future__ import annotations

import functools
import glob
import gzip
import hashlib
import os
import pathlib
import random
import shutil
import subprocess
import sys
from collections.abc import Callable

import pytest

from support import packer, require

CONTENT = [bytes(f"{number}\n", "ascii") * 50000 for number in range(5)]


def _make_layer(directory: pathlib.Path) -> packer.Layer:
    """Returns a layer with some files and a link."""
    directory.mkdir(parents=True, exist_ok=True)
    layer = packer.Layer(directory)
    for number, content in enumerate(CONTENT):
        layer.add(f"/opt/ä{number}/file", b"\x7fELF" + content)
    return layer.add("/link", type="symlink", target="opt")


ASSIGNMENT = packer.assign("/opt/ä1/file", "setuid", "bpf")


def _pack(layer: packer.Layer, *flags: str, **options) -> tuple[bytes, bytes]:
    done = layer.pack(ASSIGNMENT, *flags, **options)
    assert done == (0, "")
    return layer.blob.read_bytes(), (layer.directory / "metadata").read_bytes()


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> tuple[bytes, bytes]:
    return _pack(_make_layer(tmp_path_factory.mktemp("expected")))


@pytest.mark.parametrize(
    "env",
    [
        {"PYTHONHASHSEED": "1"},
        {"PYTHONHASHSEED": "2"},
        {"TZ": "Asia/Kathmandu"},
        {"LC_ALL": "C"},
        {"LC_ALL": "C.UTF-8"},
        {"LC_ALL": "tr_TR.UTF-8"},
        {"PYTHONPATH": "/nonexistent", "PYTHONIOENCODING": "latin-1", "HOME": "/nonexistent"},
        {"SOURCE_DATE_EPOCH": "12345"},
    ],
    ids=str,
)
def test_the_environment_does_not_matter(tmp_path, expected, env):
    assert _pack(_make_layer(tmp_path), env=env) == expected


def test_the_working_directory_does_not_matter(tmp_path, expected):
    assert _pack(_make_layer(tmp_path / "a" / "b c" / "ä")) == expected


def test_umask_modes_and_mtimes_on_disk_do_not_matter(tmp_path, expected):
    before = os.umask(0o077)
    try:
        layer = _make_layer(tmp_path)
        for number, source in enumerate(sorted(tmp_path.glob("source*"))):
            source.chmod((0o400, 0o644, 0o777, 0o4755, 0o600)[number])
            os.utime(source, (number * 10**8, number * 10**8))
        assert _pack(layer) == expected
    finally:
        os.umask(before)


def test_the_order_of_the_entries_does_not_matter(tmp_path, expected):
    layer = _make_layer(tmp_path)
    for seed in range(5):
        lines = list(layer.lines)
        random.Random(seed).shuffle(lines)
        assert _pack(layer, lines=lines) == expected


def test_links_in_place_of_sources_do_not_matter(tmp_path, expected):
    """The inputs in Bazel's sandbox are links."""
    layer = _make_layer(tmp_path)
    (tmp_path / "real").mkdir()
    for source in tmp_path.glob("source*"):
        source.rename(tmp_path / "real" / source.name)
        source.symlink_to(f"real/{source.name}")
    assert _pack(layer) == expected


# The interpreters of Debian's releases, which the private root has (tools/offline/interpreters.txt).
DEBIANS = ("python3.11", "python3.13", "python3.14")


def _list_interpreters() -> list[str]:
    """Returns the names of Debian's interpreters, and names and paths of all others from 3.11 on that this machine has."""
    names = [f"python3.{minor}" for minor in range(11, 16)]
    others = glob.glob(os.path.expanduser("~/.pyenv/versions/3.*/bin/python3"))
    return [
        *(name for name in names if name in DEBIANS or shutil.which(name)),
        *(path for path in sorted(others) if int(path.split("/versions/3.")[1].split(".")[0]) >= 11),
    ]


def _pack_everything(directory: pathlib.Path, compression: str, python: str) -> dict[str, str]:
    """Packs a layer with every kind of entry and attribute, and runs setcap on it.

    Args:
      directory: an empty directory.
      compression: the compression of both layers.
      python: the interpreter.

    Returns:
      The digests of the outputs by name.
    """
    layer = _make_layer(directory)
    layer.add("/noise", b"\x7fELF" + random.Random(1).randbytes(3 << 20)).add("/text", b"text\n" * (1 << 19))
    layer.add("/linked", type="hardlink", target="/noise").add("/twin", b"\x7fELF" + CONTENT[0])
    layer.add("/tree", source="source-tree")
    (directory / "source-tree" / "below").mkdir(parents=True)
    (directory / "source-tree" / "below" / "file").write_bytes(b"file")
    (directory / "source-tree" / "link").symlink_to("below/file")
    changes = (
        packer.change("modes", "/noise", mode="4711"),
        packer.change("owners", "/text", owner="65532:4294967294"),
        packer.change("xattrs", "/noise", xattrs=["user.text=ä", "user.hex=0x00ff", "user.base=0sgIA="]),
    )
    flags = [*packer.make_compression_flags(compression), *changes]
    assignments = (ASSIGNMENT, packer.assign("/noise", "cap_setfcap,cap_net_raw=eip"))
    assert layer.pack("--hard-link-duplicates=yes", "--threads=2", *flags, *assignments, python=python) == (0, "")
    digests = {f"{name} of layer": _hash_file(directory / name) for name in ("blob", "metadata")}
    os.rename(layer.blob, directory / "layer")
    again = [
        "--tar=layer",
        "--output=blob",
        "--metadata=metadata",
        "--created-by=test",
        *packer.make_compression_flags(compression),
    ]
    assert packer.run("setcap", *again, packer.assign("/noise", "kill", "bpf"), cwd=directory, python=python) == (0, "")
    return {**digests, **{f"{name} of setcap": _hash_file(directory / name) for name in ("blob", "metadata")}}


def _hash_file(path: pathlib.Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def everything(tmp_path_factory) -> Callable[[str], dict[str, str]]:
    """Returns a function from a compression to the digests of _pack_everything() with this interpreter."""
    make = functools.partial(_pack_everything, python=sys.executable)
    return functools.lru_cache(lambda compression: make(tmp_path_factory.mktemp("all"), compression))


@pytest.mark.parametrize("compression", ["gzip", "none", "zlib", "zstd"])
@pytest.mark.parametrize("python", _list_interpreters())
def test_the_interpreter_does_not_matter(tmp_path, everything, python, compression):
    python = require.tool(python)
    has_zstd = subprocess.run([python, "-c", "import compression.zstd"], stderr=subprocess.DEVNULL).returncode == 0
    if compression == "zstd" and not has_zstd:
        layer = _make_layer(tmp_path)
        assert layer.pack("--compression=zstd", python=python) == (
            1,
            '//app:image: compression: "zstd": this interpreter has no zstd, Python 3.14 has; '
            "use the Python toolchain that rules_setcap registers\n",
        )
        assert layer.outputs() == []
        return
    assert _pack_everything(tmp_path, compression, python) == everything(compression)


@pytest.mark.parametrize("python", _list_interpreters())
def test_every_interpreter_refuses_the_same_input(tmp_path, python):
    """JSON, hexadecimal, base64 and UTF-8 are parsed by the libraries of the interpreter."""
    words = ["user.a=0xabc", "user.b=0s!", "user.c=0sQQ", "user.d=0sQQ==Q", "user.e=0s====", "user.f=0sQQ=="]
    layer = packer.Layer(tmp_path).add("/a", b"").add("/\ud800", b"")
    layer.lines.append('{"path": "/b"} {"path": "/c"}')
    assert layer.pack(packer.change("xattrs", "/a", xattrs=words), python=require.tool(python)) == (
        1,
        '//app:image: srcs: "/\\ud800": is not UTF-8\n'
        '//app:image: entries: "{\\"path\\": \\"/b\\"} {\\"path\\": \\"/c\\"}": not a JSON object\n'
        + "".join(
            f'//app:image: xattrs: "{word}": of /a: the value must be hex after 0x, or base64 after 0s\n' for word in words[:-1]
        ),
    )


@pytest.mark.parametrize("python", _list_interpreters())
def test_every_interpreter_imports_every_module(python):
    """No module of a build action needs what the oldest interpreter does not have."""
    tools = packer.LAUNCH.parent
    rooms = ("actions", "archive", "capabilities", "diagnostics", "executables", "oci", "packer", "validation")
    paths = [path.relative_to(tools).with_suffix("") for room in rooms for path in (tools / "rules_setcap" / room).rglob("*.py")]
    imports = [f"import {'.'.join(path.parts)}" for path in sorted(paths)]
    assert "import rules_setcap.packer.commands.setcap" in imports
    program = "\n".join(["import sys", f"sys.path.insert(0, {str(tools)!r})", *imports])
    done = subprocess.run([require.tool(python), "-S", "-E", "-s", "-B", "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_another_zlib_is_refused(tmp_path):
    """Some interpreters are built with zlib-ng, which compresses to other bytes."""
    layer = _make_layer(tmp_path)
    (tmp_path / "other").mkdir()
    shutil.copytree(packer.LAUNCH.parent, tmp_path / "other" / "tools", symlinks=False)
    shim = tmp_path / "other" / "tools" / "launch.py"
    # Another level stands for another library.
    shim.write_text(
        shim.read_text().replace(
            "import os\n",
            "import os\n"
            "import zlib\n"
            "real = zlib.compressobj\n"
            "zlib.compressobj = lambda level, *rest: real(level % 9 + 1, *rest)\n",
        )
    )
    flags = ["layer", "--target=//app:image", "--output=blob", "--metadata=metadata", "--compression=gzip", "--created-by=test"]
    done = subprocess.run(
        [sys.executable, "-B", str(shim), "rules_setcap.packer", "", *flags, *layer.lines],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith('//app:image: compression: "gzip": this interpreter\'s library (')
    assert 'or compression = "none"' in done.stderr
    assert not (tmp_path / "blob").exists() and not (tmp_path / "blob.partial").exists()


def test_another_libdeflate_is_refused(tmp_path):
    """The library has the same functions, but compresses at another level."""
    layer = _make_layer(tmp_path)
    (tmp_path / "other.c").write_text(
        f"""
        #include <dlfcn.h>
        #include <stddef.h>
        static void *real(const char *name) {{
            return dlsym(dlopen("{pathlib.Path(os.environ["GZIP_LIBRARY"]).absolute()}", RTLD_LAZY | RTLD_LOCAL), name);
        }}
        void *libdeflate_alloc_compressor(int level) {{
            return ((void *(*)(int))real("libdeflate_alloc_compressor"))(level % 12 + 1);
        }}
        void libdeflate_free_compressor(void *c) {{ ((void (*)(void *))real("libdeflate_free_compressor"))(c); }}
        size_t libdeflate_gzip_compress_bound(void *c, size_t size) {{
            return ((size_t (*)(void *, size_t))real("libdeflate_gzip_compress_bound"))(c, size);
        }}
        size_t libdeflate_gzip_compress(void *c, const void *in, size_t size, void *out, size_t room) {{
            return ((size_t (*)(void *, const void *, size_t, void *, size_t))real("libdeflate_gzip_compress"))(c, in, size, out, room);
        }}
        """
    )
    subprocess.run(["cc", "-shared", "-fPIC", "-o", "other.so", "other.c"], cwd=tmp_path, check=True)
    status, message = layer.pack("--compression=gzip", "--library=other.so")
    assert status == 1
    assert message.startswith('//app:image: compression: "gzip": the library "other.so" compresses to other bytes')
    assert not layer.blob.exists()


@pytest.mark.parametrize("compression", ["gzip", "none", "zlib", "zstd"])
def test_the_number_of_threads_does_not_matter(tmp_path, compression):
    """The layer has many blocks, some of which repeat each other."""
    layer = packer.Layer(tmp_path)
    layer.add("/noise", random.Random(1).randbytes(5 << 20)).add("/zeros", bytes(9 << 20)).add("/text", b"text\n" * (1 << 20))
    results = {_pack_blob(layer, *packer.make_compression_flags(compression), f"--threads={threads}") for threads in (1, 2, 3, 8)}
    assert len(results) == 1


def _pack_blob(layer: packer.Layer, *flags: str) -> bytes:
    assert layer.pack(*flags) == (0, "")
    return layer.blob.read_bytes()


def test_holes_are_zeros(tmp_path):
    """A sparse file gives the same bytes as one that is not sparse."""
    layer = packer.Layer(tmp_path).add("/sparse", b"")
    content = bytes(3 << 20) + b"data" + bytes(2 << 20) + b"x"
    with open(tmp_path / "source0", "r+b") as file:
        file.seek(3 << 20)
        file.write(b"data")
        file.seek(len(content) - 1)
        file.write(b"x")
    whole = packer.Layer(tmp_path / "whole")
    (tmp_path / "whole").mkdir()
    whole.add("/sparse", content)
    for compression in ("gzip", "none", "zlib", "zstd"):
        assert _pack_blob(layer, *packer.make_compression_flags(compression)) == _pack_blob(
            whole, *packer.make_compression_flags(compression)
        )
    assert _pack_blob(layer, "--compression=none")[512 : 512 + len(content)] == content


def test_every_level_compresses_the_same_tar(tmp_path, expected):
    layer = _make_layer(tmp_path)
    diff_ids = set()
    for level in range(1, 10):
        _pack(layer, f"--level={level}")
        diff_ids.add(layer.metadata()["diff_id"])
    for level in (1, 3, 19):
        _pack(layer, "--compression=zstd", f"--level={level}")
        diff_ids.add(layer.metadata()["diff_id"])
    for level in range(1, 13):
        blob, _ = _pack(layer, *packer.make_compression_flags("gzip"), f"--level={level}")
        diff_ids.add(layer.metadata()["diff_id"])
        assert "sha256:" + hashlib.sha256(gzip.decompress(blob)).hexdigest() == layer.metadata()["diff_id"]
    _pack(layer, "--compression=none")
    diff_ids.add(layer.metadata()["diff_id"])
    assert layer.metadata()["descriptor"]["digest"] == layer.metadata()["diff_id"]
    assert layer.metadata()["descriptor"]["mediaType"] == "application/vnd.oci.image.layer.v1.tar"
    assert len(diff_ids) == 1

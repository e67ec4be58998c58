"""The program getcap, on images of this build and on bad ones."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import hashlib
import json
import lzma
import os
import pathlib
import pty
import re
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from random import Random
from typing import NamedTuple

import pytest

from rules_setcap import capabilities
from rules_setcap.diagnostics.errors import InputError
from rules_setcap.oci import image_reader
from support import require
from support.image import layout, tar

NETBIND = "examples/netbind/image"
NET = capabilities.from_text("cap_net_bind_service=p")
BPF = capabilities.from_text("cap_net_admin=ep")


class Done(NamedTuple):
    status: int
    output: str
    errors: str


def getcap(*arguments: object) -> Done:
    done = subprocess.run(["tools/getcap/getcap", *map(str, arguments)], capture_output=True, text=True, timeout=120)
    assert "Traceback" not in done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


def test_images_of_this_build():
    probe = "tests/runtime/probe_"
    assert getcap(NETBIND) == (0, "/app/server cap_net_bind_service=p\n", "")
    assert getcap(probe + "effective") == (0, "/app/probe cap_net_bind_service,cap_bpf=ep\n", "")
    assert getcap(probe + "empty") == (0, "/app/probe =\n", "")
    assert getcap(probe + "none") == (0, "", "")
    assert getcap(NETBIND, probe + "empty").output == f"{NETBIND}: /app/server cap_net_bind_service=p\n{probe}empty: /app/probe =\n"


def test_every_platform_of_an_index():
    names = "linux/amd64", "linux/arm64/v8", "linux/arm/v7"
    everything = getcap("tests/index/index")
    assert everything.status == 0
    lines = everything.output.splitlines()
    assert [line.split(": ")[0] for line in lines] == list(names)
    for name, line in zip(names, lines):
        assert getcap("--platform", name, "tests/index/index") == (0, line.partition(": ")[2] + "\n", "")
    assert getcap("--platform=linux/arm64", "tests/index/index").output == lines[1].partition(": ")[2] + "\n"
    refused = getcap("--platform=linux/s390x", "tests/index/index")
    assert refused.status == 2 and len(refused.errors.splitlines()) == 1
    assert '"linux/s390x"' in refused.errors and '"linux/arm/v7"' in refused.errors


def test_later_layers_hide_earlier_ones(tmp_path: pathlib.Path):
    below = tar(
        ("/app/kept", NET, "file"),
        ("/app/replaced", NET, "file"),
        ("/app/removed", NET, "file"),
        ("/opaque/gone", NET, "file"),
        ("/app/other", NET, "=/app/kept"),
        ("/link", None, ">app"),
    )
    above = tar(
        ("/app/replaced", BPF, "file"),
        ("/app/.wh.removed", None, "file"),
        ("/opaque/new", BPF, "file"),
        ("/opaque/.wh..wh..opq", None, "file"),
    )
    image = layout(tmp_path / "image", below, above)
    (read,) = image_reader.read(str(image))
    assert read.capabilities == {"/app/kept": NET, "/app/other": NET, "/app/replaced": BPF, "/opaque/new": BPF}
    assert list(read.layers[0].capabilities) == ["/app/kept", "/app/replaced", "/app/removed", "/opaque/gone", "/app/other"]
    assert read.layers[1].capabilities == {"/app/replaced": BPF, "/opaque/new": BPF}
    digests = ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in (below, above)]
    assert getcap("--layer", image).output.splitlines() == [
        f"/app/kept cap_net_bind_service=p {digests[0]}",
        f"/app/other cap_net_bind_service=p {digests[0]}",
        f"/app/replaced cap_net_admin=ep {digests[1]}",
        f"/opaque/new cap_net_admin=ep {digests[1]}",
    ]
    assert f"{digests[0]} /app/removed cap_net_bind_service=p\n" in getcap("--all-layers", image).output
    (said,) = json.loads(getcap("--json", "--all-layers", image).output)["images"]
    assert said["files"][2] == {"path": "/app/replaced", "capabilities": "cap_net_admin=ep", "rootid": 0, "layer": digests[1]}
    assert [len(layer["files"]) for layer in said["layers"]] == [5, 2]
    assert (read.file("/link/kept").path, read.file("/app/removed"), read.file("/app")) == ("/app/kept", None, None)


def _opaque(path: str) -> tuple[str, None, str]:
    return f"{path}/.wh..wh..opq", None, "file"


def test_opaque_directories_hide_lower_layers_only(tmp_path: pathlib.Path):
    """OCI image-spec, "Image Layer Filesystem Changeset", "Opaque Whiteout"; in whichever order a layer has its entries."""
    below = tar(("/opaque/old", NET, "file"), ("/opaque/sub/old", NET, "file"))
    entries = [("/opaque", None, "directory"), ("/opaque/sub", None, "directory"), ("/opaque/sub/new", BPF, "file")]
    for at in range(len(entries) + 1):
        above = tar(*entries[:at], _opaque("/opaque"), *entries[at:])
        (read,) = image_reader.read(str(layout(tmp_path / f"image{at}", below, above)))
        assert (read.capabilities, read.problems) == ({"/opaque/sub/new": BPF}, [])


@pytest.mark.parametrize("compress", [bytes, gzip.compress, lzma.compress, bz2.compress])
def test_a_tar_is_a_layer(tmp_path: pathlib.Path, compress):
    path = tmp_path / "layer"
    path.write_bytes(compress(tar(("/bin/x", NET._replace(rootid=100), "file"))))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert getcap("--layer", path) == (0, f"/bin/x cap_net_bind_service=p [rootid=100] sha256:{digest}\n", "")


@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive"])
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_archives_of_images(tmp_path: pathlib.Path, kind: str, compress):
    path = tmp_path / "archive"
    command = [require.tool("skopeo"), f"--tmpdir={tmp_path}", "--insecure-policy", "copy", "--quiet"]
    subprocess.run([*command, f"oci:{NETBIND}", f"{kind}:{path}:app:latest"], check=True, timeout=60)
    path.write_bytes(compress(path.read_bytes()))
    assert getcap(path) == (0, "/app/server cap_net_bind_service=p\n", "")
    assert getcap("--platform=linux/s390x", path).status == 2
    (read,) = image_reader.read(str(path))
    assert read.config["config"]["User"] == "65532"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    broken = getcap(path)
    assert (broken.status, broken.output, len(broken.errors.splitlines())) == (2, "", 1)


def test_an_image_that_names_missing_ones(tmp_path: pathlib.Path):
    """crane and skopeo copy an index with some of its images alone; a nested index is how layouts hold one."""
    image = tmp_path / "index"
    shutil.copytree("tests/index/index", image)
    (outer,) = json.loads((image / "index.json").read_bytes())["manifests"]
    inner = json.loads((image / "blobs/sha256" / outer["digest"][7:]).read_bytes())
    os.unlink(image / "blobs/sha256" / inner["manifests"][1]["digest"][7:])
    done = getcap(image)
    assert done.status == 0
    assert [line.split(": ")[0] for line in done.output.splitlines()] == ["linux/amd64", "linux/arm/v7"]


def test_an_image_for_an_unknown_platform(tmp_path: pathlib.Path):
    """BuildKit's attestations are for it, too; but podman and umoci run an image, whatever the index says."""
    image = layout(tmp_path / "image", tar(("/x", NET, "file")))
    index = json.loads((image / "index.json").read_bytes())
    other = layout(tmp_path / "other", tar(("/y", NET, "file")))
    (unknown,) = json.loads((other / "index.json").read_bytes())["manifests"]
    for blob in (other / "blobs/sha256").iterdir():
        shutil.copy(blob, image / "blobs/sha256")
    index["manifests"].append({**unknown, "platform": {"os": "unknown", "architecture": "unknown"}})
    (image / "index.json").write_text(json.dumps(index))
    lines = [f"linux/amd64: /{name} cap_net_bind_service=p\n" for name in "xy"]
    assert getcap(image) == (0, "".join(lines), "")


def test_hostile_tars_are_bounded(tmp_path: pathlib.Path):
    """Paths that make more directories than anyone has."""
    path = tmp_path / "deep.tar"
    raw = tar(*((f"/{number}" + "/d" * 2000, NET, "file") for number in range(800)))
    path.write_bytes(gzip.compress(raw, 1))
    done = getcap(path)
    assert done.status == 2 and "(limit" in done.errors and len(done.errors) < 400


def test_what_is_wrong_with_capabilities_is_said(tmp_path: pathlib.Path):
    path = tmp_path / "layer.tar"
    path.write_bytes(
        tar(
            ("/fine", NET, "file"),
            ("/old", b"\0\0\0\1" + bytes(8), "file"),
            ("/directory", NET, "directory"),
            ("/new\nline", NET, "file"),
        )
    )
    done = getcap(path)
    assert done.status == 1
    assert done.output == "/fine cap_net_bind_service=p\n/new\\nline cap_net_bind_service=p\n"
    errors = done.errors.splitlines()
    assert len(errors) == 2
    assert any('"/old": invalid capabilities: ' in line for line in errors)
    assert any('"/directory": capabilities on a directory' in line for line in errors)


def _damaged(directory: pathlib.Path) -> pathlib.Path:
    image = layout(directory / "image", tar(("/x", NET, "file")))
    digest = json.loads((image / "index.json").read_bytes())["manifests"][0]["digest"][7:]
    layer = json.loads((image / "blobs/sha256" / digest).read_bytes())["layers"][0]["digest"][7:]
    path = image / "blobs/sha256" / layer
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    return image


def _links(directory: pathlib.Path) -> pathlib.Path:
    path = directory / "loop.tar"
    path.write_bytes(tar(("/a", None, ">b"), ("/b", None, ">a"), ("/a/x", NET, "file")))
    return path


def _cut(directory: pathlib.Path) -> pathlib.Path:
    path = directory / "cut.tar"
    path.write_bytes(tar(("/x", NET, "file"))[:1024])
    return path


def _fifo(directory: pathlib.Path) -> pathlib.Path:
    os.mkfifo(directory / "fifo")
    return directory / "fifo"


def _lzma(directory: pathlib.Path) -> pathlib.Path:
    path = directory / "x.tar.lzma"
    path.write_bytes(lzma.compress(tar(("/x", NET, "file")), lzma.FORMAT_ALONE))
    return path


def _none(directory: pathlib.Path) -> pathlib.Path:
    return directory / "none"


@pytest.mark.parametrize("make", [_damaged, _links, _cut, _fifo, _lzma, _none, pathlib.Path])
def test_bad_input_is_one_line(tmp_path: pathlib.Path, make):
    path = make(tmp_path)
    done = getcap(path)
    assert (done.status, done.output) == (2, "")
    assert len(done.errors.splitlines()) == 1
    assert done.errors.startswith("getcap: ") and path.name in done.errors


def _changed(data: bytes, random: Random) -> bytes:
    """Some bytes changed, with the header's checksum put right so that it is read on."""
    made = bytearray(data)
    for _ in range(random.randint(1, 4)):
        made[random.randrange(len(made))] = random.choice(b"\0\1/.=09Aax\x7f\x80\xff")
    for at in range(0, len(made) - 511, 512):
        if made[at + 257 : at + 262] == b"ustar":
            made[at + 148 : at + 156] = b" " * 8
            made[at + 148 : at + 156] = b"%06o\0 " % sum(made[at : at + 512])
    return bytes(made)


def test_damaged_bytes_raise_nothing_else(tmp_path: pathlib.Path):
    random = Random(40)
    data = tar(
        ("/app", None, "directory"),
        ("/app/x", NET, "#!/bin/sh"),
        ("/link", None, ">app"),
        ("/hard", NET, "=/app/x"),
        ("/etc/passwd", None, "root:x:0:0::/:/x"),
        ("/app/.wh.y", None, "file"),
    )
    path = tmp_path / "layer.tar"
    refused = 0
    for _ in range(1000):
        path.write_bytes(_changed(data, random))
        try:
            for image in image_reader.read(str(path)):
                image.file("/link/x")
        except InputError as error:
            refused += 1
            assert str(path) in str(error)
    assert 100 < refused < 900


@pytest.mark.parametrize("flags", [["--frobnicate", NETBIND], [], ["--platform=linux", NETBIND], ["--platform=linux/amd64/v1/x", NETBIND]])
def test_bad_flags_are_one_line(flags: Sequence[str]):
    done = getcap(*flags)
    assert (done.status, done.output) == (2, "")
    assert len(done.errors.splitlines()) == 1


def test_one_bad_image_does_not_hide_the_others(tmp_path: pathlib.Path):
    done = getcap(tmp_path, NETBIND)
    assert (done.status, done.output) == (2, f"{NETBIND}: /app/server cap_net_bind_service=p\n")


@pytest.mark.parametrize("arguments", [[NETBIND], ["--json", NETBIND], ["explain", NETBIND, "--docker-run", "docker run x"]])
def test_status_where_nobody_reads(arguments: Sequence[str]):
    """141, as a shell says of a program that SIGPIPE ended; and not a word."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(["tools/getcap/getcap", *arguments], stdout=writer, stderr=subprocess.PIPE, timeout=120)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_long_reading_shows_how_far_it_is(tmp_path: pathlib.Path):
    """On a terminal, which is as empty afterwards as it was."""
    entry = tarfile.TarInfo("large")
    entry.size = 3 << 30
    with open(tmp_path / "image.tar", "wb") as file:
        file.write(entry.tobuf())
        file.truncate(512 + entry.size + 1024)
    ours, terminal = pty.openpty()
    with subprocess.Popen(["tools/getcap/getcap", tmp_path / "image.tar"], stdout=subprocess.DEVNULL, stderr=terminal) as process:
        os.close(terminal)
        said = b""
        with contextlib.suppress(OSError):  # EIO: nobody has the other end any more.
            while data := os.read(ours, 4096):
                said += data
    os.close(ours)
    assert process.returncode == 0
    *lines, last = said.decode().split("\r\033[K")[1:]
    assert last == "" and lines
    read = [int(re.fullmatch(r"getcap: .*/image\.tar: ([\d,]+) MB read", line)[1].replace(",", "")) for line in lines]
    assert read == sorted(read) and 0 < read[0] and read[-1] <= 4000


def test_the_program_needs_no_bazel():
    python = shutil.which("python3")
    done = subprocess.run(
        [python, "-S", "-m", "rules_setcap.getcap", NETBIND], env={"PYTHONPATH": "tools"}, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "/app/server cap_net_bind_service=p\n"), done.stderr

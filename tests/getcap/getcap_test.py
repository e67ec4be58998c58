"""The program getcap, on images of this build and on invalid ones."""

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
import sys
import tarfile
from random import Random
from typing import TYPE_CHECKING, NamedTuple

import pytest

from rules_setcap import capabilities
from rules_setcap.diagnostics.errors import InputError
from rules_setcap.oci import image_reader
from support import require
from support.image import layout, tar

if TYPE_CHECKING:
    from collections.abc import Sequence

NETBIND = "examples/netbind/image"
NET = capabilities.from_text("cap_net_bind_service=p")
BPF = capabilities.from_text("cap_net_admin=ep")


class Result(NamedTuple):
    """The exit status of getcap, and the text on stdout and stderr."""

    status: int
    output: str
    errors: str


def run_getcap(*arguments: object) -> Result:
    """Runs getcap."""
    done = subprocess.run(["tools/getcap/getcap", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120)
    assert "Traceback" not in done.stderr
    return Result(done.returncode, done.stdout, done.stderr)


def test_files_of_images_are_listed():
    probe = "tests/runtime/probe_"
    assert run_getcap(NETBIND) == (0, "/app/server cap_net_bind_service=p\n", "")
    assert run_getcap(probe + "effective") == (0, "/app/probe cap_net_bind_service,cap_bpf=ep\n", "")
    assert run_getcap(probe + "empty") == (0, "/app/probe =\n", "")
    assert run_getcap(probe + "none") == (0, "", "")
    assert (
        run_getcap(NETBIND, probe + "empty").output
        == f"{NETBIND}: /app/server cap_net_bind_service=p\n{probe}empty: /app/probe =\n"
    )


def test_all_platforms_of_an_index_are_listed():
    names = "linux/amd64", "linux/arm64/v8", "linux/arm/v7"
    result = run_getcap("tests/index/index")
    assert result.status == 0
    lines = result.output.splitlines()
    assert [line.split(": ")[0] for line in lines] == list(names)
    for name, line in zip(names, lines, strict=True):
        assert run_getcap("--platform", name, "tests/index/index") == (0, line.partition(": ")[2] + "\n", "")
    assert run_getcap("--platform=linux/arm64", "tests/index/index").output == lines[1].partition(": ")[2] + "\n"
    rejected = run_getcap("--platform=linux/s390x", "tests/index/index")
    assert rejected.status == 2 and len(rejected.errors.splitlines()) == 1
    assert '"linux/s390x"' in rejected.errors and '"linux/arm/v7"' in rejected.errors


def test_later_layers_hide_files_of_earlier_ones(tmp_path: pathlib.Path):
    lower = tar(
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
    image = layout(tmp_path / "image", lower, above)
    (content,) = image_reader.read_images(str(image))
    assert content.capabilities == {"/app/kept": NET, "/app/other": NET, "/app/replaced": BPF, "/opaque/new": BPF}
    assert list(content.layers[0].capabilities) == ["/app/kept", "/app/replaced", "/app/removed", "/opaque/gone", "/app/other"]
    assert content.layers[1].capabilities == {"/app/replaced": BPF, "/opaque/new": BPF}
    digests = ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in (lower, above)]
    assert run_getcap("--layer", image).output.splitlines() == [
        f"/app/kept cap_net_bind_service=p {digests[0]}",
        f"/app/other cap_net_bind_service=p {digests[0]}",
        f"/app/replaced cap_net_admin=ep {digests[1]}",
        f"/opaque/new cap_net_admin=ep {digests[1]}",
    ]
    assert f"{digests[0]} /app/removed cap_net_bind_service=p\n" in run_getcap("--all-layers", image).output
    report = json.loads(run_getcap("--json", "--all-layers", image).output)
    assert report["version"] == 1
    (json_image,) = report["images"]
    assert json_image["files"][2] == {
        "path": "/app/replaced",
        "capabilities": "cap_net_admin=ep",
        "rootid": 0,
        "layer": digests[1],
    }
    assert [len(layer["files"]) for layer in json_image["layers"]] == [5, 2]
    assert (content.find_file("/link/kept").path, content.find_file("/app/removed"), content.find_file("/app")) == (
        "/app/kept",
        None,
        None,
    )


def _opaque_whiteout(path: str) -> tuple[str, None, str]:
    """Returns the entry of an opaque whiteout."""
    return f"{path}/.wh..wh..opq", None, "file"


def test_opaque_directories_hide_lower_layers_only(tmp_path: pathlib.Path):
    """OCI image-spec, layer.md, "Opaque Whiteout". The order of a layer's entries makes no difference."""
    lower = tar(("/opaque/old", NET, "file"), ("/opaque/sub/old", NET, "file"))
    entries = [("/opaque", None, "directory"), ("/opaque/sub", None, "directory"), ("/opaque/sub/new", BPF, "file")]
    for position in range(len(entries) + 1):
        above = tar(*entries[:position], _opaque_whiteout("/opaque"), *entries[position:])
        (content,) = image_reader.read_images(str(layout(tmp_path / f"image{position}", lower, above)))
        assert (content.capabilities, content.problems) == ({"/opaque/sub/new": BPF}, [])


@pytest.mark.parametrize("compress", [bytes, gzip.compress, lzma.compress, bz2.compress])
def test_a_tar_is_read_as_one_layer(tmp_path: pathlib.Path, compress):
    path = tmp_path / "layer"
    path.write_bytes(compress(tar(("/bin/x", NET._replace(rootid=100), "file"))))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert run_getcap("--layer", path) == (0, f"/bin/x cap_net_bind_service=p [rootid=100] sha256:{digest}\n", "")


def _cut_end(data: bytes) -> bytes:
    """Returns a tar without the zeros at its end."""
    content = data.rstrip(b"\0")
    return content + bytes(-len(content) % 512)


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress, bz2.compress])
def test_a_compressed_tar_needs_no_marker_at_its_end(tmp_path: pathlib.Path, compress):
    path = tmp_path / "layer"
    path.write_bytes(compress(_cut_end(tar(("/bin/x", NET, "file")))))
    assert run_getcap(path) == (0, "/bin/x cap_net_bind_service=p\n", "")


@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive"])
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_archives_of_images_are_read(tmp_path: pathlib.Path, kind: str, compress):
    path = tmp_path / "archive"
    command = [require.tool("skopeo"), f"--tmpdir={tmp_path}", "--insecure-policy", "copy", "--quiet"]
    subprocess.run([*command, f"oci:{NETBIND}", f"{kind}:{path}:app:latest"], check=True, timeout=60)
    path.write_bytes(compress(path.read_bytes()))
    assert run_getcap(path) == (0, "/app/server cap_net_bind_service=p\n", "")
    assert run_getcap("--platform=linux/s390x", path).status == 2
    (content,) = image_reader.read_images(str(path))
    assert content.config["config"]["User"] == "65532"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    truncated = run_getcap(path)
    assert (truncated.status, truncated.output, len(truncated.errors.splitlines())) == (2, "", 1)


def test_missing_images_of_an_index_are_skipped(tmp_path: pathlib.Path):
    """crane and skopeo can copy an index with only some of its images."""
    image = tmp_path / "index"
    shutil.copytree("tests/index/index", image)
    (outer,) = json.loads((image / "index.json").read_bytes())["manifests"]
    inner = json.loads((image / "blobs/sha256" / outer["digest"][7:]).read_bytes())
    os.unlink(image / "blobs/sha256" / inner["manifests"][1]["digest"][7:])
    done = run_getcap(image)
    assert done.status == 0
    assert [line.split(": ")[0] for line in done.output.splitlines()] == ["linux/amd64", "linux/arm/v7"]


def test_an_image_for_an_unknown_platform_is_listed(tmp_path: pathlib.Path):
    """podman and umoci run it. BuildKit's attestations, which are not images, have the same platform."""
    image = layout(tmp_path / "image", tar(("/x", NET, "file")))
    index = json.loads((image / "index.json").read_bytes())
    other = layout(tmp_path / "other", tar(("/y", NET, "file")))
    (unknown,) = json.loads((other / "index.json").read_bytes())["manifests"]
    for blob in (other / "blobs/sha256").iterdir():
        shutil.copy(blob, image / "blobs/sha256")
    index["manifests"].append({**unknown, "platform": {"os": "unknown", "architecture": "unknown"}})
    (image / "index.json").write_text(json.dumps(index))
    lines = [f"linux/amd64: /{name} cap_net_bind_service=p\n" for name in "xy"]
    assert run_getcap(image) == (0, "".join(lines), "")


def test_hostile_tars_are_bounded(tmp_path: pathlib.Path):
    """The paths imply more directories than the limit."""
    path = tmp_path / "deep.tar"
    raw = tar(*((f"/{number}" + "/d" * 2000, NET, "file") for number in range(800)))
    path.write_bytes(gzip.compress(raw, 1))
    done = run_getcap(path)
    assert done.status == 2 and "(limit" in done.errors and len(done.errors) < 400


def test_invalid_capabilities_are_reported(tmp_path: pathlib.Path):
    path = tmp_path / "layer.tar"
    path.write_bytes(
        tar(
            ("/fine", NET, "file"),
            ("/old", b"\0\0\0\1" + bytes(8), "file"),
            ("/directory", NET, "directory"),
            ("/new\nline", NET, "file"),
        )
    )
    done = run_getcap(path)
    assert done.status == 1
    assert done.output == "/fine cap_net_bind_service=p\n/new\\nline cap_net_bind_service=p\n"
    errors = done.errors.splitlines()
    assert len(errors) == 2
    assert any('"/old": invalid capabilities: ' in line for line in errors)
    assert any('"/directory": capabilities on a directory' in line for line in errors)


@pytest.mark.parametrize("program", [["tools/getcap/getcap"], ["tools/getcap/getcap", "explain", "--docker-run=docker run x"]])
def test_a_layout_that_is_not_of_the_last_build_is_an_error(program, tmp_path):
    """Without --output_groups=oci_layout, Bazel writes the descriptor beside the layout, and leaves the layout as it is."""
    output = tmp_path / "bazel-bin/app"
    output.mkdir(parents=True)
    digest = "sha256:" + "a" * 64
    (output / "image.descriptor.json").write_text(json.dumps({"digest": digest}))
    command = [str(pathlib.Path(program[0]).absolute()), *program[1:], "bazel-bin/app/image"]
    build = 'run "bazel build --output_groups=oci_layout //app:image"'
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert f'image: "bazel-bin/app/image": has not been built; {build}' in done.stderr
    image = layout(output / "image", tar(("/x", NET, "file")))
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert '"bazel-bin/app/image": is of an earlier build: it has sha256:' in done.stderr
    assert f"and the last build made {digest}; {build}" in done.stderr
    (own,) = json.loads((image / "index.json").read_bytes())["manifests"]
    (output / "image.descriptor.json").write_text(json.dumps(own))
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "bazel-bin/app/image" not in done.stderr


def _write_damaged_layout(directory: pathlib.Path) -> pathlib.Path:
    image = layout(directory / "image", tar(("/x", NET, "file")))
    digest = json.loads((image / "index.json").read_bytes())["manifests"][0]["digest"][7:]
    layer = json.loads((image / "blobs/sha256" / digest).read_bytes())["layers"][0]["digest"][7:]
    path = image / "blobs/sha256" / layer
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    return image


def _write_symlink_loop(directory: pathlib.Path) -> pathlib.Path:
    path = directory / "loop.tar"
    path.write_bytes(tar(("/a", None, ">b"), ("/b", None, ">a"), ("/a/x", NET, "file")))
    return path


def _write_tar_without_end(directory: pathlib.Path) -> pathlib.Path:
    path = directory / "no_end.tar"
    path.write_bytes(_cut_end(tar(("/x", NET, "file"))))
    return path


def _write_truncated_tar(directory: pathlib.Path) -> pathlib.Path:
    path = directory / "cut.tar"
    path.write_bytes(tar(("/x", NET, "file"))[:1024])
    return path


def _make_fifo(directory: pathlib.Path) -> pathlib.Path:
    os.mkfifo(directory / "fifo")
    return directory / "fifo"


def _write_lzma_tar(directory: pathlib.Path) -> pathlib.Path:
    path = directory / "x.tar.lzma"
    path.write_bytes(lzma.compress(tar(("/x", NET, "file")), lzma.FORMAT_ALONE))
    return path


def _name_missing_file(directory: pathlib.Path) -> pathlib.Path:
    return directory / "none"


@pytest.mark.parametrize(
    "make",
    [
        _write_damaged_layout,
        _write_symlink_loop,
        _write_tar_without_end,
        _write_truncated_tar,
        _make_fifo,
        _write_lzma_tar,
        _name_missing_file,
        pathlib.Path,
    ],
)
def test_invalid_images_are_reported_in_one_line(tmp_path: pathlib.Path, make):
    path = make(tmp_path)
    done = run_getcap(path)
    assert (done.status, done.output) == (2, "")
    assert len(done.errors.splitlines()) == 1
    assert done.errors.startswith("getcap: ") and path.name in done.errors


def _damage(data: bytes, random: Random) -> bytes:
    """Returns a tar with some bytes changed and with valid checksums, so that its entries are still read."""
    made = bytearray(data)
    for _ in range(random.randint(1, 4)):
        made[random.randrange(len(made))] = random.choice(b"\0\1/.=09Aax\x7f\x80\xff")
    for at in range(0, len(made) - 511, 512):
        if made[at + 257 : at + 262] == b"ustar":
            made[at + 148 : at + 156] = b" " * 8
            made[at + 148 : at + 156] = b"%06o\0 " % sum(made[at : at + 512])
    return bytes(made)


def test_damaged_tars_raise_only_input_errors(tmp_path: pathlib.Path):
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
    rejected = 0
    for _ in range(1000):
        path.write_bytes(_damage(data, random))
        try:
            for image in image_reader.read_images(str(path)):
                image.find_file("/link/x")
        except InputError as error:
            rejected += 1
            assert str(path) in str(error)
    assert 100 < rejected < 900


@pytest.mark.parametrize(
    "flags", [["--frobnicate", NETBIND], [], ["--platform=linux", NETBIND], ["--platform=linux/amd64/v1/x", NETBIND]]
)
def test_invalid_flags_are_reported_in_one_line(flags: Sequence[str]):
    done = run_getcap(*flags)
    assert (done.status, done.output) == (2, "")
    assert len(done.errors.splitlines()) == 1


def test_an_invalid_image_does_not_hide_the_others(tmp_path: pathlib.Path):
    done = run_getcap(tmp_path, NETBIND)
    assert (done.status, done.output) == (2, f"{NETBIND}: /app/server cap_net_bind_service=p\n")


@pytest.mark.parametrize("arguments", [[NETBIND], ["--json", NETBIND], ["explain", NETBIND, "--docker-run", "docker run x"]])
def test_a_closed_output_gives_status_141_and_no_message(arguments: Sequence[str]):
    """Shells report the same status for a program that SIGPIPE ended."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(["tools/getcap/getcap", *arguments], stdout=writer, stderr=subprocess.PIPE, check=False, timeout=120)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_progress_is_shown_on_a_terminal_and_erased(tmp_path: pathlib.Path):
    entry = tarfile.TarInfo("large")
    entry.size = 3 << 30
    with open(tmp_path / "image.tar", "wb") as file:
        file.write(entry.tobuf())
        file.truncate(512 + entry.size + 1024)
    controller, terminal = pty.openpty()
    command, environment = ["tools/getcap/getcap", tmp_path / "image.tar"], {**os.environ, "TERM": "xterm"}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=terminal, env=environment) as process:
        os.close(terminal)
        output = b""
        with contextlib.suppress(OSError):  # EIO after getcap has exited.
            while data := os.read(controller, 4096):
                output += data
    os.close(controller)
    assert process.returncode == 0
    *lines, last = output.decode().split("\r\033[K")[1:]
    assert last == "" and lines
    pattern = r"getcap: .*/image\.tar: ([\d,]+) of 3,221 MB read"
    megabytes = [int(re.fullmatch(pattern, line)[1].replace(",", "")) for line in lines]
    assert megabytes == sorted(megabytes) and megabytes[0] > 0


def test_the_program_runs_without_bazel():
    python = shutil.which("python3")
    done = subprocess.run(
        [python, "-S", "-m", "rules_setcap.getcap", NETBIND],
        env={"PYTHONPATH": "tools"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "/app/server cap_net_bind_service=p\n"), done.stderr


def test_an_interpreter_that_is_too_old_is_named():
    # Debian has no release of Python before 3.11 any more, so a newer one claims to be one.
    program = "import sys; sys.version_info = (3, 10, 12); import rules_setcap.getcap"
    done = subprocess.run(
        [sys.executable, "-S", "-c", program],
        env={"PYTHONPATH": "tools"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"rules_setcap: {sys.executable} is Python 3."), done.stderr
    assert "3.11 or later is needed" in done.stderr


def test_a_program_without_its_runfiles_says_so(tmp_path: pathlib.Path):
    program = shutil.copy(os.path.realpath("tools/getcap/getcap"), tmp_path / "getcap")
    done = subprocess.run([program, NETBIND], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (127, "")
    assert (
        done.stderr
        == f"{program}: its runfiles are missing; use bazel run without --noenable_runfiles, or copy them along (cp -rL)\n"
    )

"""getcap reads images and settings from standard input, by the name "-"."""

from __future__ import annotations

import gzip
import io
import json
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile
from typing import BinaryIO

import pytest

from rules_setcap.capabilities import from_text
from rules_setcap.diagnostics import limits
from rules_setcap.getcap import cli
from support import require
from support.image import layout, tar

NET = from_text("cap_net_bind_service=p")
LAYER = tar(("/x", NET, "file"))
POD = """\
apiVersion: v1
kind: Pod
metadata: {name: app}
spec:
  containers:
  - {name: app, image: app}
"""


def _archive_layout(directory: pathlib.Path) -> bytes:
    """Returns an OCI archive of an image."""
    image, archive = layout(directory / "image", LAYER, Entrypoint=["/x"], User="1000"), io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as written:
        for path in sorted(image.rglob("*")):
            written.add(path, str(path.relative_to(image)), recursive=False)
    return archive.getvalue()


@pytest.fixture
def temporary_directory(tmp_path, monkeypatch):
    """Returns the directory for temporary files; checks that nothing is left there."""
    path = tmp_path / "temporary"
    path.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(path))
    yield path
    assert list(path.iterdir()) == []


def _set_standard_input(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
@pytest.mark.parametrize("kind", ["layer", "archive"])
def test_images_are_read(tmp_path, monkeypatch, capsys, temporary_directory, compress, kind):
    _set_standard_input(monkeypatch, compress(LAYER if kind == "layer" else _archive_layout(tmp_path)))
    assert cli.main(["-"]) == 0
    assert capsys.readouterr() == ("/x cap_net_bind_service=p\n", "")


def test_output_names_it_as_the_command_line_does(tmp_path, monkeypatch, capsys, temporary_directory):
    (tmp_path / "layer.tar").write_bytes(LAYER)
    monkeypatch.chdir(tmp_path)
    _set_standard_input(monkeypatch, LAYER)
    assert cli.main(["layer.tar", "-"]) == 0
    assert capsys.readouterr().out == "layer.tar: /x cap_net_bind_service=p\n-: /x cap_net_bind_service=p\n"
    _set_standard_input(monkeypatch, LAYER)
    assert cli.main(["--json", "-"]) == 0
    assert [image["path"] for image in json.loads(capsys.readouterr().out)["images"]] == ["-"]


def test_images_are_reviewed_and_explained(tmp_path, monkeypatch, capsys, temporary_directory):
    archive = _archive_layout(tmp_path)
    _set_standard_input(monkeypatch, archive)
    assert cli.main(["--review", "-"]) == 1
    assert capsys.readouterr().out.startswith("- (linux/amd64):\n")
    _set_standard_input(monkeypatch, archive)
    assert cli.main(["explain", "-"]) == 0


def test_settings_are_read(tmp_path, monkeypatch, capsys):
    _archive_layout(tmp_path)
    image = str(tmp_path / "image")
    _set_standard_input(monkeypatch, POD.encode())
    assert cli.main(["explain", image, "--kubernetes", "-"]) == 0, capsys.readouterr()
    _set_standard_input(monkeypatch, b"services: {app: {image: app, cap_drop: [ALL]}}")
    assert cli.main(["explain", image, "--compose", "-", "--service", "app"]) == 1, capsys.readouterr()
    _set_standard_input(monkeypatch, b"/x cap_net_bind_service=p # port 80\n")
    assert cli.main(["--review", "--allow", "-", image]) == 0, capsys.readouterr()


def test_settings_have_the_limits_of_files(tmp_path, monkeypatch, capsys):
    _archive_layout(tmp_path)
    monkeypatch.setattr(limits, "YAML", 100)
    _set_standard_input(monkeypatch, b"#" * 101)
    assert cli.main(["explain", str(tmp_path / "image"), "--kubernetes", "-"]) == 2
    assert "100" in capsys.readouterr().err


@pytest.mark.parametrize(
    "data, message",
    [
        (b"", 'image: "-": standard input is empty; the command that writes to it may have failed'),
        (b"no tar" * 1000, 'image: "-": the header at byte 0: the checksum is wrong: the archive is damaged, or not a tar'),
        (
            LAYER + b"x" * 20000,
            'image: "-": more than 20000 bytes of standard input (limit STANDARD_INPUT); name a file instead',
        ),
    ],
)
def test_invalid_images_are_reported_in_one_line(monkeypatch, capsys, temporary_directory, data, message):
    monkeypatch.setattr(limits, "STANDARD_INPUT", 20000)
    for command in [[], ["--review"], ["explain"]]:
        _set_standard_input(monkeypatch, data)
        assert cli.main([*command, "-"]) == 2
        assert capsys.readouterr().err == f"getcap: {message}\n"


@pytest.mark.parametrize(
    "arguments", [["-", "-"], ["--review", "-", "-"], ["--review", "-", "--allow", "-"], ["explain", "-", "--kubernetes", "-"]]
)
def test_it_is_read_once(capsys, arguments):
    with pytest.raises(SystemExit) as exited:
        cli.main(arguments)
    assert exited.value.code == 2
    message = '"-" is standard input, which can be read once; write "-" once, and a file in place of the others\n'
    assert capsys.readouterr().err.endswith(f": {message}")


def test_a_terminal_and_a_closed_descriptor_are_refused(tmp_path, monkeypatch, capsys):
    _archive_layout(tmp_path)
    controller, terminal = os.openpty()
    with os.fdopen(terminal) as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        assert cli.main(["-"]) == 2
    os.close(controller)
    assert capsys.readouterr().err == (
        'getcap: image: "-": standard input is a terminal; write to it: "docker save app | getcap -"\n'
    )
    monkeypatch.setattr(sys, "stdin", None)
    assert cli.main(["explain", str(tmp_path / "image"), "--kubernetes", "-"]) == 2
    assert capsys.readouterr().err == (
        'getcap: --kubernetes: "-": standard input is closed; write to it: "cat FILE | getcap ... --kubernetes -"\n'
    )


def test_a_full_disk_has_a_message_that_names_the_directory(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def open_full(*_: str) -> BinaryIO:
        return open("/dev/full", "wb", buffering=0)

    monkeypatch.setattr("rules_setcap.diagnostics.standard_input.open", open_full, raising=False)
    _set_standard_input(monkeypatch, LAYER)
    assert cli.main(["-"]) == 2
    assert capsys.readouterr().err == (
        f'getcap: image: "-": standard input cannot be copied to "{tmp_path}": No space left on device; '
        "set TMPDIR to another directory, or name a file\n"
    )


def test_gnu_tar_packs_the_capabilities_of_a_directory(tmp_path, monkeypatch, capsys, temporary_directory):
    """This is the command that the message about a directory of files has."""
    require.root()
    (tmp_path / "files").mkdir()
    (tmp_path / "files/x").write_text("")
    os.setxattr(tmp_path / "files/x", "security.capability", NET.to_xattr())
    command = [require.tool("tar"), "--xattrs", "--xattrs-include=security.capability", "-cC", tmp_path / "files", "."]
    _set_standard_input(monkeypatch, subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    assert cli.main(["-"]) == 0
    assert capsys.readouterr() == ("/x cap_net_bind_service=p\n", "")

"""The client for registries is found as the rules and the user's environment say, and what it prints is not believed."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pathlib
import pwd

import pytest

from rules_setcap.bases.registry_client import RegistryClient, RegistryError, choose_client, find_client
from support import require

CONTENT = b"a layer"
DIGEST = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


def _write_program(path: pathlib.Path, script: str) -> str:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def _write_settings(directory: pathlib.Path, **values: object) -> str:
    path = directory / "client.json"
    path.write_text(json.dumps({"environment": {}, "kind": "", "kinds": ["crane", "skopeo"], "path": "", **values}))
    return str(path)


def _fetch(client: RegistryClient, size: int = len(CONTENT), digest: str = DIGEST) -> bytes:
    output = io.BytesIO()
    client.fetch_blob(output, "registry.example/x", "sha256:" + "0" * 64, digest, size, insecure=False)
    return output.getvalue()


def test_the_settings_name_the_client(tmp_path):
    program = _write_program(tmp_path / "our-client", "")
    settings = _write_settings(tmp_path, kind="skopeo", path=program, environment={"A": "b"})
    assert choose_client(settings) == RegistryClient("skopeo", program, {"A": "b"})


def test_the_program_of_a_toolchain_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = _write_settings(tmp_path, kind="skopeo", path=require.tool("skopeo"), environment={"A": "b"})
    assert choose_client(settings, "crane", "our/crane") == RegistryClient("crane", f"{tmp_path}/our/crane", {"A": "b"})


def test_a_client_that_is_gone_is_searched(tmp_path):
    program = _write_program(tmp_path / "skopeo", "")
    settings = _write_settings(tmp_path, kind="crane", path="/absent/crane", environment={"PATH": str(tmp_path)})
    assert choose_client(settings) == RegistryClient("skopeo", program, {"PATH": str(tmp_path)})


def test_without_settings_the_client_is_searched_where_systems_have_programs(tmp_path):
    assert choose_client(str(tmp_path / "absent")).path == require.tool("crane")


def test_without_a_client_the_message_names_those_that_are_searched(tmp_path):
    with pytest.raises(RegistryError, match=r"^no client for registries on PATH; install skopeo$"):
        choose_client(_write_settings(tmp_path, kinds=["skopeo"], environment={"PATH": str(tmp_path)}))
    with pytest.raises(RegistryError, match=r"^no client for registries on PATH; install crane or skopeo$"):
        find_client({"PATH": str(tmp_path)})


def test_the_client_gets_the_environment_of_the_settings_only(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "x")
    program = _write_program(tmp_path / "crane", f'env > {tmp_path}/env; printf "a layer"')
    for environment, home in (({"A": "b"}, pwd.getpwuid(os.getuid()).pw_dir), ({"A": "b", "HOME": "/home/x"}, "/home/x")):
        assert _fetch(RegistryClient("crane", program, environment)) == CONTENT
        lines = set((tmp_path / "env").read_text().splitlines())
        assert {"A=b", f"HOME={home}"} <= lines and "SECRET=x" not in lines


def test_a_user_without_an_entry_in_passwd_can_fetch(tmp_path, monkeypatch):
    """Such a user has no home directory. Sandboxes of Bazel cannot change the user."""
    uid = next(uid for uid in range(54321, 65000) if uid not in {entry.pw_uid for entry in pwd.getpwall()})
    monkeypatch.setattr(os, "getuid", lambda: uid)
    program = _write_program(tmp_path / "crane", f'env > {tmp_path}/env; printf "a layer"')
    assert _fetch(RegistryClient("crane", program, {"A": "b"})) == CONTENT
    assert "HOME=" not in (tmp_path / "env").read_text()


def test_the_last_lines_of_a_failing_client_are_reported(tmp_path):
    script = "for line in 1 2 3 4; do echo line $line >&2; done; printf '\\033[31mred\\n' >&2; exit 3"
    client = RegistryClient("crane", _write_program(tmp_path / "crane", script), {})
    with pytest.raises(RegistryError) as raised:
        _fetch(client)
    assert str(raised.value) == f"crane has not fetched {DIGEST}: line 3 / line 4 / \\u001b[31mred"


def test_a_client_that_fails_silently_is_reported(tmp_path):
    with pytest.raises(RegistryError, match=r"has not fetched .*: exit code 3$"):
        _fetch(RegistryClient("crane", _write_program(tmp_path / "crane", "exit 3"), {}))


@pytest.mark.parametrize("kind", ["crane", "skopeo"])
def test_a_client_that_hangs_is_ended(tmp_path, monkeypatch, kind):
    monkeypatch.setattr("rules_setcap.bases.registry_client.IDLE_LIMIT", 1)
    program = _write_program(tmp_path / kind, f"printf a; echo $$ > {tmp_path}/id; sleep 1000")
    with open(tmp_path / "output", "wb") as output, pytest.raises(RegistryError) as raised:
        RegistryClient(kind, program, {}).fetch_blob(output, "registry.example/x", DIGEST, DIGEST, 7, insecure=False)
    assert str(raised.value) == f"{kind} has not fetched {DIGEST}: it made no progress for 1 s and was ended"
    assert not pathlib.Path(f"/proc/{(tmp_path / 'id').read_text().strip()}").exists()


def test_a_client_that_cannot_be_run_is_reported(tmp_path):
    with pytest.raises(RegistryError, match=r"/absent cannot be run: No such file or directory$"):
        _fetch(RegistryClient("crane", "/absent", {}))


def test_a_client_that_prints_without_end_is_ended(tmp_path):
    client = RegistryClient("crane", _write_program(tmp_path / "crane", "exec cat /dev/zero"), {})
    with pytest.raises(RegistryError, match=r"crane has fetched more than 7 bytes for sha256:"):
        _fetch(client)
    with pytest.raises(RegistryError, match=r"crane has fetched more than 4194304 bytes for registry.example/x:1$"):
        client.fetch_manifest("registry.example/x:1", insecure=False)


@pytest.mark.parametrize("printed", ["a Layer", "a lay", ""])
def test_other_bytes_are_refused(tmp_path, printed):
    client = RegistryClient("crane", _write_program(tmp_path / "crane", f"printf '{printed}'"), {})
    with pytest.raises(RegistryError, match=rf"crane has fetched something else for {DIGEST}: {len(printed)} bytes with digest"):
        _fetch(client)
    with pytest.raises(RegistryError, match=rf"crane has fetched something else for {DIGEST}$"):
        client.fetch_manifest("registry.example/x", insecure=False, digest=DIGEST)


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("mkdir layers; cat /dev/zero > layers/NAME", "skopeo has not fetched"),
        ("mkdir layers; printf x > layers/NAME", "skopeo has fetched something else"),
        ("mkdir layers; ln -s /dev/zero layers/NAME", "skopeo has not written"),
        ("exit 0", "skopeo has not written"),
    ],
)
def test_what_skopeo_writes_is_not_believed(tmp_path, monkeypatch, script, problem):
    monkeypatch.chdir(tmp_path)
    program = _write_program(tmp_path / "skopeo", script.replace("NAME", DIGEST.removeprefix("sha256:")))
    with open("output", "wb") as output, pytest.raises(RegistryError, match=problem):
        RegistryClient("skopeo", program, {}).fetch_blob(output, "registry.example/x", DIGEST, DIGEST, 7, insecure=False)
    assert sorted(os.listdir()) == ["output", "skopeo"]

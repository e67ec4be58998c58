"""A registry, a client, a credential helper or a hook that hangs ends the release in time, and the next release completes it."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest
from releases import NAMES, Shell, list_statuses, list_tags

from support import registry_proxy
from support.registry_proxy import Answer, Proxy

LIMIT = 3
"""The value of --timeout, in seconds."""
DELIVERY = pathlib.Path("tests/delivery").absolute()
PATTERNS = {
    "a tag is asked for": "^(HEAD|GET) .*/manifests/v1$",
    "a blob is asked for": "^HEAD .*/blobs/",
    "an upload begins": "^POST .*/blobs/uploads/",
    "a blob is uploaded": "^PATCH .*/blobs/uploads/",
    "an upload ends": "^PUT .*/blobs/uploads/",
    "a manifest is pushed": "^PUT .*/manifests/sha256",
    "a tag is moved": "^PUT .*/manifests/v1$",
}


def _make_flags(proxy: Proxy, path: str) -> tuple[str, ...]:
    return "--repository-prefix", f"{proxy.host}/{path}", "--tag", "v1"


TIMEOUT = ("--timeout", str(LIMIT))


@contextlib.contextmanager
def _hang(proxy: Proxy, pattern: str) -> Iterator[None]:
    """Has the registry not answer requests that match, during the block."""
    release = threading.Event()

    def wait() -> Answer:
        release.wait(120)
        return registry_proxy.DROP

    proxy.fail(pattern, wait, 1000)
    try:
        yield
    finally:
        proxy.heal()
        release.set()


def _list_clients(shell: Shell) -> list[str]:
    """Returns the command lines of the processes that the programs of a shell have left and that do not end within a second."""
    end = time.monotonic() + 1
    while (lines := _list_processes(shell)) and time.monotonic() < end:
        time.sleep(0.05)
    return lines


def _list_processes(shell: Shell) -> list[str]:
    lines = []
    for process in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            line = pathlib.Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(shell.directory) in line and int(process) != os.getpid():
                lines.append(line)
    return lines


@pytest.mark.parametrize("client", ["crane", "skopeo"])
@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS)
def test_a_registry_that_does_not_answer_ends_the_release(tmp_path, registry, proxy, path, client, pattern):
    shell, flags = Shell(tmp_path, client), _make_flags(proxy, path)
    started = time.monotonic()
    with _hang(proxy, pattern):
        done = shell.run(*flags, *TIMEOUT)
    assert time.monotonic() - started < 60
    assert done.returncode == 1
    assert "failed" in list_statuses(done.stdout).values()
    assert f"made no progress for {LIMIT} s and was ended; --timeout sets this limit" in done.stderr or (
        f"{proxy.host} does not answer: timed out" in done.stderr
    )
    assert not _list_clients(shell)
    if "v1" not in pattern:
        assert list_tags(registry, path) == []
    done = shell.run(*flags)
    assert done.returncode == 0, done.stderr
    assert list_tags(registry, path) == ["v1"] * len(NAMES)


def test_one_request_that_hangs_is_repeated(tmp_path, registry, proxy, path):
    """The registry answers other requests in the meantime."""
    shell = Shell(tmp_path)
    release = threading.Event()

    def wait() -> Answer:
        release.wait(60)
        return registry_proxy.DROP

    proxy.fail("^PUT .*/team/web/manifests/sha256", wait, 1)
    proxy.fail("^PUT .*/team/(api|index)/manifests/sha256", lambda: time.sleep(LIMIT / 2), 1000)  # type: ignore[func-returns-value]
    done = shell.run(*_make_flags(proxy, path), *TIMEOUT)
    release.set()
    assert (done.returncode, list_statuses(done.stdout)) == (0, dict.fromkeys(NAMES, "pushed")), done.stderr
    assert list_tags(registry, path) == ["v1"] * len(NAMES)


def test_a_slow_upload_is_not_ended(tmp_path, registry, proxy, path):
    """Each request takes nearly as long as a client may hang, and all together take longer."""
    proxy.fail("^(PATCH|PUT)", lambda: time.sleep(LIMIT * 0.4), 1000)  # type: ignore[func-returns-value]
    started = time.monotonic()
    done = Shell(tmp_path).run(*_make_flags(proxy, path), *TIMEOUT, "--only", "*/api", "--jobs", "1")
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - started > LIMIT


def test_a_server_that_accepts_connections_and_nothing_else_ends_the_release(tmp_path):
    shell = Shell(tmp_path)
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        started = time.monotonic()
        done = shell.run("--repository-prefix", f"127.0.0.1:{server.getsockname()[1]}/x", "--tag", "v1", *TIMEOUT)
    assert (done.returncode, list_statuses(done.stdout)) == (1, dict.fromkeys(NAMES, "failed"))
    assert "does not answer: timed out" in done.stderr
    assert time.monotonic() - started < 4 * LIMIT  # One wait for all images.


def _write_program(path: pathlib.Path, script: str) -> str:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_a_hook_that_hangs_ends_the_release(tmp_path, registry, proxy, path):
    shell, flags = Shell(tmp_path), _make_flags(proxy, path)
    hook = _write_program(tmp_path / "sign", 'case "$1" in */web@*) sh -c "sleep 1000; : $0";; esac')
    done = shell.run(*flags, *TIMEOUT, "--hook", hook, PATH=f"{shell.path}:{os.environ['PATH']}")
    assert (done.returncode, list_statuses(done.stdout)["web"]) == (1, "failed")
    assert f"hook {hook} {proxy.host}/{path}/team/web@sha256:" in done.stderr
    assert f": it took more than {LIMIT} s and was ended; --timeout sets this limit" in done.stderr
    assert "no tag has moved" in done.stderr
    assert not _list_clients(shell)
    assert shell.run(*flags, "--hook", _write_program(tmp_path / "sign", "")).returncode == 0


@pytest.mark.parametrize("client", ["crane", "skopeo"])
def test_a_credential_helper_that_hangs_ends_the_release(tmp_path, registry, proxy, path, client):
    shell, flags = Shell(tmp_path, client), _make_flags(proxy, path)
    proxy.password = "user:password"
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/config.json").write_text(json.dumps({"credHelpers": {proxy.host: "test"}}))
    helper = shell.path / "docker-credential-test"
    _write_program(helper, f"sh -c 'sleep 1000; : {tmp_path}'")
    started = time.monotonic()
    done = shell.run(*flags, *TIMEOUT, "--only", "*/web", PATH=f"{shell.path}:{os.environ['PATH']}")
    assert (done.returncode, list_statuses(done.stdout)) == (1, {"web": "failed"})
    assert "made no progress" in done.stderr
    assert time.monotonic() - started < 60
    assert not _list_clients(shell)
    answer = json.dumps({"ServerURL": proxy.host, "Username": "user", "Secret": "password"})
    _write_program(helper, f"cat > /dev/null; echo '{answer}'")
    done = shell.run(*flags, PATH=f"{shell.path}:{os.environ['PATH']}")
    assert (done.returncode, list_statuses(done.stdout)) == (0, dict.fromkeys(NAMES, "pushed")), done.stderr
    done = shell.run(*flags, PATH=f"{shell.path}:{os.environ['PATH']}")
    assert list_statuses(done.stdout) == dict.fromkeys(NAMES, "unchanged"), done.stderr


@pytest.mark.parametrize("client", ["crane", "skopeo"])
def test_a_push_of_one_image_ends_too(tmp_path, proxy, path, client):
    shell = Shell(tmp_path, client)
    command = [str(DELIVERY / "push"), "--repository", f"{proxy.host}/{path}", "--tag", "v1"]
    environment = {"PATH": str(shell.path), "HOME": str(tmp_path), "TMPDIR": str(tmp_path / "tmp")}
    with _hang(proxy, "^PUT .*/manifests/"):
        done = subprocess.run([*command, *TIMEOUT], env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    what = f"{client} has not pushed {proxy.host}/{path}:v1 (it made no progress for {LIMIT} s and was ended"
    assert f"//tests/delivery:push: {what}; --timeout sets this limit)\n" in done.stderr
    assert not _list_clients(shell)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout.endswith(":v1\n"), done.stderr

"""A release ends in time and in order whatever a registry, a terminal or the system does."""

from __future__ import annotations

import contextlib
import pathlib
import signal
import socket
import subprocess
import threading
import time

import pytest
from releases import HERE, NAMES, Shell, list_statuses, list_tags

from support.registry_proxy import Answer, Proxy


@pytest.fixture
def shell(tmp_path) -> Shell:
    return Shell(tmp_path)


def _make_flags(host: str, path: str) -> tuple[str, ...]:
    return "--repository-prefix", f"{host}/{path}", "--tag", "v1"


def test_a_registry_that_claims_to_have_every_blob_gets_no_tag(shell, registry, proxy, path):
    """The client skips the blobs, and the registry refuses the manifest."""
    flags = _make_flags(proxy.host, path)
    proxy.fail("^HEAD .*/blobs/", Answer(200), 1000)
    done = shell.run(*flags, "--retries", "1")
    assert (done.returncode, list_statuses(done.stdout)) == (1, dict.fromkeys(NAMES, "failed"))
    assert "MANIFEST_BLOB_UNKNOWN" in done.stderr and "no tag has moved" in done.stderr
    assert list_tags(registry, path) == []
    proxy.heal()
    assert shell.run(*flags).returncode == 0
    assert list_tags(registry, path) == ["v1"] * len(NAMES)


def test_a_registry_that_claims_to_have_every_manifest_gets_no_tag(shell, registry, proxy, path):
    proxy.fail("^HEAD .*/manifests/sha256", lambda: _echo_digest(proxy), 1000)
    done = shell.run(*_make_flags(proxy.host, path))
    assert done.returncode == 1
    assert set(list_statuses(done.stdout).values()) == {"failed"}
    assert list_tags(registry, path) == []


def _echo_digest(proxy: Proxy) -> Answer:
    """Returns the answer of a registry that has the manifest of the last request."""
    return Answer(200, {"Docker-Content-Digest": proxy.requests[-1].path.rpartition("/")[2], "Content-Length": "1"})


@pytest.mark.parametrize("pattern", ["^HEAD .*/manifests/v1", "^POST .*/blobs/uploads/", "^PUT .*/manifests/v1"])
def test_a_release_that_waits_for_a_busy_registry_can_be_interrupted(shell, proxy, path, pattern):
    seen: list[float] = []

    def refuse() -> Answer:
        seen.append(time.monotonic())
        return Answer(429, {"Retry-After": "100"}, b'{"errors":[{"code":"TOOMANYREQUESTS","message":"wait"}]}')

    proxy.fail(pattern, refuse, 1000)
    with shell.start(*_make_flags(proxy.host, path)) as process:
        while not seen or time.monotonic() - seen[-1] < 1:
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        interrupted = time.monotonic()
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert time.monotonic() - interrupted < 20
    assert "interrupted: " in stderr and "Traceback" not in stderr


def test_a_release_that_is_killed_goes_on_later(shell, registry, proxy, path):
    flags = _make_flags(proxy.host, path)
    waiting = threading.Event()

    def wait() -> None:
        waiting.set()
        time.sleep(2)

    proxy.fail("^PUT .*/manifests/sha256", wait, 1000)
    with shell.start(*flags) as process:
        assert waiting.wait(60)
        process.kill()
    proxy.heal()
    assert list_tags(registry, path) == []
    for left in (shell.directory / "tmp").iterdir():  # Nobody else can delete them.
        subprocess.run(["rm", "-r", str(left)], check=True)
    done = shell.run(*flags)
    assert done.returncode == 0, done.stderr
    assert list_tags(registry, path) == ["v1"] * len(NAMES)


@pytest.mark.parametrize("banner", [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 100 Continue\r\n\r\n" * 100, b"\x00" * 5000])
def test_a_server_that_is_no_registry_ends_the_release(shell, path, banner):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    with server.accept()[0] as connection, contextlib.suppress(OSError):
                        connection.sendall(banner)

        threading.Thread(target=accept, daemon=True).start()
        done = shell.run(*_make_flags(f"127.0.0.1:{server.getsockname()[1]}", path), "--retries", "1")
    assert done.returncode == 1
    assert "no tag has moved" in done.stderr
    assert done.stderr.replace("\n", "").isprintable()


def test_a_registry_that_nobody_runs_ends_the_release(shell, path):
    done = shell.run(*_make_flags("127.0.0.1:1", path), "--retries", "1")
    assert (done.returncode, list_statuses(done.stdout)) == (1, dict.fromkeys(NAMES, "failed"))
    assert "Connection refused" in done.stderr and "no tag has moved" in done.stderr


def test_a_table_that_cannot_be_printed_is_an_error(shell, registry, path):
    """The tags have moved, and the file of digests says so."""
    output = shell.directory / "digests.json"
    with pathlib.Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [str(HERE / "release"), *_make_flags(registry.host, path), "--output", str(output)],
            env={"PATH": str(shell.path), "HOME": str(shell.directory), "TMPDIR": str(shell.directory / "tmp")},
            stdin=subprocess.DEVNULL,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1
    assert "No space left on device" in done.stderr and "Traceback" not in done.stderr and "internal error" not in done.stderr
    assert list_tags(registry, path) == ["v1"] * len(NAMES)
    assert len(shell.read_digests()) == len(NAMES)

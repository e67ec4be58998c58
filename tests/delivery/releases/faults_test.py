"""A release that a registry, a disk or the user interrupts moves no tag, says why, and goes on when it runs again."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest
from releases import NAMES, Shell, list_statuses, list_tags

from support import registry as registries
from support import registry_proxy, require
from support.registry_proxy import DROP, TRUNCATE, Answer

ERROR = b'{"errors":[{"code":"UNKNOWN","message":"a fault of the test"}]}'
BLOB_UNKNOWN = b'{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown to registry"}]}'
PUSHED, TAGGED = dict.fromkeys(NAMES, "pushed"), dict.fromkeys(NAMES, "tagged")
MANIFEST_PUT = "^PUT .*/manifests/sha256"
TAG_PUT = "^PUT .*/manifests/v1$"


@pytest.fixture
def shell(tmp_path) -> Shell:
    return Shell(tmp_path)


@pytest.fixture
def flags(proxy, path) -> tuple[str, ...]:
    """Returns the flags of a release to a path in the registry that no other test uses."""
    return "--repository-prefix", f"{proxy.host}/{path}", "--tag", "v1"


@pytest.mark.parametrize("status", [429, 500, 503])
@pytest.mark.parametrize(
    "pattern", ["^HEAD .*/manifests/v1", "^HEAD .*/blobs/", "^POST .*/blobs/uploads/", MANIFEST_PUT, TAG_PUT]
)
def test_errors_that_pass_are_retried(shell, registry, proxy, path, flags, pattern, status):
    proxy.fail(pattern, Answer(status, {"Retry-After": "0"}, ERROR), 2)
    done = shell.run(*flags)
    assert (done.returncode, list_statuses(done.stdout)) == (0, PUSHED), done.stderr
    assert list_tags(registry, path) == ["v1"] * len(NAMES)


def test_a_manifest_whose_blobs_the_registry_does_not_know_yet_is_pushed_again(shell, registry, proxy, path, flags):
    proxy.fail(MANIFEST_PUT, Answer(400, {}, BLOB_UNKNOWN), 2)
    done = shell.run(*flags)
    assert (done.returncode, list_statuses(done.stdout)) == (0, PUSHED), done.stderr
    assert list_tags(registry, path) == ["v1"] * len(NAMES)


def test_retry_after_is_honoured(shell, proxy, flags):
    times: list[float] = []
    proxy.fail(
        "^HEAD .*/team/web/manifests/v1", lambda: times.append(time.monotonic()) or Answer(429, {"Retry-After": "3"}, ERROR)
    )
    proxy.fail("^HEAD .*/team/web/manifests/v1", lambda: times.append(time.monotonic()))  # type: ignore[func-returns-value]
    assert shell.run(*flags).returncode == 0
    assert 3 <= times[1] - times[0] < 10


@pytest.mark.parametrize("answer", [DROP, TRUNCATE], ids=["dropped", "truncated"])
@pytest.mark.parametrize("pattern", ["^(PATCH|PUT) .*/blobs/uploads/", MANIFEST_PUT])
def test_connections_that_break_are_retried(shell, registry, proxy, path, flags, pattern, answer):
    proxy.fail(pattern, answer, 2)
    done = shell.run(*flags)
    assert (done.returncode, list_statuses(done.stdout)) == (0, PUSHED), done.stderr
    assert list_tags(registry, path) == ["v1"] * len(NAMES)


@pytest.mark.parametrize("pattern", ["^POST .*/blobs/uploads/", "^(PATCH|PUT) .*/blobs/uploads/", MANIFEST_PUT])
def test_a_release_that_fails_moves_no_tag_and_goes_on_later(shell, registry, proxy, path, flags, pattern):
    proxy.fail(pattern.replace(".*", ".*/team/web"), Answer(500, {}, ERROR), 1000)
    done = shell.run(*flags, "--retries", "0")
    assert (done.returncode, list_statuses(done.stdout)) == (1, PUSHED | {"web": "failed"})
    assert "1 of 4 images failed, and no tag has moved; run it again to go on" in done.stderr
    assert "a fault of the test" in done.stderr or "500" in done.stderr
    assert list_tags(registry, path) == []
    proxy.heal()
    done = shell.run(*flags)
    assert (done.returncode, list_statuses(done.stdout)) == (0, TAGGED | {"web": "pushed"}), done.stderr
    assert list_tags(registry, path) == ["v1"] * len(NAMES)
    for image in ("api", "archive", "index"):
        assert not proxy.count(f"^(POST|PATCH) .*/team/{image}/")


def test_a_registry_that_forbids_the_push_is_not_asked_again(shell, registry, proxy, path, flags):
    proxy.fail("^POST .*/team/web/blobs/uploads/", Answer(403, {}, b'{"errors":[{"code":"DENIED","message":"no"}]}'), 1000)
    done = shell.run(*flags)
    assert (done.returncode, list_statuses(done.stdout)) == (1, PUSHED | {"web": "failed"})
    assert "DENIED" in done.stderr
    assert list_tags(registry, path) == []


@pytest.mark.parametrize("pattern", ["^HEAD", "^PATCH", MANIFEST_PUT, TAG_PUT])
def test_a_registry_that_is_killed(tmp_path, pattern):
    """The registry is killed by a request in the middle of the release. Then it is started again with the same storage."""
    directory, shell = tmp_path / "registry", Shell(tmp_path / "shell")
    directory.mkdir()
    with registries.serve(directory) as registry, registry_proxy.serve(registry.host) as proxy:
        flags = ("--repository-prefix", f"{proxy.host}/killed", "--tag", "v1", "--jobs", "1")
        seen = 0

        def kill() -> Answer | None:
            nonlocal seen
            seen += 1
            if seen == 2:
                registry.kill()
            return None

        proxy.fail(pattern, kill, 1000)
        started = time.monotonic()
        done = shell.run(*flags, "--retries", "2")
        assert done.returncode == 1
        assert time.monotonic() - started < 60
        assert "failed" in list_statuses(done.stdout).values()
        moved = pattern == TAG_PUT
        # The first tag has moved. Nobody could confirm it.
        assert (", and 1 of 4 tags have moved; run it again" if moved else "no tag has moved; run it again") in done.stderr
        assert done.stderr.count("; not moved: v1\n") == (3 if moved else 0)
        proxy.heal()
        with registries.serve(directory) as restarted:
            proxy.upstream = restarted.host
            assert [tag for name in NAMES for tag in restarted.tags(f"killed/team/{name}")] == (["v1"] if moved else [])
            done = shell.run(*flags)
            assert done.returncode == 0, done.stderr
            assert [tag for name in NAMES for tag in restarted.tags(f"killed/team/{name}")] == ["v1"] * len(NAMES)
            done = shell.run(*flags)
            assert list_statuses(done.stdout) == dict.fromkeys(NAMES, "unchanged")


@pytest.mark.parametrize("pattern", ["^HEAD .*/manifests/", "^PATCH .*", MANIFEST_PUT])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_release(shell, registry, proxy, path, flags, pattern, number):
    """The registry holds a request back, the user interrupts the release, and nothing is left of it."""
    waiting: list[float] = []

    def wait() -> None:
        waiting.append(time.monotonic())
        time.sleep(3)

    proxy.fail(pattern, wait, 1000)
    with shell.start(*flags) as process:
        while not waiting:
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (130, ""), stderr
    assert "interrupted: " in stderr and "0 of 4 images have their tags; run it again to go on" in stderr
    assert "Traceback" not in stderr
    assert not list((shell.directory / "tmp").iterdir())
    assert list_tags(registry, path) == []
    proxy.heal()
    done = shell.run(*flags)
    assert done.returncode == 0, done.stderr
    assert list_tags(registry, path) == ["v1"] * len(NAMES)


def test_two_releases_at_once(tmp_path, registry, proxy, path, flags):
    shells = [Shell(tmp_path / name) for name in ("one", "two")]
    processes = [shell.start(*flags) for shell in shells]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "".join(errors for _, errors in outputs)
    assert list_tags(registry, path) == ["v1"] * len(NAMES)
    assert set(list_statuses(shells[0].run(*flags).stdout).values()) == {"unchanged"}


def test_a_tag_that_somebody_else_moves(shell, registry, proxy, path, flags):
    """Another release moves the tag of an image while this one pushes; no tag of this release moves."""
    repository = f"{flags[1]}/team"

    def move() -> None:
        crane = [require.tool("crane"), "--insecure"]
        environment = {**os.environ, "HOME": str(shell.directory)}
        subprocess.run([*crane, "copy", f"{repository}/api@{digest}", f"{repository}/web:v1"], check=True, env=environment)

    assert shell.run(*flags[:2], "--tag", "other", "--only", "*/api", "--output", "digests.json").returncode == 0
    (image,) = shell.read_digests()
    digest = image["digest"]
    proxy.fail(MANIFEST_PUT.replace(".*", ".*/team/index"), move)
    done = shell.run(*flags)
    assert done.returncode == 1
    assert list_statuses(done.stdout)["web"] == "failed"
    assert f"somebody else has moved {repository}/web:v1 to {digest} during the release, and no tag was moved" in done.stderr
    assert list_tags(registry, path) == ["other", "v1"]
    done = shell.run(*flags)
    assert done.returncode == 0, done.stderr
    assert list_tags(registry, path) == ["other", *["v1"] * len(NAMES)]


@contextlib.contextmanager
def make_full_disk(directory: pathlib.Path, free: int) -> Iterator[pathlib.Path]:
    """Mounts a file system that has a few free pages, and is empty but for one file."""
    require.root()
    directory.mkdir()
    subprocess.run([require.tool("mount"), "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(directory)], check=True)
    try:
        (directory / "filler").write_bytes(bytes((1 << 20) - free * 4096))
        yield directory
        assert [path.name for path in directory.iterdir()] == ["filler"]
    finally:
        subprocess.run([require.tool("umount"), str(directory)], check=True)


def test_a_full_disk_for_temporary_files(shell, registry, proxy, path, flags):
    with make_full_disk(shell.directory / "disk", 2) as disk:
        done = shell.run(*flags, TMPDIR=str(disk))
        assert done.returncode == 1
        assert "No space left on device" in done.stderr and "no tag has moved" in done.stderr
    assert list_tags(registry, path) == []
    assert shell.run(*flags).returncode == 0


def test_a_full_disk_for_the_file_of_digests(shell, registry, proxy, path, flags):
    with make_full_disk(shell.directory / "disk", 0) as disk:
        done = shell.run(*flags, "--output", str(disk / "digests.json"))
    assert (done.returncode, list_statuses(done.stdout)) == (1, PUSHED)
    assert "digests.json" in done.stderr and "No space left on device" in done.stderr
    assert list_tags(registry, path) == ["v1"] * len(NAMES)


OTHER_DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    "pattern, answer, message",
    [
        ("^HEAD .*/manifests/sha256", Answer(200, {"Docker-Content-Digest": OTHER_DIGEST}), "answers with the digest"),
        ("^HEAD .*/manifests/v1", Answer(200, {"Docker-Content-Digest": "sha256:\x1b[31m"}), "answers with the digest"),
        ("^(HEAD|GET) .*/manifests/v1", Answer(200, {}, bytes(1 << 16), endless=True), "limit JSON"),
        ("^(HEAD|GET) .*/manifests/v1", Answer(418, {}, bytes(1 << 16), endless=True), "status 418"),
        ("^PUT .*/blobs/uploads/", Answer(201, {"Docker-Content-Digest": OTHER_DIGEST}), ""),
        (MANIFEST_PUT, Answer(201, {"Docker-Content-Digest": OTHER_DIGEST}), "does not have"),
        (MANIFEST_PUT, Answer(201), "does not have"),
    ],
)
def test_a_hostile_registry_moves_no_tag(shell, registry, proxy, path, flags, pattern, answer, message):
    proxy.fail(pattern, answer, 1000)
    done = shell.run(*flags, "--retries", "1")
    assert done.returncode == 1
    assert message in done.stderr and "\x1b" not in done.stderr
    assert "no tag has moved" in done.stderr
    assert list_tags(registry, path) == []


def test_a_registry_that_ignores_a_tag_is_reported(shell, proxy, flags):
    proxy.fail(TAG_PUT, Answer(201), 1000)
    done = shell.run(*flags)
    assert done.returncode == 1
    assert "/team/web:v1 is missing after the push; it must be sha256:" in done.stderr


def test_a_redirection_is_not_followed_to_another_host(tmp_path, proxy, registry, flags):
    """The other host gets no request of ours, and no token. crane follows a redirection, as it does for everything that it pulls."""
    shell = Shell(tmp_path)
    with registry_proxy.serve(registry.host) as other:
        proxy.fail("^HEAD .*/blobs/", Answer(307, {"Location": f"http://{other.host}/stolen"}), 1)
        done = shell.run(*flags, "--only", "*/api", "--retries", "0", "--dry-run")
        assert done.returncode == 0, done.stderr
        assert not other.requests

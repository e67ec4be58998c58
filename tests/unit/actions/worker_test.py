"""A persistent worker serves any number of actions, each as if it ran in a process of its own."""

from __future__ import annotations

import json
import pathlib
import random
import subprocess
import tarfile
import time
from collections.abc import Iterator
from typing import Any

import pytest

from support import packer, require


class Worker:
    """A worker process in a directory."""

    def __init__(self, directory: pathlib.Path) -> None:
        self._serial = 0
        self.process = subprocess.Popen(
            [*packer.command_line("layer"), "--persistent_worker"],
            cwd=directory,
            env={},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, *arguments: str) -> tuple[int, str]:
        """Sends a request; returns the exit code and the output of its response."""
        self.send(arguments=arguments, inputs=[{"path": "x", "digest": "y"}])
        response = self.receive()
        return response["exitCode"], response["output"]

    def send(self, **request: Any) -> None:
        """Sends a request and does not wait for the response; a cancellation is for the request before it."""
        self._serial += "cancel" not in request
        assert self.process.stdin
        self.process.stdin.write(json.dumps({**request, "requestId": self._serial}) + "\n")
        self.process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        """Returns the response to the last request."""
        assert self.process.stdout
        response = json.loads(self.process.stdout.readline())
        assert response["requestId"] == self._serial
        return response

    def receive_any(self) -> tuple[int, dict[str, Any]]:
        """Returns the next response, and how many requests came after its request."""
        assert self.process.stdout
        response = json.loads(self.process.stdout.readline())
        return self._serial - response.pop("requestId"), response

    def memory(self) -> int:
        """Returns the size of the resident set in bytes."""
        pages = pathlib.Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * 4096


@pytest.fixture
def worker(tmp_path) -> Iterator[Worker]:
    running = Worker(tmp_path)
    yield running
    assert running.process.stdin
    running.process.stdin.close()
    assert running.process.wait() == 0


def _make_flags(subcommand: str, name: str) -> list[str]:
    outputs = [f"--output={name}.tar", f"--metadata={name}.json"]
    return [subcommand, f"--target=//:{name}", *outputs, "--compression=gzip", "--created-by=test"]


def _make_request(name: str, *entries: dict[str, Any], assignments: tuple[str, ...] = ()) -> list[str]:
    return [*_make_flags("layer", name), *assignments, *(json.dumps(entry) for entry in entries)]


def _read_outputs(directory: pathlib.Path, name: str) -> list[bytes]:
    return [(directory / f"{name}.{kind}").read_bytes() for kind in ("tar", "json")]


def test_a_worker_writes_the_bytes_of_a_separate_process(tmp_path, worker):
    (tmp_path / "program").write_bytes(b"\x7fELF" + random.Random(0).randbytes(1 << 20) * 2)
    request = _make_request("one", {"path": "/app", "source": "program"}, assignments=(packer.assign("/app", "bpf"),))
    assert worker.ask(*request) == (0, "")
    expected = _read_outputs(tmp_path, "one")
    assert worker.ask(*request) == (0, "")
    assert _read_outputs(tmp_path, "one") == expected
    assert packer.run("layer", *request[2:], cwd=tmp_path) == (0, "")
    assert _read_outputs(tmp_path, "one") == expected


def test_errors_do_not_end_the_worker(tmp_path, worker):
    (tmp_path / "file").write_bytes(b"content")
    good = _make_request("good", {"path": "/file", "source": "file"})
    for _ in range(3):
        # A mistake of the user, a mistake of the rules, and exceptions that the packer does not expect.
        assert worker.ask(*_make_request("bad", {"path": "file", "source": "file"})) == (
            1,
            '//:bad: srcs: "file": must be absolute; write "/file"\n',
        )
        assert worker.ask("layer", "--target=//:x", "--nonsense=1")[0] == 2
        status, output = worker.ask(*_make_flags("layer", "bad"), "--capabilities=not JSON")
        assert status == 70 and "JSONDecodeError" in output
        worker.send(inputs=[])
        response = worker.receive()
        assert response["exitCode"] == 70 and response["output"].count("\n") == 1 and "KeyError" in response["output"]
        assert worker.ask(*good) == (0, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "good.json", "good.tar"]


def test_prints_to_stdout_do_not_mix_with_responses(tmp_path, worker):
    """For example, a library prints when it is loaded."""
    (tmp_path / "noisy.c").write_text(
        '#include <unistd.h>\n__attribute__((constructor)) static void print(void) { write(1, "noise\\n", 6); }\n'
    )
    subprocess.run([require.tool("gcc"), "-shared", "-fPIC", "-o", "noisy.so", "noisy.c"], cwd=tmp_path, check=True)
    request = [flag for flag in _make_flags("layer", "noisy") if not flag.startswith("--compression")]
    status, output = worker.ask(*request, "--compression=gzip", "--library=noisy.so")
    assert status == 1 and "not libdeflate" in output


def test_memory_does_not_grow(tmp_path, worker):
    """Each request has so many entries that a leak of those of a few requests would show."""
    (tmp_path / "file").write_bytes(b"content")
    early = 0
    for number in range(300):
        directories = [{"path": f"/{number}/{other}", "type": "directory"} for other in range(200)]
        right, wrong = ({"path": path, "source": "file"} for path in ("/file", "file"))
        assert worker.ask(*_make_request("good", right, *directories)) == (0, "")
        assert worker.ask(*_make_request("bad", wrong, *directories))[0] == 1
        if number == 100:
            early = worker.memory()
    assert worker.memory() < early + (2 << 20)


class SlowRequest:
    """A setcap request for a large tar, which takes a second or more."""

    def __init__(self, directory: pathlib.Path) -> None:
        """Writes the tar into the directory in which the worker runs."""
        self.request = [*_make_flags("setcap", "slow"), "--level=9", "--tar=large"]
        self._partial = directory / "slow.tar.partial"
        entry = tarfile.TarInfo("file")
        entry.size = 48 << 20
        # Content whose half can be compressed takes the longest.
        data = b"".join(bytes((byte, byte >> 4, byte & 15, 7)) for byte in random.Random(1).randbytes(1 << 20))
        (directory / "large").write_bytes(entry.tobuf() + data * 12 + bytes(1024))

    def wait(self) -> None:
        """Waits until the worker is in the middle of the request."""
        while not self._partial.exists() or not self._partial.stat().st_size:
            time.sleep(0.001)


def test_a_running_request_is_cancelled(tmp_path, worker):
    (tmp_path / "file").write_bytes(b"content")
    small = _make_request("small", {"path": "/file", "source": "file"})
    slow = SlowRequest(tmp_path)
    for _ in range(5):
        worker.send(arguments=slow.request)
        slow.wait()
        worker.send(cancel=True)
        assert worker.receive().get("wasCancelled") is True
        worker.send(cancel=True)  # A second cancellation, which is too late.
        assert worker.ask(*small) == (0, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "large", "small.json", "small.tar"]


def test_a_cancelled_request_gives_the_same_bytes_when_repeated(tmp_path, worker):
    slow = SlowRequest(tmp_path)
    worker.send(arguments=slow.request)
    slow.wait()
    worker.send(cancel=True)
    assert worker.receive().get("wasCancelled") is True
    assert worker.ask(*slow.request) == (0, "")
    outputs = _read_outputs(tmp_path, "slow")
    assert packer.run("setcap", *slow.request[2:], cwd=tmp_path) == (0, "")
    assert _read_outputs(tmp_path, "slow") == outputs


def test_a_waiting_request_is_cancelled(tmp_path, worker):
    (tmp_path / "file").write_bytes(b"content")
    small = _make_request("small", {"path": "/file", "source": "file"})
    slow = SlowRequest(tmp_path)
    worker.send(arguments=slow.request)
    slow.wait()
    # Only the second request is cancelled; the running one succeeds.
    worker.send(arguments=small)
    worker.send(cancel=True)
    assert worker.receive_any() == (1, {"exitCode": 0, "output": ""})
    assert worker.receive_any() == (0, {"wasCancelled": True})
    assert not (tmp_path / "small.tar").exists()
    assert worker.ask(*small) == (0, "")


def test_a_cancellation_after_the_end_has_no_effect(tmp_path, worker):
    (tmp_path / "file").write_bytes(b"content")
    small = _make_request("small", {"path": "/file", "source": "file"})
    for _ in range(30):
        assert worker.ask(*small) == (0, "")
        worker.send(cancel=True)
    assert worker.ask(*small) == (0, "")


def test_a_cancellation_is_safe_at_any_moment(tmp_path, worker):
    """Each request gets exactly one response, cancelled or complete, and the worker goes on."""
    (tmp_path / "file").write_bytes(random.Random(2).randbytes(3 << 19))
    request = _make_request("layer", {"path": "/file", "source": "file"})
    assert worker.ask(*request) == (0, "")
    expected = _read_outputs(tmp_path, "layer")
    chance = random.Random(3)
    for _ in range(40):
        worker.send(arguments=request)
        time.sleep(chance.random() * 0.06)
        worker.send(cancel=True)
        response = worker.receive()
        assert response.get("wasCancelled") or (response["exitCode"], response["output"]) == (0, "")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "layer.json", "layer.tar"]
    assert worker.ask(*request) == (0, "")
    assert _read_outputs(tmp_path, "layer") == expected

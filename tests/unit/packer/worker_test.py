"""The persistent worker: as many actions as one likes, each as if it were the only one."""

from __future__ import annotations

import json
import os
import pathlib
import random
import subprocess
import sys
import time
from typing import Any, Iterator

import pytest

from support import packer


class Worker:
    """A worker process in a directory."""

    def __init__(self, directory: pathlib.Path) -> None:
        self._serial = 0
        self.process = subprocess.Popen(
            [sys.executable, "-S", "-E", "-s", "-B", "-X", "utf8", str(packer.MAIN), "--persistent_worker"],
            cwd=directory,
            env={},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, *arguments: str) -> tuple[int, str]:
        """One request: exit code and output of its response."""
        self.send(arguments=arguments, inputs=[{"path": "x", "digest": "y"}])
        response = self.receive()
        return response["exitCode"], response["output"]

    def send(self, **request: Any) -> None:
        """One request, without waiting for its response; a cancellation is of the one before."""
        self._serial += "cancel" not in request
        assert self.process.stdin
        self.process.stdin.write(json.dumps({**request, "requestId": self._serial}) + "\n")
        self.process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        """The response to the last request."""
        assert self.process.stdout
        response = json.loads(self.process.stdout.readline())
        assert response["requestId"] == self._serial
        return response

    def memory(self) -> int:
        """Resident set, in bytes."""
        pages = pathlib.Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * 4096


@pytest.fixture
def worker(tmp_path) -> Iterator[Worker]:
    made = Worker(tmp_path)
    yield made
    assert made.process.stdin
    made.process.stdin.close()
    assert made.process.wait(10) == 0


def _request(name: str, *entries: dict[str, Any], grants: tuple[str, ...] = ()) -> list[str]:
    flags = ["layer", f"--target=//:{name}", f"--output={name}.tar", f"--metadata={name}.json", "--compression=gzip", "--created-by=test"]
    return [*flags, *grants, *(json.dumps(entry) for entry in entries)]


def test_the_same_bytes_as_by_itself(tmp_path, worker):
    (tmp_path / "program").write_bytes(b"\x7fELF" + bytes(1 << 21))
    request = _request("one", {"path": "/app", "source": "program"}, grants=(packer.grant("/app", "bpf"),))
    assert worker.ask(*request) == (0, "")
    of_worker = [(tmp_path / f"one.{kind}").read_bytes() for kind in ("tar", "json")]
    assert packer.run("layer", *request[2:], cwd=tmp_path) == (0, "")
    assert [(tmp_path / f"one.{kind}").read_bytes() for kind in ("tar", "json")] == of_worker


def test_ten_thousand_requests_with_errors_among_them(tmp_path, worker):
    (tmp_path / "file").write_bytes(b"content")
    right = {"path": "/file", "source": "file"}
    wrong = {"path": "file", "source": "file"}
    early = 0
    for number in range(10000):
        if number % 10 == 3:
            assert worker.ask(*_request("bad", wrong)) == (1, '//:bad: srcs: "file": must be absolute; write "/file"\n')
        elif number % 100 == 7:
            assert worker.ask("layer", "--target=//:x", "--nonsense=1")[0] == 2
        else:
            assert worker.ask(*_request("good", right, {"path": f"/{number}", "type": "directory"})) == (0, "")
        if number == 1000:
            early = worker.memory()
    assert worker.memory() < early + (4 << 20)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "good.json", "good.tar"]


def test_cancellation(tmp_path, worker):
    """In the midst of work that would take minutes, before it starts, and too late."""
    (tmp_path / "file").write_bytes(b"content")
    with open(tmp_path / "large", "wb") as file:
        for _ in range(64):
            file.write(os.urandom(1 << 20) + bytes(range(256)) * 4096)
    entries = [{"path": f"/{number}", "source": "large"} for number in range(40)]
    large = [*_request("large", *entries), "--level=9"]
    small = _request("small", {"path": "/file", "source": "file"})
    for _ in range(3):
        worker.send(arguments=large)
        while not (tmp_path / "large.tar.partial").exists():
            time.sleep(0.01)
        time.sleep(0.3)
        start = time.monotonic()
        worker.send(cancel=True)
        assert worker.receive().get("wasCancelled") is True
        assert time.monotonic() - start < 5
        assert worker.ask(*small) == (0, "")
    worker.send(arguments=large)
    worker.send(cancel=True)
    assert worker.receive().get("wasCancelled") is True
    assert worker.ask(*small) == (0, "")
    for _ in range(100):
        worker.send(cancel=True)
        assert worker.ask(*small) == (0, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "large", "small.json", "small.tar"]


def test_cancellation_at_any_moment(tmp_path, worker):
    """There is one response to each request, a result or none; and the worker goes on."""
    (tmp_path / "file").write_bytes(os.urandom(3 << 20))
    request = _request("layer", {"path": "/file", "source": "file"})
    start = time.monotonic()
    assert worker.ask(*request) == (0, "")
    takes = time.monotonic() - start
    results = set()
    for number in range(200):
        worker.send(arguments=request)
        # Up to three times as long as it takes, so that some of them come too late.
        time.sleep(random.Random(number).random() * 3 * takes)
        worker.send(cancel=True)
        response = worker.receive()
        results.add(response.get("wasCancelled", False))
        assert response.get("wasCancelled") or (response["exitCode"], response["output"]) == (0, "")
    assert results == {False, True}
    assert worker.ask(*request) == (0, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "layer.json", "layer.tar"]

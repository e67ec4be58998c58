"""The persistent worker: as many actions as one likes, each as if it were the only one."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
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
        assert self.process.stdin and self.process.stdout
        self._serial += 1
        request: dict[str, Any] = {"arguments": arguments, "inputs": [{"path": "x", "digest": "y"}], "requestId": self._serial}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        response = json.loads(self.process.stdout.readline())
        assert response["requestId"] == self._serial
        return response["exitCode"], response["output"]

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
            assert worker.ask(*_request("bad", wrong)) == (1, '//:bad: srcs: "file": not absolute; write "/file"')
        elif number % 100 == 7:
            assert worker.ask("layer", "--target=//:x", "--nonsense=1")[0] == 2
        else:
            assert worker.ask(*_request("good", right, {"path": f"/{number}", "type": "directory"})) == (0, "")
        if number == 1000:
            early = worker.memory()
    assert worker.memory() < early + (4 << 20)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "good.json", "good.tar"]

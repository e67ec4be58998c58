"""Writes execution logs in Bazel's compact format."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from compression import zstd

from rules_setcap.reproduce.log_messages import ExecLogEntry


def frame(message: bytes) -> bytes:
    """Returns a message behind its length."""
    length, size = b"", len(message)
    while size >= 0x80:
        length += bytes([size & 0x7F | 0x80])
        size >>= 7
    return length + bytes([size]) + message


class LogWriter:
    """A log that grows by entries."""

    def __init__(self) -> None:
        self.data = b""
        self._id = 0

    def add(self, **fields: Any) -> int:
        """Adds an entry and returns its id."""
        self._id += 1
        self.data += frame(ExecLogEntry(id=self._id, **fields).SerializeToString())
        return self._id

    def add_file(self, path: str, content: str) -> int:
        return self.add(file={"path": path, "digest": {"hash": content}})

    def add_directory(self, path: str, files: Mapping[str, str]) -> int:
        entries = [{"path": name, "digest": {"hash": content}} for name, content in files.items()]
        return self.add(directory={"path": path, "files": entries})

    def add_set(self, *items: int, sets: Sequence[int] = ()) -> int:
        return self.add(input_set={"input_ids": items, "transitive_set_ids": sets})

    def add_spawn(self, label: str, inputs: int, outputs: Sequence[int], *arguments: str, **environment: str) -> None:
        variables = [{"name": name, "value": value} for name, value in environment.items()]
        spawn = {
            "args": arguments,
            "env_vars": variables,
            "input_set_id": inputs,
            "outputs": [{"output_id": output} for output in outputs],
            "target_label": label,
            "mnemonic": "Make",
            "runner": "local",
        }
        self.add(spawn=spawn)

    def write(self, path: pathlib.Path) -> str:
        """Writes the log and returns its path."""
        path.write_bytes(zstd.compress(self.data))
        return str(path)

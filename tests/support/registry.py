"""A registry of images on this machine: Debian's docker-registry, the reference implementation."""

from __future__ import annotations

import contextlib
import json
import pathlib
import re
import subprocess
import time
import urllib.error
import urllib.request
from typing import Iterator

from support import require

_ACCEPTED = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json"
_START = 30  # Seconds that it may take.


class Registry:
    """A registry that runs.

    Attributes:
      host: address and port.
    """

    def __init__(self, host: str, log: pathlib.Path) -> None:
        self.host = host
        self._log = log

    def manifest(self, repository: str, reference: str) -> tuple[str, bytes]:
        """Digest and bytes of a manifest or index, by tag or digest."""
        url = f"http://{self.host}/v2/{repository}/manifests/{reference}"
        with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": _ACCEPTED})) as answer:
            return answer.headers["Docker-Content-Digest"], answer.read()

    def blob(self, repository: str, digest: str) -> bytes:
        """The bytes of a blob."""
        with urllib.request.urlopen(f"http://{self.host}/v2/{repository}/blobs/{digest}") as answer:
            return answer.read()

    def tags(self, repository: str) -> list[str]:
        """The tags of a repository; none where the registry knows of none."""
        try:
            with urllib.request.urlopen(f"http://{self.host}/v2/{repository}/tags/list") as answer:
                return sorted(json.load(answer)["tags"] or [])
        except urllib.error.HTTPError as error:
            assert error.code == 404
            return []

    def uploads(self, repository: str) -> list[str]:
        """The digests of the blobs that were uploaded so far, one for each time."""
        pattern = rf'"PUT /v2/{re.escape(repository)}/blobs/uploads/[^" ]*digest=sha256(?:%3A|:)([0-9a-f]+)[^"]*" 201 '
        return re.findall(pattern, self._log.read_text())


@contextlib.contextmanager
def serve(directory: pathlib.Path) -> Iterator[Registry]:
    """A registry that keeps what it gets below `directory`, for as long as the block runs."""
    config, log = directory / "registry.json", directory / "registry.log"
    # YAML takes JSON. Port 0: one that is free.
    settings = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(directory / "registry")}},
        "http": {"addr": "127.0.0.1:0"},
    }
    config.write_text(json.dumps(settings))
    with open(log, "wb") as output:
        process = subprocess.Popen([require.tool("docker-registry"), "serve", str(config)], stdout=output, stderr=output)
    try:
        end = time.monotonic() + _START
        while not (match := re.search(r"listening on (127\.0\.0\.1:\d+)", log.read_text())):
            assert process.poll() is None and time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        yield Registry(match[1], log)
    finally:
        process.terminate()
        process.wait()

"""Runs a real HTTP proxy on this machine: tinyproxy."""

from __future__ import annotations

import contextlib
import pathlib
import socket
import subprocess
import time
from collections.abc import Iterator

from support import require

_START = 30  # The time limit for the start, in seconds.


@contextlib.contextmanager
def serve(directory: pathlib.Path, address: str, *, password: str = "") -> Iterator[str]:
    """Runs a proxy during the block, and yields its host and port. Its connections to servers come from its own address.

    Args:
      directory: the directory in which it keeps its files.
      address: its address, which only it has.
      password: the name and the password that it demands, separated by a colon; "" for none.
    """
    with socket.create_server((address, 0)) as probe:
        port = probe.getsockname()[1]
    config, log = directory / "tinyproxy.conf", directory / "tinyproxy.log"
    lines = [f"Port {port}", f"Listen {address}", f"Bind {address}", "Timeout 60", "MaxClients 100"]
    if password:
        lines.append(f"BasicAuth {password.replace(':', ' ')}")
    config.write_text("".join(f"{line}\n" for line in lines))
    with open(log, "wb") as output:
        process = subprocess.Popen([require.tool("tinyproxy"), "-d", "-c", str(config)], stdout=output, stderr=output)
    try:
        end = time.monotonic() + _START
        while True:
            with contextlib.suppress(OSError), socket.create_connection((address, port)):
                break
            assert process.poll() is None and time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        yield f"{address}:{port}"
    finally:
        process.terminate()
        process.wait()

"""Gives the process of a test a network of its own, in which this machine has more addresses than loopback ones.

Clients treat the loopback addresses in another way than others: they use no proxy for them, and allow plain HTTP.
"""

from __future__ import annotations

import fcntl
import os
import pathlib
import socket
import struct
import subprocess
from collections.abc import Mapping, Sequence

from support import require


def isolate(addresses: Sequence[str], hosts: Mapping[str, str], directory: pathlib.Path) -> None:
    """Moves this thread, and all threads and processes that it starts later, into a network that has no other machine.

    Args:
      addresses: the addresses of this machine besides 127.0.0.1.
      hosts: the addresses of hosts by their names.
      directory: a directory for the file that replaces /etc/hosts.
    """
    require.root()
    os.unshare(os.CLONE_NEWNET | os.CLONE_NEWNS)
    subprocess.run([require.tool("mount"), "--make-rprivate", "/"], check=True)
    table = directory / "hosts"
    table.write_text("".join(f"{address} {name}\n" for name, address in {"localhost": "127.0.0.1", **hosts}.items()))
    subprocess.run([require.tool("mount"), "--bind", str(table), "/etc/hosts"], check=True)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, 0x8914, struct.pack("16sH", b"lo", 0x1))  # SIOCSIFFLAGS, IFF_UP; netdevice(7)
        for number, address in enumerate(addresses):
            name = f"lo:{number}".encode()
            # SIOCSIFADDR with a struct sockaddr_in
            request = struct.pack("16sHH4s8x", name, socket.AF_INET, 0, socket.inet_aton(address))
            fcntl.ioctl(sock, 0x8916, request)

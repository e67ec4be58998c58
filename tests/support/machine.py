"""Makes namespaces and cgroups in which a test runs the daemons of container engines."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from support import require

_CGROUPS = pathlib.Path("/sys/fs/cgroup")
_START = 60  # The time limit for the start of a daemon, in seconds.
_KERNEL = {
    "kernel/keys/root_maxbytes": 25000000,
    "kernel/keys/root_maxkeys": 1000000,
    "kernel/panic": 10,
    "kernel/panic_on_oops": 1,
    "vm/overcommit_memory": 1,
    "vm/panic_on_oom": 0,
}
"""The kernel parameters that a kubelet sets (k8s.io/component-helpers/node/util/sysctl). Namespaces do not isolate them."""


class Machine:
    """Mount, network and process ID namespaces, and cgroups, that the daemons of a test share.

    close() ends all processes and mounts in it.

    Attributes:
      cgroup: the path of its cgroup from the root of each hierarchy.
    """

    def __init__(self, state: pathlib.Path) -> None:
        """Makes the namespaces and cgroups.

        Args:
          state: a directory for the files of the machine.
        """
        require.root()
        self._state = state
        self.cgroup = f"/rules_setcap-{os.getpid()}-{state.name}"
        hierarchies = (
            [_CGROUPS] if (_CGROUPS / "cgroup.procs").exists() else [path for path in _CGROUPS.iterdir() if path.is_dir()]
        )
        self._cgroups = list({path.resolve(): path / self.cgroup[1:] for path in hierarchies}.values())
        for path in self._cgroups:
            path.mkdir()
            for name in ("cpuset.cpus", "cpuset.mems"):  # In cgroup v1 they are empty at first; processes need values.
                if (path / name).exists() and not (path / name).read_text().strip():
                    (path / name).write_text((path.parent / name).read_text())
        # The first process of a namespace must reap all others. It ignores SIGCHLD, so the kernel reaps them.
        command = [
            "unshare",
            "--mount",
            "--net",
            "--pid",
            "--fork",
            "--kill-child",
            "--propagation=private",
            "--mount-proc",
            "--",
        ]
        script = "".join(f"mount --bind {path} /proc/sys/{name} && " for name, path in self._write_parameters().items())
        # Daemons keep sockets and checkpoints in these directories, whatever their configuration is.
        script += "mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /var/lib && "
        script += "trap '' CHLD && echo ready && exec sleep infinity"
        self._process = subprocess.Popen([*command, "sh", "-c", script], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout and self._process.stdout.readline() == "ready\n"
        self._first = _children(self._process.pid)[0]
        with self.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            request = struct.pack("16sH", b"lo", 0x1)  # IFF_UP
            fcntl.ioctl(sock, 0x8914, request)  # SIOCSIFFLAGS; netdevice(7)

    def _write_parameters(self) -> dict[str, pathlib.Path]:
        """Writes files that replace the kernel's parameters, and returns their paths by the name of the parameter."""
        paths = {}
        for name, value in _KERNEL.items():
            paths[name] = self._state / name.replace("/", ".")
            paths[name].write_text(f"{value}\n")
        return paths

    def command(self, arguments: Sequence[str]) -> list[str]:
        """Returns a command that runs another command in the namespaces."""
        return ["nsenter", f"--target={self._first}", "--mount", "--net", "--pid", "--wdns=/", "--", *arguments]

    def run(self, arguments: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
        """Runs a command in the namespaces."""
        return subprocess.run(self.command(arguments), text=True, errors="backslashreplace", **options)

    def socket(self, *arguments: Any) -> socket.socket:
        """Returns a socket in the network namespace."""
        made: list[socket.socket] = []

        def make() -> None:
            with open(f"/proc/{self._first}/ns/net") as namespace:
                os.setns(namespace.fileno(), os.CLONE_NEWNET)
            made.append(socket.socket(*arguments))

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        return made[0]

    def get(self, port: int, path: str) -> Any:
        """Returns the JSON of an HTTP response of a server on the loopback interface."""
        with self.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
            sock.settimeout(30)
            sock.connect(("127.0.0.1", port))
            sock.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            answer = b"".join(iter(lambda: sock.recv(1 << 16), b""))
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b" 200 " in head.split(b"\r\n")[0], answer[:1000]
        return json.loads(body)

    def close(self) -> None:
        """Ends all processes and mounts, and removes the cgroups."""
        self._process.kill()
        self._process.wait()
        for path in self._cgroups:
            _remove_cgroup(path)


def _remove_cgroup(cgroup: pathlib.Path) -> None:
    """Removes a cgroup and those below it, once their processes have ended."""
    end = time.monotonic() + _START
    for directory, _, _ in os.walk(cgroup, topdown=False):
        while True:
            try:
                os.rmdir(directory)
                break
            except FileNotFoundError:
                break
            except OSError:
                assert time.monotonic() < end, directory
                time.sleep(0.05)


@contextlib.contextmanager
def directory() -> Iterator[pathlib.Path]:
    """Yields an empty directory for the state of engines.

    Its path is short, because the address of a socket has at most 107 bytes. All users can enter it, because the root of a user
    namespace must.
    """
    with tempfile.TemporaryDirectory(prefix="engine", dir="/tmp") as name:
        os.chmod(name, 0o755)
        yield pathlib.Path(name)


@contextlib.contextmanager
def machine(state: pathlib.Path) -> Iterator[Machine]:
    """Makes a machine, yields it, and closes it.

    Args:
      state: a directory for the files of the machine.
    """
    made = Machine(state)
    try:
        yield made
    finally:
        made.close()


@contextlib.contextmanager
def run_daemon(
    arguments: Sequence[str], log: pathlib.Path, ready: Callable[[], bool], inside: Machine | None = None
) -> Iterator[None]:
    """Starts a daemon, waits until it is ready, and stops it after the block.

    Args:
      arguments: the command of the daemon.
      log: the file that gets its output.
      ready: a function that returns whether the daemon is ready.
      inside: the machine that it runs in; None for the namespaces of the test.
    """
    with open(log, "wb") as output:
        process = subprocess.Popen(inside.command(arguments) if inside else arguments, stdout=output, stderr=output)
    try:
        end = time.monotonic() + _START
        while not ready():
            assert process.poll() is None and time.monotonic() < end, log.read_text(errors="replace")[-10000:]
            time.sleep(0.05)
        yield
    finally:
        if inside:
            # The daemon is a child of nsenter, which does not forward signals.
            for child in _children(process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(child), signal.SIGTERM)
        else:
            process.terminate()
        process.wait()


def _children(process: int) -> list[str]:
    """Returns the process IDs of the children of a process."""
    try:
        return pathlib.Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:
        return []  # The process has ended.

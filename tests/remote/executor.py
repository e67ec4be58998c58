"""Runs a remote executor on this machine, with the services of a real one.

These are PostgreSQL; BuildGrid, which has its queue there; and a worker of buildbox, which runs actions with the programs of
this machine in directories of its own. All their files are in one directory. The services connect by sockets in that
directory, and Bazel by a port of the loopback device.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from support import require

_START, _STOP = 60, 10  # Seconds for a service to start, and to stop.
_LINES = 30  # The lines of a log that a report has.

# The name of the instance is empty, which is Bazel's default.
_BUILDGRID = """\
server:
  - !channel {{address: {address}, insecure-mode: true}}
  - !channel {{address: {socket}, insecure-mode: true}}
authorization: {{method: none}}
# Bazel sends many requests at once, and BuildGrid refuses those for which it has no thread.
thread-pool-size: 32
maximum-concurrent-rpcs: 1000
connections:
  - !sql-connection &sql {{connection-string: {database}}}
storages:
  - !disk-storage &storage {{path: {storage}}}
caches:
  - !lru-action-cache &cache {{storage: *storage, max-cached-refs: 10000, allow-updates: true}}
schedulers:
  - !sql-scheduler &scheduler
    sql: *sql
    storage: *storage
    action-cache: *cache
    property-set: !dynamic-property-set {{match-property-keys: [OSFamily], wildcard-property-keys: []}}
    assigners: [!priority-age-assigner {{count: 1, interval: 0.1, priority-assignment-percentage: 100}}]
instances:
  - name: ""
    services:
      - !action-cache {{cache: *cache}}
      - !bots {{scheduler: *scheduler}}
      - !bytestream {{storage: *storage}}
      - !cas {{storage: *storage}}
      - !execution {{scheduler: *scheduler}}
"""


class _Service:
    """A program that runs in the background."""

    def __init__(
        self, name: str, *command: str, directory: pathlib.Path, stop: signal.Signals = signal.SIGTERM, **options: Any
    ) -> None:
        """Starts the program.

        Args:
          name: its name in reports.
          *command: the program and its arguments.
          directory: its working directory, which also has its log.
          stop: the signal that stops it.
          **options: of subprocess.Popen.
        """
        self._name, self._log, self._signal = name, directory / f"{name}.log", stop
        # If a timeout kills this process, the kernel kills the service.
        bound = [require.tool("setpriv"), "--pdeathsig", stop.name.removeprefix("SIG")]
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [*bound, *command], cwd=directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **options
            )

    def read_log(self) -> str:
        """Returns the log so far."""
        return self._log.read_text(errors="replace")

    def wait_until(self, is_ready: Callable[[], bool]) -> None:
        """Waits until the program is ready.

        Raises:
          RuntimeError: the program has ended, or takes too long.
        """
        end = time.monotonic() + _START
        while not is_ready():
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{self._name} does not start")
            time.sleep(0.05)

    def wait_for_end(self) -> None:
        """Waits for the end of a program that ends by itself.

        Raises:
          RuntimeError: the program fails, or takes too long.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_START)
        if self._process.poll() != 0:
            raise RuntimeError(f"{self._name} fails")

    def stop(self) -> None:
        """Stops the program."""
        self._process.send_signal(self._signal)
        try:
            self._process.wait(_STOP)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def report(self) -> str:
        """Returns whether the program runs, and the end of its log."""
        status = self._process.poll()
        state = "runs" if status is None else f"ended with {status}"
        return "\n  ".join([f"{self._name}: {state}", *(line[:300] for line in self.read_log().splitlines()[-_LINES:])])


class Executor:
    """The services of a remote executor.

    Attributes:
      address: the host and the port of BuildGrid.
      flags: the flags with which Bazel uses it.
    """

    def __init__(self, directory: pathlib.Path, address: str) -> None:
        self.flags = [f"--remote_executor=grpc://{address}", "--remote_default_exec_properties=OSFamily=linux"]
        self._directory, self.address = directory, address
        self._environment = {"HOME": str(directory), "PATH": os.environ["PATH"], "TMPDIR": str(directory)}
        self._services: list[_Service] = []

    @contextlib.contextmanager
    def add_reports(self) -> Iterator[None]:
        """Adds the reports of the services to an exception that ends the block."""
        try:
            yield
        except BaseException as error:
            error.add_note("\n".join(service.report() for service in self._services))
            raise

    def start(self, buildgrid: pathlib.Path) -> None:
        """Starts the services, each when those that it needs are ready."""
        grid = self._start_buildgrid(str(buildgrid), self._start_postgresql())
        self._start_worker(grid)

    def stop(self) -> None:
        """Stops the services, each before those that it needs."""
        for service in reversed(self._services):
            service.stop()

    def _start(self, name: str, *command: str, environment: Mapping[str, str] = {}, **options: Any) -> _Service:
        environment = {**self._environment, **environment}
        service = _Service(name, *command, directory=self._directory, env=environment, **options)
        self._services.append(service)
        return service

    def _start_postgresql(self) -> str:
        """Starts a database, and returns its URL."""
        home = self._directory / "postgresql"
        home.mkdir()
        become: list[str] = []
        if os.geteuid() == 0:  # It refuses to run as root.
            nobody = pwd.getpwnam("nobody")
            os.chown(home, nobody.pw_uid, nobody.pw_gid)
            become = [require.tool("setpriv"), f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
        data = f"{home}/data"
        settings = ["--username=bgd", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync"]
        self._start("initdb", *become, _find_postgresql("initdb"), f"--pgdata={data}", *settings).wait_for_end()
        settings = [f"--unix_socket_directories={home}", "--listen_addresses=", "--fsync=off"]
        command = [*become, _find_postgresql("postgres"), "-D", data, *settings]
        service = self._start("postgresql", *command, stop=signal.SIGQUIT)  # It need not save anything.
        service.wait_until(lambda: "ready to accept connections" in service.read_log())
        return f"postgresql+psycopg://bgd@/postgres?host={home}"

    def _start_buildgrid(self, program: str, database: str) -> str:
        """Starts BuildGrid, and returns its URL."""
        self._start("migrate", program, "migrate", "apply", database).wait_for_end()
        path, config = self._directory / "buildgrid.socket", self._directory / "buildgrid.yaml"
        storage = str(self._directory / "storage")
        values = {"address": self.address, "database": database, "socket": f"unix:{path}", "storage": storage}
        # JSON is YAML.
        config.write_text(_BUILDGRID.format(**{name: json.dumps(value) for name, value in values.items()}))
        self._start("buildgrid", program, "server", "start", "-v", str(config)).wait_until(path.exists)
        return f"unix:{path}"

    def _start_worker(self, grid: str) -> None:
        """Starts the worker, and the cache from which it gets files."""
        path, cache = self._directory / "cache.socket", str(self._directory / "cache")
        flags = [f"--cas-remote={grid}", f"--ac-remote={grid}", f"--bind=unix:{path}"]
        self._start("buildbox-casd", require.tool("buildbox-casd"), *flags, cache).wait_until(path.exists)
        self._start(
            "buildbox-worker",
            require.tool("buildbox-worker"),
            f"--bots-remote={grid}",
            f"--cas-remote=unix:{path}",
            "--buildbox-run=" + require.tool("buildbox-run-hosttools"),
            "--runner-arg=--disable-localcas",
            "--platform",
            "OSFamily=linux",
            "--concurrent-jobs=2",
            "--graceful-shutdown-timeout=1",
            "worker",
            # These differ from those of Bazel on this machine. Actions must not depend on them.
            environment={"LC_ALL": "C", "TZ": "Asia/Kathmandu"},
            umask=0o077,
        )


@contextlib.contextmanager
def run_executor(directory: pathlib.Path, buildgrid: pathlib.Path) -> Iterator[Executor]:
    """Runs an executor until the end of the block.

    Args:
      directory: an empty directory that every user may search. Its path must be short, because that of a socket has at most
        107 bytes.
      buildgrid: the command line of BuildGrid.

    Raises:
      RuntimeError: a service does not start. The notes of the exception have the logs.
    """
    # This socket reserves a port. BuildGrid can bind it too, because gRPC sets SO_REUSEPORT, and no other program can.
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind(("127.0.0.1", 0))
        executor = Executor(directory, f"127.0.0.1:{reserved.getsockname()[1]}")
        try:
            with executor.add_reports():
                executor.start(buildgrid)
            yield executor
        finally:
            executor.stop()


def list_processes(directory: pathlib.Path) -> list[str]:
    """Returns the command lines of the processes that name `directory`, or have a working directory in it."""
    commands = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # It has ended, or belongs to another user.
            command = (process / "cmdline").read_text().replace("\0", " ")
            if str(directory) in command or (process / "cwd").readlink().is_relative_to(directory):
                commands.append(command)
    return commands


def _find_postgresql(program: str) -> str:
    """Returns the path of a program of PostgreSQL, which Debian installs in a directory that is not on PATH."""
    directories = [str(directory) for directory in pathlib.Path("/usr/lib/postgresql").glob("*/bin")]
    path = shutil.which(program, path=os.pathsep.join([os.environ["PATH"], *directories]))
    return path or require.missing(f"PostgreSQL's {program}: install it, or run the tests by ./bazelw")

"""A remote executor on this machine, made of what one is made of elsewhere.

PostgreSQL; BuildGrid, which keeps its queue there; and a worker of buildbox, which runs actions by this machine's
programs in directories of its own. All that they keep is below one directory. They talk by sockets in it; Bazel, which
does not, gets a port of the loopback device.
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
from typing import Any, Callable, Iterator, Mapping

from support import require

_START, _STOP = 60, 10  # Seconds that a service may take.
_LINES = 30  # What is shown of a log.

# The instance's name is empty, as Bazel's is by default.
_BUILDGRID = """\
server:
  - !channel {{address: {address}, insecure-mode: true}}
  - !channel {{address: {socket}, insecure-mode: true}}
authorization: {{method: none}}
# Bazel asks for much at once, and BuildGrid by itself refuses what it has no thread for.
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
    """A program that runs beside this one."""

    def __init__(
        self, name: str, *command: str, directory: pathlib.Path, stop: signal.Signals = signal.SIGTERM, **options: Any
    ) -> None:
        """Starts it.

        Args:
          name: what reports call it.
          *command: the program, with its arguments.
          directory: where it runs, and where its log is.
          stop: the signal that stops it.
          **options: what subprocess.Popen takes.
        """
        self._name, self._log, self._signal = name, directory / f"{name}.log", stop
        # Where a timeout kills this process, nothing here gets to stop the service; the kernel does it.
        bound = [require.tool("setpriv"), "--pdeathsig", stop.name.removeprefix("SIG")]
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [*bound, *command], cwd=directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **options
            )

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def wait(self, ready: Callable[[], bool]) -> None:
        """Waits until it is ready.

        Raises:
          RuntimeError: it ended, or takes too long.
        """
        end = time.monotonic() + _START
        while not ready():
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{self._name} does not start")
            time.sleep(0.05)

    def finish(self) -> None:
        """Waits for the end of one that ends by itself.

        Raises:
          RuntimeError: it fails, or takes too long.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_START)
        if self._process.poll() != 0:
            raise RuntimeError(f"{self._name} fails")

    def stop(self) -> None:
        self._process.send_signal(self._signal)
        try:
            self._process.wait(_STOP)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def report(self) -> str:
        """Whether it runs, and the end of its log."""
        status = self._process.poll()
        state = "runs" if status is None else f"ended with {status}"
        return "\n  ".join([f"{self._name}: {state}", *(line[:300] for line in self.log().splitlines()[-_LINES:])])


class Executor:
    """Services that run.

    Attributes:
      flags: what a build is given so that its actions run there.
    """

    def __init__(self, directory: pathlib.Path, address: str) -> None:
        self.flags = [f"--remote_executor=grpc://{address}", "--remote_default_exec_properties=OSFamily=linux"]
        self._directory, self._address = directory, address
        self._environment = {"HOME": str(directory), "PATH": os.environ["PATH"], "TMPDIR": str(directory)}
        self._services: list[_Service] = []

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """What is raised in the block says what the services say."""
        try:
            yield
        except BaseException as error:
            error.add_note("\n".join(service.report() for service in self._services))
            raise

    def start(self, buildgrid: pathlib.Path) -> None:
        """Starts all services, each when those that it needs are ready."""
        grid = self._start_buildgrid(str(buildgrid), self._start_postgresql())
        self._start_worker(grid)

    def stop(self) -> None:
        """Stops all services, those that ask before those that answer."""
        for service in reversed(self._services):
            service.stop()

    def _start(self, name: str, *command: str, environment: Mapping[str, str] = {}, **options: Any) -> _Service:
        environment = {**self._environment, **environment}
        service = _Service(name, *command, directory=self._directory, env=environment, **options)
        self._services.append(service)
        return service

    def _start_postgresql(self) -> str:
        """Returns: the URL of a database."""
        home = self._directory / "postgresql"
        home.mkdir()
        become: list[str] = []
        if os.geteuid() == 0:  # It refuses to be root.
            nobody = pwd.getpwnam("nobody")
            os.chown(home, nobody.pw_uid, nobody.pw_gid)
            become = [require.tool("setpriv"), f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
        data = f"{home}/data"
        settings = ["--username=bgd", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync"]
        self._start("initdb", *become, _of_postgresql("initdb"), f"--pgdata={data}", *settings).finish()
        settings = [f"--unix_socket_directories={home}", "--listen_addresses=", "--fsync=off"]
        command = [*become, _of_postgresql("postgres"), "-D", data, *settings]
        service = self._start("postgresql", *command, stop=signal.SIGQUIT)  # At once: there is nothing to keep.
        service.wait(lambda: "ready to accept connections" in service.log())
        return f"postgresql+psycopg://bgd@/postgres?host={home}"

    def _start_buildgrid(self, program: str, database: str) -> str:
        """Returns: the URL of its services."""
        self._start("migrate", program, "migrate", "apply", database).finish()
        path, config = self._directory / "buildgrid.socket", self._directory / "buildgrid.yaml"
        storage = str(self._directory / "storage")
        values = {"address": self._address, "database": database, "socket": f"unix:{path}", "storage": storage}
        # YAML takes JSON.
        config.write_text(_BUILDGRID.format(**{name: json.dumps(value) for name, value in values.items()}))
        self._start("buildgrid", program, "server", "start", "-v", str(config)).wait(path.exists)
        return f"unix:{path}"

    def _start_worker(self, grid: str) -> None:
        """The worker, and the cache that it asks for files."""
        path, cache = self._directory / "cache.socket", str(self._directory / "cache")
        flags = [f"--cas-remote={grid}", f"--ac-remote={grid}", f"--bind=unix:{path}"]
        self._start("buildbox-casd", require.tool("buildbox-casd"), *flags, cache).wait(path.exists)
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
            # Other ones than Bazel's here, which actions would see if they looked.
            environment={"LC_ALL": "C", "TZ": "Asia/Kathmandu"},
            umask=0o077,
        )


@contextlib.contextmanager
def serve(directory: pathlib.Path, buildgrid: pathlib.Path) -> Iterator[Executor]:
    """An executor, for as long as the block runs.

    Args:
      directory: an empty one that every user may enter, with a short path: sockets have no more than 107 bytes for it.
      buildgrid: BuildGrid's command line.

    Raises:
      RuntimeError: a service does not start. The logs are in the error's notes.
    """
    # A port is held for BuildGrid, which takes it as well: gRPC sets SO_REUSEPORT, too. Nobody else can.
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(("127.0.0.1", 0))
        executor = Executor(directory, "127.0.0.1:{}".format(held.getsockname()[1]))
        try:
            with executor.explained():
                executor.start(buildgrid)
            yield executor
        finally:
            executor.stop()


def processes(directory: pathlib.Path) -> list[str]:
    """The command lines of the processes that name `directory`, or are in it."""
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # It has ended, or is somebody else's.
            command = (process / "cmdline").read_text().replace("\0", " ")
            if str(directory) in command or (process / "cwd").readlink().is_relative_to(directory):
                found.append(command)
    return found


def _of_postgresql(program: str) -> str:
    """Its path: Debian keeps the programs of each release in a folder that is not on PATH."""
    folders = [str(folder) for folder in pathlib.Path("/usr/lib/postgresql").glob("*/bin")]
    found = shutil.which(program, path=os.pathsep.join([os.environ["PATH"], *folders]))
    return found or require.missing(f"PostgreSQL's {program}: install it, or run the tests by ./bazelw")

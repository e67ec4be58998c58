"""Unpacks images with container engines, as root. Each engine has a state of its own.

With an overlay driver, an engine unpacks each layer into a directory of its own, and the kernel's overlayfs merges them. With
other drivers, it unpacks each layer over a copy of those below.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import pathlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import Protocol

from support import layout as layouts
from support import podman, require, saved
from support.machine import Machine, run_daemon

REFERENCE = "docker.io/library/test:1"


class Refused(Exception):
    """An engine refuses an image; the text is its message."""


class Engine(Protocol):
    """A running engine."""

    def unpack(self, layout: pathlib.Path) -> contextlib.AbstractContextManager[pathlib.Path]:
        """Unpacks the only image of an OCI layout, and yields its root filesystem.

        Raises:
          Refused: the engine refuses the image.
        """
        ...


@contextlib.contextmanager
def start_umoci(state: pathlib.Path) -> Iterator[Engine]:
    """Yields umoci, which has no daemon."""
    require.root()
    yield _Umoci(state)


class _Umoci:
    def __init__(self, state: pathlib.Path) -> None:
        self._state, self._numbers = state, itertools.count()

    @contextlib.contextmanager
    def unpack(self, layout: pathlib.Path) -> Iterator[pathlib.Path]:
        made = self._state / f"umoci{next(self._numbers)}"
        made.mkdir()
        try:
            _run([require.tool("umoci"), "unpack", "--image", layouts.copy_tagged(layout, made / "layout"), str(made / "bundle")])
            yield made / "bundle" / "rootfs"
        finally:
            shutil.rmtree(made)


@contextlib.contextmanager
def start_podman(driver: str, state: pathlib.Path) -> Iterator[Engine]:
    """Yields podman.

    Args:
      driver: "overlay" or "vfs".
      state: an empty directory.
    """
    yield _Podman(podman.write_program(state, driver), state)


class _Podman:
    def __init__(self, program: pathlib.Path, state: pathlib.Path) -> None:
        self._program, self._state, self._numbers = program, state, itertools.count()

    @contextlib.contextmanager
    def unpack(self, layout: pathlib.Path) -> Iterator[pathlib.Path]:
        copy = self._state / f"layout{next(self._numbers)}"
        name = layouts.copy_tagged(layout, copy)
        try:
            image = podman.run(self._program, "pull", "--quiet", "oci:" + name)
        except subprocess.CalledProcessError as error:
            raise Refused(str(error)) from error
        finally:
            shutil.rmtree(copy)
        try:
            yield pathlib.Path(podman.run(self._program, "image", "mount", image))
        finally:
            podman.run(self._program, "image", "umount", image)
            podman.run(self._program, "rmi", "--force", image)


@contextlib.contextmanager
def containerd(state: pathlib.Path, machine: Machine | None = None, config: str = "") -> Iterator[pathlib.Path]:
    """Starts containerd, and yields its socket.

    Args:
      state: an empty directory. Its path is short, because the address of a socket has at most 107 bytes.
      machine: the machine that it runs in; None for the namespaces of the test.
      config: tables that are added to its configuration.
    """
    require.root()
    socket, file = state / "containerd.sock", state / "containerd.toml"
    texts = {"root": state / "root", "state": state / "run"}
    file.write_text(
        "version = 3\n"
        + "".join(f"{name} = {json.dumps(str(path))}\n" for name, path in texts.items())
        + "".join(
            f"[{kind}]\naddress = {json.dumps(str(path))}\n" for kind, path in [("grpc", socket), ("ttrpc", state / "ttrpc.sock")]
        )
        # Its socket has the same path for each containerd of the machine, so the second would exit.
        + '[plugins."io.containerd.nri.v1.nri"]\ndisable = true\n'
        + config
    )
    command = [require.tool("containerd"), "--config", str(file)]
    client = [require.tool("ctr"), "--address", str(socket), "version"]
    with run_daemon(command, state / "containerd.log", lambda: _answers(client), machine):
        yield socket


@contextlib.contextmanager
def start_containerd(snapshotter: str, state: pathlib.Path) -> Iterator[Engine]:
    """Starts containerd, and yields it with its client ctr.

    Args:
      snapshotter: "overlayfs" or "native".
      state: an empty directory with a short path.
    """
    with containerd(state) as socket:
        yield _Containerd(snapshotter, socket, state)


class _Containerd:
    def __init__(self, snapshotter: str, socket: pathlib.Path, state: pathlib.Path) -> None:
        self._snapshotter, self._state, self._numbers = snapshotter, state, itertools.count()
        self._command = [require.tool("ctr"), "--address", str(socket)]

    @contextlib.contextmanager
    def unpack(self, layout: pathlib.Path) -> Iterator[pathlib.Path]:
        archive = saved.write_archive({REFERENCE: layout}, self._state / f"image{next(self._numbers)}.tar")
        mounted = archive.with_suffix("")
        mounted.mkdir()
        flags = ["--snapshotter", self._snapshotter]
        try:
            _run([*self._command, "images", "import", "--local", *flags, str(archive)])
            _run([*self._command, "images", "mount", *flags, REFERENCE, str(mounted)])
            try:
                yield mounted
            finally:
                _run([*self._command, "images", "unmount", "--rm", *flags, str(mounted)])
        finally:
            archive.unlink()
            mounted.rmdir()
            subprocess.run([*self._command, "images", "remove", "--sync", REFERENCE], capture_output=True)


@contextlib.contextmanager
def dockerd(driver: str, state: pathlib.Path, machine: Machine | None = None) -> Iterator[pathlib.Path]:
    """Starts Docker's daemon, and yields its socket.

    Args:
      driver: "overlay2" or "vfs"; or "overlayfs" for the containerd image store.
      state: an empty directory with a short path.
      machine: the machine that it runs in, with a bridge network; None for the namespaces of the test, without a network.
    """
    (state / "containerd").mkdir()
    with containerd(state / "containerd", machine) as address:
        socket = state / "docker.sock"
        flags = {
            "--containerd": address,
            "--data-root": state / "data",
            "--exec-root": state / "exec",
            "--host": f"unix://{socket}",
            "--pidfile": state / "docker.pid",
            "--storage-driver": driver,
        }
        command = [require.tool("dockerd"), "--iptables=false", "--ip6tables=false"]
        command += [f"{flag}={value}" for flag, value in flags.items()]
        if driver == "overlayfs":
            (state / "daemon.json").write_text(json.dumps({"features": {"containerd-snapshotter": True}}))
            command.append(f"--config-file={state / 'daemon.json'}")
        command.append(f"--cgroup-parent={machine.cgroup}" if machine else "--bridge=none")
        client = [require.tool("docker"), "--host", f"unix://{socket}", "version"]
        with run_daemon(command, state / "docker.log", lambda: _answers(client), machine):
            yield socket


@contextlib.contextmanager
def start_docker(driver: str, state: pathlib.Path) -> Iterator[Engine]:
    """Starts Docker Engine with the classic image store, and yields it.

    Args:
      driver: "overlay2" or "vfs".
      state: an empty directory with a short path.
    """
    with dockerd(driver, state) as socket:
        yield _Docker(driver, socket, state)


class _Docker:
    def __init__(self, driver: str, socket: pathlib.Path, state: pathlib.Path) -> None:
        self._driver, self._state, self._numbers = driver, state, itertools.count()
        self._command = [require.tool("docker"), "--host", f"unix://{socket}"]

    @contextlib.contextmanager
    def unpack(self, layout: pathlib.Path) -> Iterator[pathlib.Path]:
        archive = saved.write_archive({REFERENCE: layout}, self._state / f"image{next(self._numbers)}.tar")
        try:
            _run([*self._command, "load", "--input", str(archive)])
        finally:
            archive.unlink()
        try:
            with self._root(layout) as root:
                yield root
        finally:
            _run([*self._command, "rmi", "--force", REFERENCE])

    @contextlib.contextmanager
    def _root(self, layout: pathlib.Path) -> Iterator[pathlib.Path]:
        """Yields the merged root filesystem of the image."""
        store = self._state / "data" / "image" / self._driver / "layerdb" / "sha256"
        chain = list(_chain_ids(layouts.config(layout)["rootfs"]["diff_ids"]))
        cached = [(store / identifier / "cache-id").read_text() for identifier in chain]
        if self._driver == "vfs":
            yield self._state / "data" / "vfs" / "dir" / cached[-1]
            return
        directories = [str(self._state / "data" / "overlay2" / name / "diff") for name in reversed(cached)]
        if len(directories) == 1:
            yield pathlib.Path(directories[0])
            return
        mounted = self._state / f"root{next(self._numbers)}"
        mounted.mkdir()
        _run(["mount", "-t", "overlay", "-o", "ro,lowerdir=" + ":".join(directories), "overlay", str(mounted)])
        try:
            yield mounted
        finally:
            _run(["umount", str(mounted)])
            mounted.rmdir()


def _chain_ids(diff_ids: list[str]) -> Iterator[str]:
    """Yields the ChainID of each layer without its algorithm; OCI image-spec, "Layer ChainID"."""
    chain = ""
    for diff_id in diff_ids:
        chain = "sha256:" + hashlib.sha256(f"{chain} {diff_id}".encode()).hexdigest() if chain else diff_id
        yield chain.removeprefix("sha256:")


ENGINES: dict[str, Callable[[pathlib.Path], contextlib.AbstractContextManager[Engine]]] = {
    "containerd overlayfs": lambda state: start_containerd("overlayfs", state),
    "containerd native": lambda state: start_containerd("native", state),
    "docker overlay2": lambda state: start_docker("overlay2", state),
    "docker vfs": lambda state: start_docker("vfs", state),
    "podman overlay": lambda state: start_podman("overlay", state),
    "podman vfs": lambda state: start_podman("vfs", state),
    "umoci": start_umoci,
}
"""Functions that start an engine, by the names of engine and storage driver. Each takes an empty directory with a short path."""


def _run(command: list[str]) -> str:
    """Runs a client, and returns its output.

    Raises:
      Refused: the client fails.
    """
    # The newer mount API of the kernel accepts at most 256 bytes for lowerdir.
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "LIBMOUNT_FORCE_MOUNT2": "always"}
    done = subprocess.run(command, capture_output=True, text=True, errors="backslashreplace", env=environment)
    if done.returncode:
        raise Refused(f"{' '.join(command[:4])}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def _answers(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True).returncode == 0

"""Command lines as podman itself reads them, and the processes that it makes of them."""

from __future__ import annotations

import json
import os
import pathlib
import posixpath
import re
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator

import pytest

from rules_setcap.capabilities.names import NAMES
from rules_setcap.containers.docker import command_line
from rules_setcap.containers.process import compute_initial_process
from rules_setcap.diagnostics.errors import InputError
from support import require

PROBE = pathlib.Path("tests/runtime/probe")
USERS = {"root": 0, "toor": 0, "daemon": 1}


class Podman:
    """podman with a storage of its own, and a root file system of one program."""

    def __init__(self, directory: pathlib.Path) -> None:
        require.root()
        self.rootfs = directory / "rootfs"
        (self.rootfs / "etc").mkdir(parents=True)
        (self.rootfs / "etc/passwd").write_text("".join(f"{name}:x:{uid}:{uid}::/:/bin/sh\n" for name, uid in USERS.items()))
        shutil.copy(PROBE, self.rootfs / "probe")
        (self.rootfs / "probe").chmod(0o755)  # Caches may keep fewer permissions.
        (directory / "containers.conf").touch()
        names = ("root", "runroot", "tmpdir", "network-config-dir", "volumepath")
        places = [f"--{name}={directory / name}" for name in names]
        self.command = [
            require.tool("podman"),
            *places,
            "--runtime=runc",
            "--storage-driver=vfs",
            "--cgroup-manager=cgroupfs",
            "--events-backend=none",
        ]
        self.environment = {
            **os.environ,
            "CONTAINERS_CONF": str(directory / "containers.conf"),
            "HOME": str(directory),
            "PODMAN_IGNORE_CGROUPSV1_WARNING": "1",
        }

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.command, *arguments],
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=60,
            stdin=subprocess.DEVNULL,
        )

    def create(self, typed: str) -> subprocess.CompletedProcess[str]:
        return self.run("create", "--network=none", *shlex.split(typed), "--rootfs", str(self.rootfs), "/probe")

    def config(self, typed: str) -> dict:
        """What podman tells runc: the container's config.json."""
        made = self.create(typed)
        assert made.returncode == 0, made.stderr
        name = made.stdout.strip()
        started = self.run("init", name)
        assert started.returncode == 0, started.stderr
        return json.loads(pathlib.Path(self.run("inspect", "--format={{.OCIConfigPath}}", name).stdout.strip()).read_bytes())


@pytest.fixture(scope="module")
def podman() -> Iterator[Podman]:
    # Containers hold mounts as long as they are there. Should one outlive the test after
    # all, it must not do so below TEST_TMPDIR, where it would stop the next build.
    directory = tempfile.mkdtemp(dir="/tmp")
    made = Podman(pathlib.Path(directory))
    yield made
    assert made.run("rm", "--all", "--force", "--volumes").returncode == 0
    # conmon of the last one may still be writing.
    deadline = time.monotonic() + 30
    while os.path.exists(directory) and time.monotonic() < deadline:
        shutil.rmtree(directory, ignore_errors=True)
    assert not os.path.exists(directory)


def _read(typed: str):
    return command_line.read_command_line(f"podman run {typed} --rootfs /rootfs /probe")


def _mask(names: list[str] | None) -> int:
    return sum(1 << NAMES.index(name.lower()) for name in names or [])


def _available() -> int:
    """The bounding set here: podman grants no more than it has."""
    return int(re.search("^CapBnd:\t(.*)$", pathlib.Path("/proc/self/status").read_text(), re.MULTILINE)[1], 16)


CREATED = [
    "",
    "-itu 65532",
    "--user root --cap-drop=NET_BIND_SERVICE,kill --cap-add SYS_TIME",
    "--user=0:5 --cap-add=cap_sys_time",
    "-u65532:65532 --cap-add NET_ADMIN",
    "-u=65532 --cap-add=net_admin,SYS_TIME --cap-add CAP_BPF",
    "--user toor --cap-add NET_ADMIN",
    "--user daemon --cap-drop=all",
    "--cap-drop=ALL --cap-add NET_BIND_SERVICE",
    "--cap-drop=ALL --cap-add NET_BIND_SERVICE --user 1",
    "--cap-drop=ALL,CHOWN --cap-add CHOWN",
    "--cap-add=All --cap-drop NET_RAW",
    "--cap-add=ALL --user 1",
    "--privileged",
    "--privileged=t --user 1",
    "--privileged=false --privileged --privileged=0",
    "--privileged --user 1 --cap-add KILL --cap-drop CHOWN",
    "--security-opt no-new-privileges",
    "--security-opt=no-new-privileges=true --security-opt no-new-privileges:0",
    "--security-opt=label=disable --security-opt=no-new-privileges:True --user 1",
    "--label io.containers.capabilities=chown,KILL",
    "--label io.containers.capabilities=CHOWN --user 1 --cap-add CHOWN",
    "--label io.containers.capabilities=SYS_ADMIN",
    "-l io.containers.capabilities=CHOWN -l io.containers.capabilities=",
    "--privileged --label io.containers.capabilities=CHOWN",
    "--uidmap 0:100000:65536 --gidmap 0:100000:65536",
    "--uidmap 0:100000:65536 --user 7 --cap-add KILL",
    "--userns=host",
]


@pytest.mark.parametrize("typed", CREATED)
def test_a_process_is_what_podman_makes(podman, typed):
    config = podman.config(typed)
    process = compute_initial_process(_read(typed), uids=USERS)
    sets = config["process"]["capabilities"]
    for name in ("bounding", "permitted", "effective", "inheritable", "ambient"):
        assert getattr(process, name) & _available() == _mask(sets.get(name)), (name, sets)
    assert process.uid == config["process"]["user"]["uid"]
    assert process.no_new_privs == config["process"].get("noNewPrivileges", False)
    own = any(namespace["type"] == "user" for namespace in config["linux"]["namespaces"])
    # Where nothing says so, it depends on who runs podman: here root does.
    assert own == bool(process.user_namespace)


MOUNTED = [
    "--volume data:/mounted",
    "-v data:/mounted/./x/..:suid",
    "-v /mounted",
    "-v /proc/self:/mounted:nosuid",
    "--tmpfs /mounted",
    "--tmpfs=/mounted:rw,suid,size=65536k",
    "--tmpfs /mounted:exec",
    "--mount type=tmpfs,destination=/mounted",
    "--mount type=tmpfs,dst=/mounted,suid",
    "--mount type=volume,src=data,target=/mounted",
    '--mount "type=bind,src=/proc/self,target=/mounted,nosuid"',
]


@pytest.mark.parametrize("typed", MOUNTED)
def test_a_mount_is_as_podman_makes_it(podman, typed):
    mount = _read(typed).find_mount_over("/mounted/below")
    assert mount is not None
    mounts = {posixpath.normpath(one["destination"]): one["options"] for one in podman.config(typed)["mounts"]}
    assert mount.value.nosuid == ("nosuid" in mounts[mount.value.target])


REFUSED = [
    "--cap-add CHOWN --cap-drop chown",
    "--cap-add ALL --cap-drop all",
    "--cap-add NET_ADMN",
    "--cap-drop cap_all",
    "--cap-add=12",
    "--security-opt no-new-privilege",
    "--security-opt no-new-privileges=maybe",
    "--privileged=maybe",
    "--init=",
    "--init --pid=host",
    "--tmpfs mounted",
    "-v data:mounted",
    "-v a:/b:/c:/d",
    "--mount type=nothing,target=/mounted",
    "--mount type=tmpfs",
    "--no-such-flag",
    "-k",
    "--user daemn",
]


@pytest.mark.parametrize("typed", REFUSED)
def test_what_podman_refuses_is_an_error(podman, typed):
    made = podman.create(typed)
    if made.returncode == 0:
        made = podman.run("init", made.stdout.strip())
    assert made.returncode != 0
    with pytest.raises(InputError):
        compute_initial_process(_read(typed), uids=USERS)

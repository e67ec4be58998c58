"""Tests that compare command lines, and the processes that they make, with podman itself."""

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
    """podman with its own storage, and a root filesystem with one program."""

    def __init__(self, directory: pathlib.Path) -> None:
        require.root()
        self.rootfs = directory / "rootfs"
        (self.rootfs / "etc").mkdir(parents=True)
        (self.rootfs / "etc/passwd").write_text("".join(f"{name}:x:{uid}:{uid}::/:/bin/sh\n" for name, uid in USERS.items()))
        shutil.copy(PROBE, self.rootfs / "probe")
        (self.rootfs / "probe").chmod(0o755)  # A cache may drop permissions.
        (directory / "containers.conf").touch()
        flags = ("root", "runroot", "tmpdir", "network-config-dir", "volumepath")
        directories = [f"--{name}={directory / name}" for name in flags]
        self.command = [
            require.tool("podman"),
            *directories,
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

    def run_podman(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.command, *arguments],
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=60,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    def create_container(self, typed: str) -> subprocess.CompletedProcess[str]:
        """Creates a container with the flags that are typed."""
        return self.run_podman("create", "--network=none", *shlex.split(typed), "--rootfs", str(self.rootfs), "/probe")

    def make_config(self, typed: str) -> dict:
        """Returns the config.json that podman writes for runc."""
        created = self.create_container(typed)
        assert created.returncode == 0, created.stderr
        name = created.stdout.strip()
        started = self.run_podman("init", name)
        assert started.returncode == 0, started.stderr
        return json.loads(
            pathlib.Path(self.run_podman("inspect", "--format={{.OCIConfigPath}}", name).stdout.strip()).read_bytes()
        )


@pytest.fixture(scope="module")
def podman() -> Iterator[Podman]:
    """Yields podman with an empty storage, and removes its containers at the end."""
    # A container has mounts. If one outlived the test below TEST_TMPDIR, it would stop the next build.
    directory = tempfile.mkdtemp(dir="/tmp")
    instance = Podman(pathlib.Path(directory))
    yield instance
    assert instance.run_podman("rm", "--all", "--force", "--volumes").returncode == 0
    # The conmon of the last container may still write.
    deadline = time.monotonic() + 30
    while os.path.exists(directory) and time.monotonic() < deadline:
        shutil.rmtree(directory, ignore_errors=True)
    assert not os.path.exists(directory)


def _read_settings(typed: str):
    """Returns the settings of podman run with the flags that are typed."""
    return command_line.read_command_line(f"podman run {typed} --rootfs /rootfs /probe")


def _make_mask(names: list[str] | None) -> int:
    """Returns the mask of capabilities in a config.json."""
    return sum(1 << NAMES.index(name.lower()) for name in names or [])


def _read_bounding_set() -> int:
    """Returns the bounding set of this process. podman grants no other capabilities."""
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
def test_a_process_has_the_sets_that_podman_gives_it(podman, typed):
    config = podman.make_config(typed)
    process = compute_initial_process(_read_settings(typed), uids=USERS)
    sets = config["process"]["capabilities"]
    for name in ("bounding", "permitted", "effective", "inheritable", "ambient"):
        assert getattr(process, name) & _read_bounding_set() == _make_mask(sets.get(name)), (name, sets)
    assert process.uid == config["process"]["user"]["uid"]
    assert process.no_new_privs == config["process"].get("noNewPrivileges", False)
    has_user_namespace = any(namespace["type"] == "user" for namespace in config["linux"]["namespaces"])
    # Without a flag, it depends on the user who runs podman, which is root here.
    assert has_user_namespace == bool(process.user_namespace)


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
def test_a_mount_has_the_nosuid_of_podman(podman, typed):
    mount = _read_settings(typed).find_mount_over("/mounted/below")
    assert mount is not None
    mounts = {posixpath.normpath(mounted["destination"]): mounted["options"] for mounted in podman.make_config(typed)["mounts"]}
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
def test_flags_that_podman_refuses_are_refused(podman, typed):
    finished = podman.create_container(typed)
    if finished.returncode == 0:
        finished = podman.run_podman("init", finished.stdout.strip())
    assert finished.returncode != 0
    with pytest.raises(InputError):
        compute_initial_process(_read_settings(typed), uids=USERS)

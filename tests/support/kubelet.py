"""Runs static pods with a kubelet and containerd, in namespaces of their own."""

from __future__ import annotations

import collections
import contextlib
import json
import pathlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

from support import engines, go_modules, require, saved
from support.machine import Machine, machine, run_daemon
from support.outcome import Outcome

_SOURCES = pathlib.Path("tests/engines/kubelet")
_PORT = 10255
_SECONDS = 120  # The time limit of a pod.
_MANAGED = 'labels."io.cri-containerd.image"==managed'
_CONTAINERD = """
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{pause}"
[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["/usr/lib/cni"]
conf_dir = "{cni}"
"""
_NETWORK = {
    "cniVersion": "1.0.0",
    "name": "pods",
    "plugins": [{"type": "ptp", "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.88.0.0/16"}]], "dataDir": ""}}],
}


class Kubelet:
    """A running kubelet. The containers of its pods do not restart.

    Attributes:
      machine: the machine that it runs in.
    """

    def __init__(self, state: pathlib.Path, inside: Machine, containerd: pathlib.Path) -> None:
        self.machine = inside
        self._state, self._containerd = state, containerd
        self._pods, self._log, self._archives = state / "pods", state / "kubelet.log", 0

    def load(self, layouts_by_name: Mapping[str, pathlib.Path]) -> None:
        """Loads images."""
        self._archives += 1
        archive = saved.write_archive(layouts_by_name, self._state / f"images{self._archives}.tar")
        client = [require.tool("ctr"), "--address", str(self._containerd), "--namespace=k8s.io", "images"]
        self.machine.run([*client, "import", str(archive)], check=True, capture_output=True)
        archive.unlink()
        # The CRI plugin marks the images once it manages them.
        end = time.monotonic() + 60
        names = set(layouts_by_name)
        while not names <= set(self.machine.run([*client, "list", "--quiet", _MANAGED], capture_output=True).stdout.split()):
            assert time.monotonic() < end, names
            time.sleep(0.05)

    def run(self, pods: Mapping[str, Mapping[str, Any] | str]) -> dict[str, dict[str, Outcome]]:
        """Runs pods until all their containers have ended, and starts to remove them.

        Args:
          pods: manifests by the name in their metadata, as text (YAML) or objects. Each name is used once.

        Returns:
          For each pod, the outcomes by container; under "", the outcome of a pod that the kubelet refused.
        """
        self._log_end = self._log.stat().st_size
        for name, pod in pods.items():
            text = pod if isinstance(pod, str) else json.dumps(pod)
            (self._state / "pod").write_text(text)
            (self._state / "pod").rename(self._pods / f"{name}.yaml")
        outcomes: dict[str, dict[str, Outcome]] = {}
        end = time.monotonic() + _SECONDS + len(pods) * 3
        while pending := pods.keys() - outcomes.keys():
            assert time.monotonic() < end, (pending, self._log.read_text()[-5000:])
            time.sleep(0.3)
            known = {pod["metadata"]["name"].removesuffix("-node"): pod for pod in self._get_pods()}
            refused = self._find_refused_pods()
            for name in pending:
                if name in known and (ended := self._find_outcomes(known[name])):
                    outcomes[name] = ended
                elif name in refused:
                    outcomes[name] = {"": Outcome("", refused[name])}
        for name in pods:
            (self._pods / f"{name}.yaml").unlink()
        return outcomes

    def _get_pods(self) -> list[dict[str, Any]]:
        """Returns the pods that the kubelet has."""
        return self.machine.get(_PORT, "/pods")["items"] or []

    def _find_refused_pods(self) -> dict[str, str]:
        """Returns why pods were refused, by name: an invalid manifest, or a second attempt to make a sandbox that failed.

        The first attempt may fail on a busy machine, because containerd binds the namespace of a process that has ended.
        """
        reasons: dict[str, str] = {}
        attempts: collections.Counter[str] = collections.Counter()
        with open(self._log, "rb") as log:
            log.seek(self._log_end)
            for line in log:
                with contextlib.suppress(ValueError):
                    entry = json.loads(line)
                    error = str(entry.get("err", ""))
                    if "path" in entry and error:
                        reasons[pathlib.PurePath(entry["path"]).stem] = error
                    elif "CreatePodSandboxError" in error and entry["msg"].startswith("Error syncing pod"):
                        attempts[name := entry["pod"]["name"].removesuffix("-node")] += 1
                        if attempts[name] > 1:
                            reasons[name] = error
        return reasons

    def _find_outcomes(self, pod: dict[str, Any]) -> dict[str, Outcome] | None:
        """Returns the outcomes of a pod that has ended; None if it has not."""
        status = pod["status"]
        if status.get("phase") == "Failed" and not status.get("containerStatuses"):
            return {"": Outcome("", f"{status.get('reason')}: {status.get('message')}")}
        outcomes = {}
        for container in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
            state = container["state"]
            if ended := state.get("terminated"):
                started = ended.get("reason") not in ("StartError", "ContainerCannotRun", "ContainerStatusUnknown")
                output = self._read_log(pod, container["name"]) if started else ""
                failure = "" if started else f"{ended['reason']}: {ended.get('message')}"
                outcomes[container["name"]] = Outcome(output, failure, ended["exitCode"] if started else None)
            elif (waiting := state.get("waiting")) and waiting.get("reason") not in ("ContainerCreating", "PodInitializing"):
                outcomes[container["name"]] = Outcome("", f"{waiting['reason']}: {waiting.get('message')}")
            else:
                return None
        declared = {
            container["name"] for section in ("containers", "initContainers") for container in pod["spec"].get(section, ())
        }
        return outcomes if declared <= outcomes.keys() else None

    def _read_log(self, pod: dict[str, Any], container: str) -> str:
        """Returns the log of a container; cri-api, "LogPath": time, stream, tag and text."""
        name = pod["metadata"]["name"]
        (directory,) = (self._state / "logs").glob(f"*_{name}_{pod['metadata']['uid']}/{container}")
        lines = []
        for file in sorted(directory.iterdir()):
            lines += [line.split(" ", 3)[3] for line in file.read_text(errors="backslashreplace").splitlines()]
        return "".join(line + "\n" for line in lines)


@contextlib.contextmanager
def kubelet(state: pathlib.Path, pause: pathlib.Path) -> Iterator[Kubelet]:
    """Starts containerd and a kubelet, and yields the kubelet.

    Args:
      state: an empty directory with a short path.
      pause: an OCI layout with one image whose program waits.
    """
    built = go_modules.build_program("kubelet", _SOURCES)
    for name in ("containerd", "cni", "pods", "logs", "root", "machine"):
        (state / name).mkdir()
    network = json.loads(json.dumps(_NETWORK))
    network["plugins"][0]["ipam"]["dataDir"] = str(state / "addresses")
    (state / "cni" / "pods.conflist").write_text(json.dumps(network))
    config = _CONTAINERD.format(pause="docker.io/library/pause:1", cni=state / "cni")
    with machine(state / "machine") as inside, engines.containerd(state / "containerd", inside, config) as containerd:
        running = Kubelet(state, inside, containerd)
        running.load({"docker.io/library/pause:1": pause})
        (state / "kubelet.json").write_text(json.dumps(_config(state, inside, containerd)))
        directories = [
            f"--config={state / 'kubelet.json'}",
            f"--root-dir={state / 'root'}",
            f"--cert-dir={state / 'certificates'}",
        ]
        command = [str(built), *directories, "--node-ip=127.0.0.1", "--hostname-override=node"]
        with run_daemon(command, state / "kubelet.log", lambda: _is_ready(inside), inside):
            yield running


def _is_ready(inside: Machine) -> bool:
    try:
        inside.get(_PORT, "/pods")
    except (AssertionError, OSError):
        return False
    return True


def _config(state: pathlib.Path, inside: Machine, containerd: pathlib.Path) -> dict[str, Any]:
    """Returns a configuration without an API server, in which the kubelet changes nothing on the host."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": "127.0.0.1",
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": inside.cgroup,
        "cgroupsPerQOS": False,
        "containerRuntimeEndpoint": f"unix://{containerd}",
        "enableControllerAttachDetach": False,
        "enforceNodeAllocatable": [],
        "evictionHard": {"memory.available": "1Mi", "nodefs.available": "0%", "imagefs.available": "0%"},
        "failCgroupV1": False,
        "failSwapOn": False,
        "healthzPort": 0,
        "imageGCHighThresholdPercent": 100,
        "localStorageCapacityIsolation": False,
        "logging": {"format": "json"},
        "makeIPTablesUtilChains": False,
        "maxPods": 1000,
        "oomScoreAdj": 0,
        "podLogsDir": str(state / "logs"),
        "protectKernelDefaults": True,
        "readOnlyPort": _PORT,
        "registerNode": False,
        "resolvConf": "",
        "serializeImagePulls": True,
        "staticPodPath": str(state / "pods"),
    }

"""Draws settings of containers for the comparison with engines."""

from __future__ import annotations

import random
import shlex
from typing import Any

import samples

_USERS = "0 root 1000 app 1000:1000 app:staff 1000:staff 65532:0 nobody daemon 4294967294 0:0 2147483647".split()
_NO_NEW_PRIVS = ["no-new-privileges", "no-new-privileges:true", "no-new-privileges=true", "no-new-privileges:false"]
_COMMANDS = [[samples.APP], [samples.OTHER], [samples.INIT, "--", samples.APP], [samples.INIT, samples.OTHER]]
_CAPABILITIES = [*samples.NAMES, "dac_override", "sys_chroot", "setpcap"]
_PROGRAMS = [samples.APP, samples.OTHER]


def draw_spelling(draw: random.Random, name: str) -> str:
    """Draws the spelling of a capability on a command line.

    podman does not accept CAP_ALL. With --privileged it ignores the names, and getcap refuses invalid ones.
    """
    if name == "all":
        return draw.choice(["ALL", "all", "All"])
    return draw.choice([name.upper(), name.upper(), "CAP_" + name.upper(), name, "cap_" + name, name.title()])


def draw_capabilities(draw: random.Random, most: int = 4) -> list[str]:
    """Draws names of capabilities, maybe with "all" among them."""
    if draw.random() < 0.2:
        return []
    names = draw.sample(_CAPABILITIES, draw.randint(0, most))
    if draw.random() < 0.25:
        names.insert(draw.randint(0, len(names)), "all")
    return names


def draw_command_line(draw: random.Random, engine: str, image: str) -> str:
    """Draws a docker or podman run command line.

    Args:
      draw: the source of chance.
      engine: "docker" or "podman".
      image: the image's name.
    """
    flags: list[str] = []
    for flag in ("--cap-add", "--cap-drop"):
        separators = ((draw.choices("= ", (0.7, 0.3))[0], name) for name in draw_capabilities(draw))
        flags += [flag + separator + draw_spelling(draw, name) for separator, name in separators]
    if draw.random() < 0.35:
        flags.append("--security-opt=" + draw.choice(_NO_NEW_PRIVS))
    if draw.random() < 0.5:
        flags.append(draw.choice(["-u ", "-u", "--user=", "--user "]) + draw.choice(_USERS))
    if draw.random() < 0.08:
        flags.append(draw.choice(["--privileged", "--privileged=false", "--privileged=true"]))
    if draw.random() < 0.15:
        flags.append("--read-only")
    if draw.random() < 0.15:
        flags.append("--group-add=" + draw.choice(["1000", "0", "staff"]))
    if draw.random() < 0.15:
        flags.append("--init")
    if draw.random() < 0.1:
        flags.append(
            draw.choice(["--network=none", "--network=host", "--userns=host", "--ipc=private", "--pid=host", "--tmpfs=/tmp"])
        )
    if draw.random() < 0.1:
        flags.append("--sysctl=net.ipv4.ip_unprivileged_port_start=" + draw.choice(["0", "80", "1024"]))
    if draw.random() < 0.05:
        flags.append("--hostname=box")
    arguments: list[str] = []
    if draw.random() < 0.25:
        first = draw.choice([*_PROGRAMS, samples.INIT])
        flags.append(f"--entrypoint={first}")
        if first == samples.INIT:
            arguments = ["--", draw.choice(_PROGRAMS)]
    draw.shuffle(flags)
    return shlex.join([engine, "run", *shlex.split(" ".join(flags)), image, *arguments])


def draw_service(draw: random.Random, image: str) -> tuple[dict[str, Any], str]:
    """Draws a Compose service; returns it with the docker run command line that makes the same container.

    Args:
      draw: the source of chance.
      image: the image's name.
    """
    drawn: dict[str, Any] = {"image": image}
    flags: list[str] = []
    for key, flag in (("cap_add", "--cap-add"), ("cap_drop", "--cap-drop")):
        if names := [draw_spelling(draw, name) for name in draw_capabilities(draw)]:
            drawn[key] = names
            flags += [f"{flag}={name}" for name in names]
    if draw.random() < 0.4:
        drawn["security_opt"] = [draw.choice(_NO_NEW_PRIVS)]
        flags.append("--security-opt=" + drawn["security_opt"][0])
    if draw.random() < 0.5:
        drawn["user"] = draw.choice(_USERS)
        flags.append("--user=" + drawn["user"])
    for key, flag, chance in (("privileged", "--privileged", 0.08), ("init", "--init", 0.15), ("read_only", "--read-only", 0.15)):
        if draw.random() < chance:
            drawn[key] = draw.choice([True, True, False])
            flags.append(f"{flag}={str(drawn[key]).lower()}")
    if draw.random() < 0.15:
        drawn["group_add"] = [draw.choice(["1000", "staff"])]
        flags.append("--group-add=" + drawn["group_add"][0])
    arguments: list[str] = []
    if draw.random() < 0.25:
        first, *arguments = draw.choice([[samples.APP], [samples.OTHER], [samples.INIT, "--", samples.APP]])
        drawn["entrypoint"] = [first, *arguments]
        flags.append("--entrypoint=" + first)
    return drawn, shlex.join(["docker", "run", *flags, image, *arguments])


def draw_security_context(draw: random.Random, pod: bool) -> dict[str, Any]:
    """Draws the securityContext of a pod, or of a container."""
    drawn: dict[str, Any] = {}
    if draw.random() < 0.4:
        drawn["runAsUser"] = draw.choice([0, 1000, 1000, 65532, 2147483647])
    if draw.random() < 0.3:
        drawn["runAsGroup"] = draw.choice([0, 1000, 50, 70000])
    if draw.random() < 0.3:
        drawn["runAsNonRoot"] = draw.choice([True, True, False])
    if pod:
        if draw.random() < 0.3:
            drawn["supplementalGroups"] = [draw.choice([0, 1000, 70000])]
        if draw.random() < 0.2:
            drawn["fsGroup"] = draw.choice([2000, 70000])
        if draw.random() < 0.2:
            drawn["sysctls"] = [draw.choice(_SYSCTLS)]
        return drawn
    if draw.random() < 0.8:
        chosen = {"add": draw_capabilities(draw), "drop": draw_capabilities(draw, 2)}
        drawn["capabilities"] = {
            name: ["ALL" if each == "all" else each.upper() for each in names] for name, names in chosen.items() if names
        }
        if draw.random() < 0.3:
            drawn["capabilities"]["drop"] = ["ALL"]
    if draw.random() < 0.5:
        drawn["allowPrivilegeEscalation"] = draw.choice([True, False, False])
    if draw.random() < 0.07:
        drawn["privileged"] = draw.choice([True, True, False])
    if draw.random() < 0.2:
        drawn["readOnlyRootFilesystem"] = True
    if draw.random() < 0.05:
        drawn["procMount"] = draw.choice(["Default", "Unmasked"])
    return drawn


_SYSCTLS = [
    {"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"},
    {"name": "net.ipv4.ping_group_range", "value": "0 2147483647"},
]


def draw_pod(draw: random.Random, name: str, images: list[str], containers: int) -> dict[str, Any]:
    """Draws a pod.

    Args:
      draw: the source of chance.
      name: the pod's name.
      images: the names of images to choose from.
      containers: the number of containers.
    """
    spec: dict[str, Any] = {"containers": [], "restartPolicy": "Never"}
    if draw.random() < 0.6:
        spec["securityContext"] = draw_security_context(draw, True)
    if draw.random() < 0.15:
        spec["hostUsers"] = draw.choice([False, False, True])
    if draw.random() < 0.4:
        spec["hostNetwork"] = True
    for number in range(containers):
        container: dict[str, Any] = {"name": f"c{number}", "image": draw.choice(images), "imagePullPolicy": "Never"}
        if draw.random() < 0.9:
            container["securityContext"] = draw_security_context(draw, False)
        if draw.random() < 0.3:
            container["command"] = draw.choice(_COMMANDS)
        spec["containers"].append(container)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": spec}

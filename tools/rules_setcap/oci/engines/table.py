"""The container engines whose unpacking is modelled, by name and storage driver.

The rules are those of containerd 2.1, Docker Engine 28.5 (as Debian builds it, with go-archive 0.3), podman 5.8 and umoci
0.6; each docstring or comment names the function that has the rule. tests/engines compares the root filesystems of the
model with those that the engines themselves unpack.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_setcap.oci.engines.containerd import ContainerdUnpacker
from rules_setcap.oci.engines.docker_podman import DockerUnpacker, PodmanUnpacker
from rules_setcap.oci.engines.umoci import UmociUnpacker

if TYPE_CHECKING:
    from collections.abc import Callable

    from rules_setcap.oci.engines.unpacker import Unpacker
    from rules_setcap.oci.nodes import FilesystemBudget

ENGINES: dict[str, Callable[[FilesystemBudget], Unpacker]] = {
    "containerd overlayfs": lambda budget: ContainerdUnpacker(True, budget),
    "containerd native": lambda budget: ContainerdUnpacker(False, budget),
    "docker overlay2": lambda budget: DockerUnpacker(True, budget),
    "docker vfs": lambda budget: DockerUnpacker(False, budget),
    "podman overlay": lambda budget: PodmanUnpacker(True, budget),
    "podman vfs": lambda budget: PodmanUnpacker(False, budget),
    "umoci": lambda budget: UmociUnpacker(False, budget),
}
"""Returns a new unpacker for an engine, by its name and storage driver. The root filesystem of the first engine that accepts
an image is the one that is printed."""

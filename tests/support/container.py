"""Runs images with runc on the real kernel, as root, without a container engine."""

from __future__ import annotations

import itertools
import json
import pathlib
import subprocess
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from support import layout as layouts
from support import require

_serial = itertools.count()


class Outcome(NamedTuple):
    """The result of a container."""

    status: int
    output: str  # stdout and stderr, interleaved.


class Bundle:
    """An image that umoci has unpacked."""

    def __init__(self, layout: pathlib.Path, directory: pathlib.Path) -> None:
        require.root()
        self.directory = directory / "bundle"
        name = layouts.copy_tagged(layout, directory / "layout")
        subprocess.run(
            [require.tool("umoci"), "unpack", "--image", name, str(self.directory)],
            check=True,
            capture_output=True,
        )
        self.rootfs = self.directory / "rootfs"

    def run(
        self,
        *,
        bounding: Sequence[str],
        permitted: Sequence[str] = (),
        inheritable: Sequence[str] = (),
        ambient: Sequence[str] = (),
        no_new_privs: bool = False,
        uid: int = 65532,
        gid: int | None = None,
        groups: Sequence[int] = (),
        environment: Mapping[str, str] | None = None,
        args: Sequence[str] | None = None,
    ) -> Outcome:
        """Runs a container in new namespaces, with a network namespace of its own.

        Args:
          bounding: the bounding set: capabilities that the runtime grants (`docker run --cap-add`), in upper case with CAP_.
          permitted: the permitted and effective set of the process that calls execve.
          inheritable: its inheritable set.
          ambient: its ambient set.
          no_new_privs: whether no_new_privs is set, as with `allowPrivilegeEscalation: false`.
          uid: its uid.
          gid: its gid; by default the same number.
          groups: its supplementary groups.
          environment: its environment variables, in place of those of the image.
          args: its arguments, in place of the image's entrypoint and cmd.
        """
        path = self.directory / "config.json"
        spec = json.loads(path.read_bytes())
        process = spec["process"]
        process["terminal"] = False
        process["noNewPrivileges"] = no_new_privs
        process["user"] = {"uid": uid, "gid": uid if gid is None else gid, "additionalGids": list(groups)}
        if environment is not None:
            process["env"] = [f"{name}={value}" for name, value in environment.items()]
        process["capabilities"] = {
            "bounding": list(bounding),
            "effective": list(permitted),
            "permitted": list(permitted),
            "inheritable": list(inheritable),
            "ambient": list(ambient),
        }
        if args is not None:
            process["args"] = list(args)
        spec["linux"].pop("resources", None)
        path.write_text(json.dumps(spec))
        name = f"rules_setcap-{self.directory.parent.name}-{next(_serial)}"
        state = self.directory.parent / "runc"
        done = subprocess.run(
            [require.tool("runc"), "--root", str(state), "run", "--bundle", str(self.directory), name],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        return Outcome(done.returncode, done.stdout)

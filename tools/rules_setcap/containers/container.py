"""The image as the programs of a container see it: users, groups, the programs on PATH and scripts."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence

from rules_setcap.capabilities import execve
from rules_setcap.containers.process import InitialProcess
from rules_setcap.containers.programs.model import Group, Lost, State, System, User
from rules_setcap.containers.settings import Settings
from rules_setcap.diagnostics.errors import InputError, problem
from rules_setcap.oci.image_reader import Image

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""What runtimes set PATH to if the image does not (moby daemon/container_operations_unix.go, containerd oci/spec.go)."""

_EXECVP_PATH = "/bin:/usr/bin"  # execvp(3), where PATH is unset.
_SERVICE_LINKS = "[A-Z0-9_]+_(SERVICE_(HOST|PORT).*|PORT(_[0-9]+_(TCP|UDP|SCTP).*)?)"
"""Variables that the kubelet sets for services of the namespace (pkg/kubelet/envvars)."""


def strings(config: Mapping[str, object], name: str) -> list[str]:
    """Returns a list of texts of the image's config.

    Raises:
      InputError: it is something else.
    """
    value = config.get(name) or []
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise InputError([problem("image", name, "not a list of texts in the image's config")])
    return value


class Container(System):
    """The root filesystem and configuration of a container."""

    def __init__(self, image: Image, settings: Settings) -> None:
        self.image, self.settings = image, settings
        self.config: Mapping[str, object] = image.config.get("config") or {}

    def start(self, before: InitialProcess) -> State:
        """Returns the state in which the runtime executes the first program."""
        uid, gid, groups = self._ids(before.uid)
        process = execve.Process.with_ids(
            uid,
            gid,
            groups=groups,
            permitted=before.permitted,
            inheritable=before.inheritable,
            effective=before.effective,
            bounding=before.bounding,
            ambient=before.ambient,
            no_new_privs=before.no_new_privs,
        )
        directory = self.config.get("WorkingDir")
        directory = posixpath.normpath("/" + directory.lstrip("/")) if isinstance(directory, str) and directory else "/"
        if self.settings.directory:
            said = self.settings.directory.value
            directory = posixpath.normpath(posixpath.join(directory, said)) if said else "/\0"
        kubernetes = self.settings.form == "kubernetes"
        others = ".*" if self.settings.other_variables else _SERVICE_LINKS if kubernetes else ""
        return State(process, self._environment(), others, directory)

    def _environment(self) -> dict[str, str | None]:
        environment: dict[str, str | None] = {"PATH": PATH, "HOSTNAME": None, "HOME": None, "TERM": None, "container": None}
        for text in strings(self.config, "Env"):
            name, _, value = text.partition("=")
            # A file of variables may replace any but those that people leave alone.
            environment[name] = None if self.settings.other_variables and name != "PATH" else value
        for said in self.settings.environment:
            name, given = said.value
            if given is not None and self.settings.form == "kubernetes":
                # The kubelet expands $(NAME); security.py has taken those for unknown.
                given = given.replace("$$", "$")
            environment[name] = given
        return environment

    def _ids(self, uid: int) -> tuple[int, int, tuple[int, ...]]:
        """Returns the uid, gid and groups that runtimes give the process (moby/sys/user, GetExecUser)."""
        of_image = str(self.config.get("User") or "")
        if self.settings.form == "kubernetes":
            of_image = of_image.partition(":")[0]  # The kubelet passes on the user alone (pkg/kubelet/kuberuntime, getImageUser).
        text = self.settings.user.value if self.settings.user and self.settings.user.value else of_image
        name, _, group = text.partition(":")
        users = _users(self.image.text("/etc/passwd"))
        groups = _groups(self.image.text("/etc/group"))
        user = next((each for each in users if each.name == name or each.uid == uid), None)
        gid, listed = (user.gid, tuple(each.gid for each in groups if user.name in each.members)) if user else (0, ())
        if group:
            entry = next((each for each in groups if each.name == group), None)
            gid, listed = entry.gid if entry else int(group) if group.isdecimal() and len(group) <= 10 else 0, ()
        return uid, gid, listed

    def users(self, state: State) -> Sequence[User]:
        return _users(self._lines(state, "/etc/passwd"))

    def groups(self, state: State) -> Sequence[Group]:
        return _groups(self._lines(state, "/etc/group"))

    def _lines(self, state: State, path: str) -> str | None:
        if state.root:
            raise Lost(f"looks up users in {state.root}{path}, which is not known here")
        if mount := self.settings.find_mount_over(path):
            raise Lost(f"looks up users in {path}, which is in a mount ({mount.where})")
        text = self.image.text(path)
        if text is None and self.image.exists(path):
            raise Lost(f"looks up users in {path}, which cannot be read here")
        return text

    def find(self, name: str, state: State) -> str:
        if "/" in name:
            folders = [state.directory]
        else:
            value = state.variable("PATH")
            folders = (_EXECVP_PATH if value is None else value).split(":")[:64]
        for folder in folders:
            if "\0" in folder and not name.startswith("/"):
                raise Lost(f'executes "{name}" in a directory that is not known here')
            path = posixpath.normpath(posixpath.join(state.directory, folder, name))
            path = state.root + "/" + path.lstrip("/")
            file = self.image.file(path)
            if file is not None and (file.mode & 0o111 or "/" in name):
                if state.root and not file.path.startswith(state.root + "/"):
                    raise Lost(f'executes "{name}" in the root directory {state.root}, which leads out of it here')
                return path
        return ""

    def is_busybox(self, path: str) -> bool:
        file = self.image.file(path)
        return file is not None and posixpath.basename(file.path).startswith("busybox")

    def script(self, path: str, state: State) -> str | None:
        if self.settings.find_mount_over(posixpath.normpath(path)):
            return None
        file = self.image.file(state.root + path)
        return file.text if file else None


def _fields(text: str | None, count: int) -> list[list[str]]:
    lines = [line.split(":") for line in (text or "").splitlines()]
    return [fields for fields in lines if len(fields) >= count and re.fullmatch("[0-9]{1,10}", fields[2], re.ASCII)]


def _users(text: str | None) -> list[User]:
    found = []
    for fields in _fields(text, 4):
        if re.fullmatch("[0-9]{1,10}", fields[3], re.ASCII):
            home, shell = (fields[5:7] + ["", ""])[:2]
            found.append(User(fields[0], int(fields[2]), int(fields[3]), home, shell))
    return found


def _groups(text: str | None) -> list[Group]:
    return [Group(fields[0], int(fields[2]), tuple(filter(None, fields[3].split(",")))) for fields in _fields(text, 4)]

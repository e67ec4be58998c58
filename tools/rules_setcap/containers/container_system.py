"""The system that the programs of a container see: its users and groups, the programs on PATH and the text of scripts.

It is computed from the image and the settings of the container.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence

from rules_setcap.capabilities import execve
from rules_setcap.containers.process import InitialProcess
from rules_setcap.containers.program_model import Group, NotFollowed, ProcessState, System, User
from rules_setcap.containers.settings import Settings
from rules_setcap.diagnostics.errors import InputError, format_problem
from rules_setcap.oci.image_reader import Image

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""The PATH that runtimes set if the image sets none (moby daemon/container_operations_unix.go, containerd oci/spec.go)."""

_EXECVP_PATH = "/bin:/usr/bin"
"""The directories that execvp(3) searches where PATH is unset."""

_MAX_PATH_DIRECTORIES = 64

_SERVICE_LINKS = "[A-Z0-9_]+_(SERVICE_(HOST|PORT).*|PORT(_[0-9]+_(TCP|UDP|SCTP).*)?)"
"""The variables that the kubelet sets for services of the namespace (pkg/kubelet/envvars)."""


def read_texts(config: Mapping[str, object], name: str) -> list[str]:
    """Returns a list of texts of the image's config; an empty one if the config does not have it.

    Args:
      config: the object "config" of the image's config.
      name: the key of the list.

    Raises:
      InputError: the value is not a list of texts.
    """
    value = config.get(name) or []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InputError([format_problem("image", name, "not a list of texts in the image's config")])
    return value


class ContainerSystem(System):
    """The root filesystem and configuration of a container, as its programs see them.

    Attributes:
      image: the container's image.
      settings: the container's settings.
      config: the object "config" of the image's config.
    """

    def __init__(self, image: Image, settings: Settings) -> None:
        """Takes the image and the settings of the container."""
        self.image, self.settings = image, settings
        self.config: Mapping[str, object] = image.config.get("config") or {}

    def make_first_state(self, before: InitialProcess) -> ProcessState:
        """Returns the state in which the runtime executes the first program.

        Args:
          before: the capabilities and the uid of that process.
        """
        uid, gid, groups = self._find_ids(before.uid)
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
            override = self.settings.directory.value
            directory = posixpath.normpath(posixpath.join(directory, override)) if override else "/\0"
        kubernetes = self.settings.form == "kubernetes"
        others = ".*" if self.settings.other_variables else _SERVICE_LINKS if kubernetes else ""
        return ProcessState(process, self._make_environment(), others, directory)

    def _make_environment(self) -> dict[str, str | None]:
        """Returns the variables of the first process; None is a value that is not known."""
        environment: dict[str, str | None] = {
            "PATH": DEFAULT_PATH,
            "HOSTNAME": None,
            "HOME": None,
            "TERM": None,
            "container": None,
        }
        for text in read_texts(self.config, "Env"):
            name, _, value = text.partition("=")
            # A file of variables may replace any of the image's. PATH is taken to stay, because such files hardly ever set it.
            environment[name] = None if self.settings.other_variables and name != "PATH" else value
        for variable in self.settings.environment:
            name, override = variable.value
            if override is not None and self.settings.form == "kubernetes":
                # The kubelet expands $(NAME); kubernetes/security.py has made values with such references None.
                override = override.replace("$$", "$")
            environment[name] = override
        return environment

    def _find_ids(self, uid: int) -> tuple[int, int, tuple[int, ...]]:
        """Returns the uid, gid and groups that runtimes give the process (moby/sys/user, GetExecUser)."""
        image_user = str(self.config.get("User") or "")
        if self.settings.form == "kubernetes":
            # The kubelet passes on the user without the group (pkg/kubelet/kuberuntime, getImageUser).
            image_user = image_user.partition(":")[0]
        text = self.settings.user.value if self.settings.user and self.settings.user.value else image_user
        name, _, group_name = text.partition(":")
        users = _parse_users(self.image.read_text("/etc/passwd"))
        groups = _parse_groups(self.image.read_text("/etc/group"))
        user = next((user for user in users if user.name == name or user.uid == uid), None)
        gid, gids = (user.gid, tuple(group.gid for group in groups if user.name in group.members)) if user else (0, ())
        if group_name:
            named = next((group for group in groups if group.name == group_name), None)
            gid, gids = named.gid if named else int(group_name) if group_name.isdecimal() and len(group_name) <= 10 else 0, ()
        return uid, gid, (*gids, *self._find_added_gids(groups))

    def _find_added_gids(self, groups: Sequence[Group]) -> Iterator[int]:
        """Yields the gids of the groups that the settings add to those of the user, by name or number."""
        gids = {group.name: group.gid for group in groups}
        for setting in self.settings.groups:
            if setting.value in gids:
                yield gids[setting.value]
            elif setting.value.isascii() and setting.value.isdecimal():
                yield int(setting.value[:11])

    def read_users(self, state: ProcessState) -> Sequence[User]:
        """Returns the users of the image."""
        return _parse_users(self._read_database(state, "/etc/passwd"))

    def read_groups(self, state: ProcessState) -> Sequence[Group]:
        """Returns the groups of the image."""
        return _parse_groups(self._read_database(state, "/etc/group"))

    def _read_database(self, state: ProcessState, path: str) -> str | None:
        """Returns the text of /etc/passwd or /etc/group; None if the image does not have the file.

        Raises:
          NotFollowed: the process sees another file than the image's.
        """
        if state.root:
            raise NotFollowed(f"looks up users in {state.root}{path}, which is not known here")
        if mount := self.settings.find_mount_over(path):
            raise NotFollowed(f"looks up users in {path}, which is in a mount ({mount.where})")
        text = self.image.read_text(path)
        if text is None and self.image.exists(path):
            raise NotFollowed(f"looks up users in {path}, which cannot be read here")
        return text

    def find_program(self, name: str, state: ProcessState) -> str:
        """Returns the path of a program of the image, which may be a link."""
        if "/" in name:
            folders = [state.directory]
        else:
            value = state.get_variable("PATH")
            folders = (_EXECVP_PATH if value is None else value).split(":")[:_MAX_PATH_DIRECTORIES]
        for folder in folders:
            if "\0" in folder and not name.startswith("/"):
                raise NotFollowed(f'executes "{name}" in a directory that is not known here')
            path = posixpath.normpath(posixpath.join(state.directory, folder, name))
            path = state.root + "/" + path.lstrip("/")
            file = self.image.find_file(path)
            if file is not None and (file.mode & 0o111 or "/" in name):
                if state.root and not file.path.startswith(state.root + "/"):
                    raise NotFollowed(f'executes "{name}" in the root directory {state.root}, which leads out of it here')
                return path
        return ""

    def is_busybox(self, path: str) -> bool:
        """Returns whether the file at the end of all links is named busybox, or busybox with a suffix."""
        file = self.image.find_file(path)
        return file is not None and posixpath.basename(file.path).startswith("busybox")

    def read_script(self, path: str, state: ProcessState) -> str | None:
        """Returns the text of a script of the image; None if the file is no script, is too long, or a mount hides it."""
        if self.settings.find_mount_over(posixpath.normpath(path)):
            return None
        file = self.image.find_file(state.root + path)
        return file.text if file else None


def _parse_lines(text: str | None, count: int) -> list[list[str]]:
    """Returns the fields of the lines of passwd(5) or group(5) that have at least `count` fields and a numeric id."""
    lines = [line.split(":") for line in (text or "").splitlines()]
    return [fields for fields in lines if len(fields) >= count and re.fullmatch("[0-9]{1,10}", fields[2], re.ASCII)]


def _parse_users(text: str | None) -> list[User]:
    """Parses the text of passwd(5)."""
    users = []
    for fields in _parse_lines(text, 4):
        if re.fullmatch("[0-9]{1,10}", fields[3], re.ASCII):
            home, shell = [*fields[5:7], "", ""][:2]
            users.append(User(fields[0], int(fields[2]), int(fields[3]), home, shell))
    return users


def _parse_groups(text: str | None) -> list[Group]:
    """Parses the text of group(5)."""
    return [Group(fields[0], int(fields[2]), tuple(filter(None, fields[3].split(",")))) for fields in _parse_lines(text, 4)]

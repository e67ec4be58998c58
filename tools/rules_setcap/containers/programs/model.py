"""The terms of the models.

A model is a function of a Call. It returns what the program executes next, or None if it executes nothing. It raises
Lost where that cannot be known, and Fails where the program stops with an error.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from rules_setcap.capabilities import execve
from rules_setcap.capabilities.credentials import CAP_SYS_CHROOT, DeniedError, capable

Word = str | None
"""An argument; None stands for any number of arguments that are not known."""


class Lost(Exception):
    """The next program is not known; the text says why, and follows the program's name in a sentence."""


class Fails(Exception):
    """The program stops with an error before it executes the next one; the text says why."""


@dataclass(frozen=True)
class User:
    """A line of passwd(5)."""

    name: str
    uid: int
    gid: int
    home: str
    shell: str


@dataclass(frozen=True)
class Group:
    """A line of group(5)."""

    name: str
    gid: int
    members: tuple[str, ...]


@dataclass(frozen=True)
class State:
    """A process between two execve(2).

    Attributes:
      process: its credentials.
      environment: its variables; None is a value that is not known, or a variable that may be unset.
      others: a regular expression of the other variables that may be set; "" if all others are unset.
      directory: its current directory, in its root directory.
      root: its root directory, in the container's.
    """

    process: execve.Process
    environment: Mapping[str, str | None]
    others: str = ""
    directory: str = "/"
    root: str = ""

    def with_variables(self, **variables: str | None) -> State:
        """Returns the state with some variables set."""
        return replace(self, environment={**self.environment, **variables})

    def may_be_set(self, name: str) -> bool:
        """Returns whether it is not known if a variable is set, and to what."""
        if name in self.environment:
            return self.environment[name] is None
        return bool(self.others) and re.fullmatch(self.others, name) is not None

    def variable(self, name: str) -> str | None:
        """Returns the value of a variable, None if it is unset.

        Raises:
          Lost: that is not known.
        """
        if name in self.environment:
            value = self.environment[name]
            if value is None:
                raise Lost(f"uses the variable {name}, whose value is not known here")
            return value
        if self.may_be_set(name):
            raise Lost(f"uses the variable {name}, which may be set")
        return None


@dataclass(frozen=True)
class Next:
    """What a program executes.

    Attributes:
      argv: its words, the program's name first.
      state: the process before this execve(2).
      file: the file's path, if it is not found by argv[0].
      loaded: whether the program is loaded by the running one (ld.so(8)) instead of executed.
    """

    argv: Sequence[Word]
    state: State
    file: str = ""
    loaded: bool = False


class System:
    """What programs look up in the image that they run in."""

    def users(self, state: State) -> Sequence[User]:
        """Returns the lines of /etc/passwd.

        Raises:
          Lost: there is one that is not known here.
        """
        raise NotImplementedError

    def groups(self, state: State) -> Sequence[Group]:
        """Returns the lines of /etc/group; see users()."""
        raise NotImplementedError

    def find(self, name: str, state: State) -> str:
        """Returns the path of a program as execvp(3) finds it; "" if there is none."""
        raise NotImplementedError

    def is_busybox(self, path: str) -> bool:
        """Returns whether a path that find() returned leads to BusyBox."""
        raise NotImplementedError

    def script(self, path: str, state: State) -> str | None:
        """Returns the text of a script; None if it is not known."""
        raise NotImplementedError


@dataclass(frozen=True)
class Call:
    """A program that runs.

    Attributes:
      argv: its words.
      state: the process after the execve(2).
      system: the image.
      path: of the script or program as it was executed.
      loader: its PT_INTERP, which tells the C library; "" of a static program.
    """

    argv: Sequence[Word]
    state: State
    system: System
    path: str = ""
    loader: str = ""

    @property
    def name(self) -> str:
        """What messages of the program begin with."""
        return (self.argv[0] if self.argv else "") or ""

    def next(self, argv: Sequence[Word], state: State | None = None) -> Next | None:
        """Returns the execution of the words that are left; None if there are none."""
        return Next(tuple(argv), state or self.state) if argv else None


Model = Callable[[Call], "Next | None"]


def decimal(text: str) -> int | None:
    """Returns an unsigned decimal number, None if the text is not one."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 10 else None


def find_user(call: Call, name: str, by_uid: bool = False) -> User | None:
    """Looks a user up by name (getpwnam(3)) or by uid (getpwuid(3)), which is first in /etc/passwd."""
    users = call.system.users(call.state)
    if by_uid:
        return next((user for user in users if user.uid == int(name)), None)
    return next((user for user in users if user.name == name), None)


def find_group(call: Call, name: str) -> Group | None:
    """Looks a group up by name (getgrnam(3))."""
    return next((group for group in call.system.groups(call.state) if group.name == name), None)


def group_list(call: Call, name: str, gid: int) -> tuple[int, ...]:
    """Returns a user's groups, the given one first (getgrouplist(3))."""
    found = [gid, *(group.gid for group in call.system.groups(call.state) if name in group.members)]
    return tuple(dict.fromkeys(found))


def chroot(call: Call, state: State, directory: str) -> State:
    """chroot(2)."""
    if not capable(state.process, CAP_SYS_CHROOT):
        raise DeniedError("chroot", CAP_SYS_CHROOT)
    path = posixpath.normpath(posixpath.join(state.directory, directory))
    return replace(state, root=posixpath.normpath(state.root + "/" + path.lstrip("/")).rstrip("/"))

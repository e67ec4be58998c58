"""The types that models of programs share, and the lookups and system calls that several of them need.

A model is a function of a Call. It returns the program that is executed next, or None if the program executes none. It
raises NotFollowed if the next program is not known, and ProgramFails if the program stops with an error.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from rules_setcap.capabilities import execve
from rules_setcap.capabilities.credentials import CAP_SYS_CHROOT, DeniedError, capable

Argument = str | None
"""An argument of a program; None stands for any number of arguments that are not known."""


class NotFollowed(Exception):
    """The next program is not known; the text is the reason, and follows the program's name in a sentence."""


class ProgramFails(Exception):
    """The program stops with an error before it executes the next one; the text is the reason."""


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
class ProcessState:
    """The state of a process between two execve(2) calls.

    Attributes:
      process: the credentials.
      environment: the variables; None is a value that is not known, or a variable that may be unset.
      others: a regular expression of the other variables that may be set; "" if all others are unset.
      directory: the current directory, as a path in `root`; it contains a NUL if it is not known.
      root: the root directory, as a path in the container; "" is the container's own.
    """

    process: execve.Process
    environment: Mapping[str, str | None]
    others: str = ""
    directory: str = "/"
    root: str = ""

    def with_variables(self, **variables: str | None) -> ProcessState:
        """Returns the state with some variables set; None is a value that is not known."""
        return replace(self, environment={**self.environment, **variables})

    def may_be_set(self, name: str) -> bool:
        """Returns whether the value of a variable is not known, or whether it is set at all."""
        if name in self.environment:
            return self.environment[name] is None
        return bool(self.others) and re.fullmatch(self.others, name) is not None

    def get_variable(self, name: str) -> str | None:
        """Returns the value of a variable; None if it is unset.

        Raises:
          NotFollowed: the value is not known.
        """
        if name in self.environment:
            value = self.environment[name]
            if value is None:
                raise NotFollowed(f"uses the variable {name}, whose value is not known here")
            return value
        if self.may_be_set(name):
            raise NotFollowed(f"uses the variable {name}, which may be set")
        return None


@dataclass(frozen=True)
class Execution:
    """The execution of the next program.

    Attributes:
      argv: the arguments, the program's name first.
      state: the state of the process before this execve(2).
      file: the path of the file; "" if argv[0] is looked up.
      loaded: whether the running program loads the next one into its own process (ld.so(8)) instead of executing it.
    """

    argv: Sequence[Argument]
    state: ProcessState
    file: str = ""
    loaded: bool = False


class System:
    """The system that a program runs in: an interface, so that models do not depend on images.

    container_system.ContainerSystem implements it.
    """

    def read_users(self, state: ProcessState) -> Sequence[User]:
        """Returns the lines of /etc/passwd.

        Args:
          state: the process that reads the file.

        Raises:
          NotFollowed: the process sees a file that is not known here.
        """
        raise NotImplementedError

    def read_groups(self, state: ProcessState) -> Sequence[Group]:
        """Returns the lines of /etc/group; see read_users()."""
        raise NotImplementedError

    def find_program(self, name: str, state: ProcessState) -> str:
        """Returns the path of a program as execvp(3) finds it; "" if it finds none.

        Args:
          name: a name that is looked up on PATH, or a path.
          state: the process that executes the program.

        Raises:
          NotFollowed: the PATH or the current directory is not known.
        """
        raise NotImplementedError

    def is_busybox(self, path: str) -> bool:
        """Returns whether a path that find_program() returned leads to BusyBox."""
        raise NotImplementedError

    def read_script(self, path: str, state: ProcessState) -> str | None:
        """Returns the text of a script; None if it is not known."""
        raise NotImplementedError


@dataclass(frozen=True)
class Call:
    """A running program, about which a model is asked.

    Attributes:
      argv: the arguments, the program's name first.
      state: the state of the process after the execve(2).
      system: the system that the program runs in.
      path: the path of the program, or of the script that it interprets, as it was executed.
      loader: the PT_INTERP of the program, which tells glibc from musl; "" of a static program.
    """

    argv: Sequence[Argument]
    state: ProcessState
    system: System
    path: str = ""
    loader: str = ""

    @property
    def name(self) -> str:
        """argv[0]; "" if it is missing or not known."""
        return (self.argv[0] if self.argv else "") or ""

    def execute(self, argv: Sequence[Argument], state: ProcessState | None = None) -> Execution | None:
        """Returns the execution of a command; None if the command is empty.

        Args:
          argv: the command.
          state: the state of the process that executes it; that of the call if None.
        """
        return Execution(tuple(argv), state or self.state) if argv else None


Model = Callable[[Call], Execution | None]
"""A model of a program: returns what the program executes, None if it executes nothing."""


def parse_decimal(text: str) -> int | None:
    """Parses an unsigned decimal number of at most 10 digits; returns None if the text is not one."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 10 else None


def find_user(call: Call, name: str, by_uid: bool = False) -> User | None:
    """Returns the first user of /etc/passwd with a name (getpwnam(3)) or a uid (getpwuid(3)); None if there is none."""
    users = call.system.read_users(call.state)
    if by_uid:
        return next((user for user in users if user.uid == int(name)), None)
    return next((user for user in users if user.name == name), None)


def find_group(call: Call, name: str) -> Group | None:
    """Returns the first group of /etc/group with a name (getgrnam(3)); None if there is none."""
    return next((group for group in call.system.read_groups(call.state) if group.name == name), None)


def list_group_ids(call: Call, name: str, gid: int) -> tuple[int, ...]:
    """Returns the gids of a user's groups, `gid` first (getgrouplist(3))."""
    gids = [gid, *(group.gid for group in call.system.read_groups(call.state) if name in group.members)]
    return tuple(dict.fromkeys(gids))


def change_root(call: Call, state: ProcessState, directory: str) -> ProcessState:
    """Returns the state after chroot(2).

    Raises:
      Denied: CAP_SYS_CHROOT is not effective.
    """
    if not capable(state.process, CAP_SYS_CHROOT):
        raise DeniedError("chroot", CAP_SYS_CHROOT)
    path = posixpath.normpath(posixpath.join(state.directory, directory))
    return replace(state, root=posixpath.normpath(state.root + "/" + path.lstrip("/")).rstrip("/"))

"""A `docker run` or `podman run` command line, as somebody typed it."""

from __future__ import annotations

import difflib
import json
import re
import shlex
from collections.abc import Callable, Iterable

from packer.errors import InputError, problem, quote

from . import mounts
from .flags import DOCKER, DOCKER_GLOBAL, PODMAN, PODMAN_GLOBAL, Given, parse, truth
from .settings import Mount, Said, Settings, capability

_MAX_COMMAND = 128 << 10  # One argument's limit in Linux: MAX_ARG_STRLEN.
_ENGINES = {"docker": (DOCKER_GLOBAL, DOCKER), "podman": (PODMAN_GLOBAL, PODMAN)}

# What a shell does not look into: an escaped character, or a quoted part.
_QUOTED = re.compile(r"""\\.|'[^']*'|"(?P<double>(?:\\.|[^"\\])*)\"""", re.DOTALL)
_SUBSTITUTION = re.compile(r"\$\(|`")
_OPERATOR = re.compile(r"[|&;<>()\n]|(?<!\S)#")


def read(command: str, attribute: str = "command") -> Settings:
    """What a command line says.

    Args:
      command: all of it, from `docker` or `podman` on (`sudo` before it is passed over), as a
        shell would read it: quoting and continued lines, but neither variables nor anything
        else that only a running shell could replace.
      attribute: what messages about the command as a whole start with.

    Raises:
      InputError: with every problem.
    """
    words = _words(command, attribute)
    engine, words = _engine(words, command, attribute)
    problems: list[str] = []
    before, rest = parse(_ENGINES[engine][0], words, problems)
    if rest[:1] == ["container"]:
        rest = rest[1:]
    subcommand = rest[0] if rest else ""
    if subcommand not in ("run", "create") and not problems:
        near = difflib.get_close_matches(subcommand[:64], ("run", "create"), n=1, cutoff=0.5)
        what = f'did you mean "{near[0]}"?' if near else "only run and create make a container"
        problems.append(f"{quote(subcommand)}: {what}")
    if problems:
        raise InputError(f"{engine}: {one}" for one in problems)
    where = f"{engine} {subcommand}"
    given, arguments = parse(_ENGINES[engine][1], rest[1:], problems)
    reader = _Reader(engine, where, given)
    reader.problems += [f"{where}: {one}" for one in problems]
    if not arguments:
        reader.problems.append(problem(attribute, command, "names no image"))
    settings = reader.settings(arguments)
    if reader.problems:
        raise InputError(reader.problems)
    return settings


def _words(command: str, attribute: str) -> list[str]:
    """The words that a shell makes of the command.

    Raises:
      InputError: it is no single simple command.
    """
    what = ""
    if len(command) > _MAX_COMMAND:
        what = f"{len(command)} characters; a command line has at most {_MAX_COMMAND}"
    elif "\0" in command:
        what = "has a NUL"
    else:
        command = command.replace("\\\n", "").strip()
        bare = _QUOTED.sub(lambda match: match["double"] or "", command)
        if _SUBSTITUTION.search(bare):
            what = "has a command substitution, which only a shell can replace; write what it gives"
        elif found := _OPERATOR.search(_QUOTED.sub("x", command)):
            what = f"has {quote(found[0])} of the shell in it; give the one command, quoted where it needs it"
    try:
        words = [] if what else shlex.split(command)
    except ValueError as error:
        what = f"no command line: {str(error).lower()}"
    if what:
        raise InputError([problem(attribute, command, what)])
    return words


def _engine(words: list[str], command: str, attribute: str) -> tuple[str, list[str]]:
    """Which of the two it is, and the words after it."""
    if words[:1] == ["sudo"]:
        words = words[1:]
    name = words[0].rpartition("/")[2] if words else ""
    if name not in _ENGINES:
        raise InputError([problem(attribute, command, 'starts with neither docker nor podman; write it whole, as "docker run ..."')])
    return name, words[1:]


class _Reader:
    """Settings from flags, and what is wrong with some of them."""

    def __init__(self, engine: str, where: str, given: list[Given]) -> None:
        self.engine = engine
        self.where = where
        self.given = given
        self.problems: list[str] = []

    def settings(self, arguments: list[str]) -> Settings:
        image = arguments[0] if arguments else ""
        if any(one.name == "rootfs" and truth(one.value) for one in self.given):
            image = ""  # podman run --rootfs DIRECTORY
        name = self.last("name", str)
        return Settings(
            where=self.where,
            runtime=self.engine,
            name=name.value if name else "",
            image=Said(image, self.where) if image else None,
            user=self.last("user", self.plain),
            added=self.capabilities("cap-add"),
            dropped=self.capabilities("cap-drop"),
            privileged=self.last("privileged", self.boolean),
            no_new_privs=self.no_new_privs(),
            entrypoint=self.last("entrypoint", self.entrypoint),
            command=Said(tuple(arguments[1:]), self.where) if arguments[1:] else None,
            init=self.last("init", self.boolean),
            read_only=self.last("read-only", self.boolean),
            mounts=self.mounts(),
            user_namespace=self.user_namespace(),
            labels=self.all("label", lambda text: text.partition("=")[::2]),
            environment=self.all("env", variable),
            other_variables=self.last("env-file", str) or self.last("env-host", str) or self.last("unsetenv", str),
            directory=self.last("workdir", lambda text: "" if "$" in text else text),
        )

    def all[T](self, name: str, convert: Callable[[str], T]) -> tuple[Said[T], ...]:
        """Every occurrence of a flag, in order."""
        return tuple(said for one in self.given if one.name == name for said in self.said(one, [one.value], convert))

    def said[T](self, given: Given, values: Iterable[str], convert: Callable[[str], T]) -> Iterable[Said[T]]:
        """The values of one occurrence; a ValueError of `convert` is a problem."""
        where = f"{self.where} {given.typed}"
        for value in values:
            try:
                yield Said(convert(value), where)
            except ValueError as error:
                self.problems.append(problem(where, value, str(error)))

    def last[T](self, name: str, convert: Callable[[str], T]) -> Said[T] | None:
        """The last occurrence of a flag: it wins."""
        return (self.all(name, convert) or (None,))[-1]

    @staticmethod
    def plain(text: str) -> str:
        """Text in which a shell has nothing left to replace."""
        if "$" in text:
            raise ValueError("a variable of the shell; write its value")
        return text

    @staticmethod
    def boolean(text: str) -> bool:
        value = truth(text)
        if value is None:
            raise ValueError("neither true nor false")
        return value

    def capabilities(self, name: str) -> tuple[Said[str], ...]:
        """--cap-add or --cap-drop; podman splits at commas (pflag's StringSlice), Docker does not."""
        return tuple(
            said
            for one in self.given
            if one.name == name
            for said in self.said(
                one,
                one.value.split(",") if self.engine == "podman" else [one.value],
                lambda text: capability(self.plain(text), self.engine),
            )
        )

    def entrypoint(self, text: str) -> tuple[str, ...]:
        """Docker takes it as one word, podman also as a list in JSON; nothing is no entrypoint."""
        if self.engine == "podman" and text.startswith("["):
            try:
                words = json.loads(text)
            except ValueError, RecursionError:
                words = None
            if isinstance(words, list) and all(isinstance(word, str) for word in words):
                return tuple(words)
        return (text,) if text else ()

    def no_new_privs(self) -> Said[bool] | None:
        """The last --security-opt of that name (moby daemon/daemon_unix.go, parseSecurityOpt)."""
        found = None
        for given in self.given:
            if given.name == "security-opt":
                for said in self.said(given, [given.value], security_option):
                    found = found if said.value is None else Said(said.value, said.where)
        return found

    def user_namespace(self) -> Said[str] | None:
        """--userns, or in podman a map of ids, which makes one too."""
        found = self.last("userns", self.plain)
        if found and self.engine == "docker" and found.value not in ("", "host"):
            self.problems.append(problem(found.where, found.value, 'Docker takes "host" alone'))
        maps = [one for one in self.given if one.name in ("uidmap", "gidmap", "subuidname", "subgidname")]
        if not found and maps:
            return Said("private", f"{self.where} {maps[0].typed}")
        return found if found and found.value else None

    def mounts(self) -> tuple[Said[Mount], ...]:
        convert: dict[str, Callable[[str], Mount]] = {
            "volume": lambda text: mounts.volume(text, self.engine),
            "mount": lambda text: mounts.mount(text, self.engine),
            "tmpfs": mounts.tmpfs,
        }
        return tuple(said for one in self.given if one.name in convert for said in self.said(one, [one.value], convert[one.name]))


def variable(text: str) -> tuple[str, str | None]:
    """Returns the name and value of an --env; None for a value of the shell or of the machine."""
    name, separator, value = text.partition("=")
    return name, value if separator and "$" not in value else None


# What the value may be named: moby daemon/daemon_unix.go; podman pkg/specgenutil/specgen.go.
_SECURITY_OPTIONS = frozenset("apparmor disable label mask proc-opts seccomp systempaths unmask writable-cgroups".split())


def security_option(text: str) -> bool | None:
    """Whether a --security-opt sets no_new_privs; None if it is about something else.

    Raises:
      ValueError: with what is wrong.
    """
    name, separator, value = text.partition("=")
    if not separator:
        name, separator, value = text.partition(":")
    if name == "no-new-privileges":
        on = truth(value) if separator else True
        if on is None:
            raise ValueError("neither true nor false after no-new-privileges")
        return on
    if name not in _SECURITY_OPTIONS:
        near = difflib.get_close_matches(name[:64], ("no-new-privileges", *_SECURITY_OPTIONS), n=1, cutoff=0.5)
        raise ValueError("unknown security option" + (f'; did you mean "{near[0]}"?' if near else ""))
    return None

"""Reads command lines that make a container: docker, podman and nerdctl run or create, and docker service create."""

from __future__ import annotations

import difflib
import json
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from rules_setcap.containers import mounts
from rules_setcap.containers.docker import flags, prefixes, script
from rules_setcap.containers.docker.flags import Flags, Given, parse_boolean, parse_flags
from rules_setcap.containers.security_options import parse_security_option
from rules_setcap.containers.settings import Mount, Setting, Settings, format_engine_name, parse_capability
from rules_setcap.diagnostics.errors import InputError, problem, quote

_MAX_COMMAND = 128 << 10  # One argument's limit in Linux: MAX_ARG_STRLEN.


class _Engine(NamedTuple):
    """A command line program that makes containers.

    Attributes:
      name: of the runtime, as in Settings.runtime.
      flags: those before the subcommand.
      commands: flags by subcommand: "run", "service create". "container run" is the same as "run".
    """

    name: str
    flags: Flags
    commands: Mapping[str, Flags]


def _engine(name: str, before: Flags, after: Flags, **others: Flags) -> _Engine:
    return _Engine(name, before, {"run": after, "create": after, **{key.replace("_", " "): value for key, value in others.items()}})


_PODMAN = _engine("podman", flags.PODMAN_GLOBAL, flags.PODMAN)
_ENGINES = {
    "docker": _engine("docker", flags.DOCKER_GLOBAL, flags.DOCKER, service_create=flags.DOCKER_SERVICE),
    "nerdctl": _engine("nerdctl", flags.NERDCTL_GLOBAL, flags.NERDCTL),
    "podman": _PODMAN,
    "podman-remote": _PODMAN,
}
_OTHERS = {
    "compose": "give the Compose file and the service in place of the command line",
    "exec": "a process that joins a container is not judged; give the command line that made the container",
    "kube": "give the manifest in place of the command line",
    "stack": "give the Compose file and the service in place of the command line",
    "start": "give the command line that made the container",
}
_DOCKER_IMAGE = re.compile(r"[A-Za-z0-9\[][A-Za-z0-9_.:/@\[\]-]*", re.ASCII)


def read_command_line(command: str, attribute: str = "command") -> Settings:
    """Reads a command line.

    Args:
      command: the whole command as typed for a POSIX shell. Variables before it, and commands that run it
        (sudo, env, exec, time and others) are passed over. What only a running shell can replace may be where it does
        not matter, as in -v "$PWD":/src.
      attribute: the name that messages about the command as a whole begin with.

    Raises:
      InputError: with every problem.
    """
    line = _split(command, attribute)
    problems: list[str] = []
    words = prefixes.strip_prefixes(line.words, problems, line.shown)
    name = words[0].rpartition("/")[2] if words else ""
    engine = _ENGINES.get(name)
    if engine is None:
        what = 'starts with none of docker, podman and nerdctl; write it whole, as "docker run ..."'
        raise InputError(problems or [problem(attribute, command, what)])
    _, rest = parse_flags(engine.flags, words[1:], problems, line.shown)
    problems = [f"{name}: {text}" if text.startswith('"') else text for text in problems]
    subcommand, rest = _subcommand(engine, rest)
    if not subcommand and not problems:
        problems.append(f"{name}: " + _no_subcommand(engine, line.shown(rest[0] if rest else "")))
    if problems:
        raise InputError(problems)
    where = f"{name} {subcommand}"
    given, arguments = parse_flags(engine.commands[subcommand], rest, problems, line.shown)
    reader = _Reader(engine.name, where, given, line)
    reader.problems += [f"{where}: {text}" for text in problems]
    if not arguments:
        reader.problems.append(problem(attribute, command, "names no image"))
    ended = rest[len(rest) - len(arguments) - 1 : len(rest) - len(arguments)] == ["--"]
    settings = reader.settings(arguments, ended)
    if reader.problems:
        raise InputError(dict.fromkeys(reader.problems))  # A flag may be read twice.
    return settings


def _split(command: str, attribute: str) -> script.Line:
    """Returns the words of the command.

    Raises:
      InputError: it is not a single simple command.
    """
    try:
        if len(command) > _MAX_COMMAND:
            raise ValueError(f"{len(command)} characters; a command line has at most {_MAX_COMMAND}")
        if "\0" in command:
            raise ValueError("has a NUL")
        return script.split_command_line(command)
    except ValueError as error:
        raise InputError([problem(attribute, command, str(error))]) from None


def _subcommand(engine: _Engine, words: list[str]) -> tuple[str, list[str]]:
    """Returns the subcommand without "container", and the words after it; "" if it makes no container."""
    rest = words[1:] if words[:1] == ["container"] else words
    for name in engine.commands:
        count = name.count(" ") + 1
        if rest[:count] == name.split(" ") and (rest is words or count == 1):
            return name, rest[count:]
    return "", rest


def _no_subcommand(engine: _Engine, name: str) -> str:
    """Returns why a subcommand makes no container."""
    near = difflib.get_close_matches(name[:64], ("run", "create"), n=1, cutoff=0.5)
    what = "only " + ", ".join(list(engine.commands)[:-1]) + f" and {list(engine.commands)[-1]} make a container"
    if near:
        what = f'did you mean "{near[0]}"?'
    return f"{quote(name)}: {_OTHERS.get(name, what)}" if name else f"no command; {what}"


class _Reader:
    """Settings from flags, and the problems of the flags."""

    def __init__(self, engine: str, where: str, given: list[Given], line: script.Line) -> None:
        self.engine = engine
        self.where = where
        self.given = given
        self.line = line
        self.problems: list[str] = []

    def settings(self, arguments: list[str], ended: bool) -> Settings:
        """Returns the settings.

        Args:
          arguments: the image and the command.
          ended: whether "--" is before them.
        """
        image = self.image(arguments, ended)
        self.check_sysctls()
        self.check_init()
        name = self.last("name", self.line.shown)
        environment = tuple(said for said in self.all("env", self.variable) if said.value[0])
        return Settings(
            where=self.where,
            engine_name=self.engine,
            name=name.value if name else "",
            image=Setting(image, self.where) if image else None,
            user=self.last("user", self.user),
            groups=(*self.all("group-add", self.plain), *self.all("group", self.plain)),
            added=self.capabilities("cap-add"),
            dropped=self.capabilities("cap-drop"),
            privileged=self.last("privileged", self.boolean),
            no_new_privs=self.no_new_privs(),
            entrypoint=self.last("entrypoint", self.entrypoint),
            command=self.command(arguments[1:]),
            init=self.last("init", self.boolean),
            read_only=self.last("read-only", self.boolean),
            mounts=self.mounts(),
            user_namespace=self.user_namespace(),
            labels=self.all("label", lambda text: self.line.shown(text).partition("=")[::2]),
            environment=environment,
            other_variables=self.other_variables(),
            directory=self.last("workdir", lambda text: "" if self.line.unknown(text) else text),
            network=self.last("network", lambda text: "" if self.line.unknown(text) else text.removeprefix("name=").partition(",")[0]),
            sysctls=self.all("sysctl", self.sysctl),
        )

    def image(self, arguments: list[str], ended: bool) -> str:
        """Returns the image's name; "" for a root file system of podman's and nerdctl's --rootfs."""
        text = arguments[0] if arguments else ""
        shown = self.line.shown(text)
        if self.line.unknown(text) == [shown] and arguments[1:] and not ended:
            what = "may be options or several words, which only a shell can tell; write what it stands for"
            self.problems.append(problem(self.where, shown, what))
        if any(one.name == "rootfs" and parse_boolean(one.value) for one in self.given):
            return ""
        valid = shown.isascii() and " " not in shown if self.engine == "podman" else _DOCKER_IMAGE.fullmatch(shown)
        if arguments and not valid and not self.line.unknown(text):
            what = "not a valid image name"
            if shown.startswith(("\u2013", "\u2014", "\u2212")):
                what += "; an option begins with plain hyphens, as --rm does"
            self.problems.append(problem(self.where, shown, what))
        return shown

    def command(self, words: list[str]) -> Setting[tuple[str, ...]] | None:
        """Returns the command, in which arguments may have what only a shell can replace, but not programs and scripts."""
        for number, word in enumerate(words):
            unknown = self.line.unknown(word)
            if not unknown:
                continue
            shown = self.line.shown(word)
            if number == 0:
                what = f"only a shell can replace {unknown[0]}; write the program that it stands for"
                self.problems.append(problem(self.where, shown, what))
            elif re.search(r"\s", word):
                what = f"the shell replaces {unknown[0]} before the container is made; write its value, or put the text in single quotes"
                self.problems.append(problem(self.where, shown, what))
        return Setting(tuple(map(self.line.shown, words)), self.where) if words else None

    def all[T](self, name: str, convert: Callable[[str], T]) -> tuple[Setting[T], ...]:
        """Returns every occurrence of a flag, in order."""
        return tuple(said for one in self.given if one.name == name for said in self.said(one, [one.value], convert))

    def said[T](self, given: Given, values: Iterable[str], convert: Callable[[str], T]) -> Iterable[Setting[T]]:
        """Yields the values of one occurrence; a ValueError of `convert` is a problem."""
        where = f"{self.where} {given.typed}"
        for value in values:
            try:
                yield Setting(convert(value), where)
            except ValueError as error:
                self.problems.append(problem(where, self.line.shown(value), str(error)))

    def last[T](self, name: str, convert: Callable[[str], T]) -> Setting[T] | None:
        """Returns the last occurrence of a flag, which wins."""
        return (self.all(name, convert) or (None,))[-1]

    def plain(self, text: str, what: str = "its value") -> str:
        """Returns a text in which a shell has nothing to replace.

        Raises:
          ValueError: it has.
        """
        if unknown := self.line.unknown(text):
            raise ValueError(f"only a shell can replace {unknown[0]}; write {what}")
        return text

    def user(self, text: str) -> str:
        return self.plain(text, "the numbers that it gives, such as 1000:1000")

    def boolean(self, text: str) -> bool:
        value = parse_boolean(self.plain(text))
        if value is None:
            raise ValueError("neither true nor false")
        return value

    def capabilities(self, name: str) -> tuple[Setting[str], ...]:
        """Returns --cap-add or --cap-drop; podman and nerdctl split at commas (pflag's StringSlice), Docker does not."""
        return tuple(
            said
            for one in self.given
            if one.name == name
            for said in self.said(
                one,
                [one.value] if self.engine == "docker" else one.value.split(","),
                lambda text: parse_capability(self.plain(text), self.engine),
            )
        )

    def entrypoint(self, text: str) -> tuple[str, ...]:
        """Returns the words of an entrypoint; none for an empty one.

        Docker takes it as one word, but for a service as a line of words; podman takes a list in JSON too.
        """
        self.plain(text, "the program that it stands for")
        if self.where == "docker service create":
            return tuple(shlex.split(text))
        if self.engine == "podman" and text.startswith("["):
            try:
                words = json.loads(text)
            except (ValueError, RecursionError):
                words = None
            if isinstance(words, list) and all(isinstance(word, str) for word in words):
                return tuple(words)
        return (text,) if text else ()

    def variable(self, text: str) -> tuple[str, str | None]:
        """Returns the name and value of an --env; None for a value of the shell or of the machine, "" for such a name."""
        name, separator, value = text.partition("=")
        return "" if self.line.unknown(name) else name, value if separator and not self.line.unknown(value) else None

    def other_variables(self) -> Setting[str] | None:
        """Returns what may set variables that are not known here."""
        for name in ("env-file", "env-host", "unsetenv"):
            if found := self.last(name, self.line.shown):
                return found
        return next((Setting("env", said.where) for said in self.all("env", self.variable) if not said.value[0]), None)

    def no_new_privs(self) -> Setting[bool] | None:
        """Returns the last --security-opt of that name (moby daemon/daemon_unix.go, parseSecurityOpt)."""
        found = None
        for given in self.given:
            if given.name == "security-opt":
                for said in self.said(given, [given.value], lambda text: parse_security_option(text, self.engine)):
                    found = found if said.value is None else Setting(said.value, said.where)
        return found

    def sysctl(self, text: str) -> tuple[str, str]:
        """Returns the name and value of a --sysctl."""
        name, _, value = self.line.shown(text).partition("=")
        return name.replace("/", "."), value

    def check_sysctls(self) -> None:
        """Refuses sysctls of the network beside the host's network, as runc and podman do (runc libcontainer/configs/validate)."""
        network = self.last("network", str)
        if network and network.value == "host":
            for said in self.all("sysctl", self.line.shown):
                if said.value.startswith("net."):
                    self.problems.append(problem(said.where, said.value, f"not allowed in the host's network namespace: {network.where}"))

    def check_init(self) -> None:
        """Refuses an init process that would not be process 1, as podman does (pkg/specgen/generate/container_create.go)."""
        init, pid = self.last("init", self.boolean), self.last("pid", str)
        if self.engine == "podman" and init and init.value and pid and pid.value not in ("", "private"):
            self.problems.append(problem(pid.where, pid.value, f"podman refuses it together with {init.where}"))

    def user_namespace(self) -> Setting[str] | None:
        """Returns --userns, or in podman a map of ids, which makes a user namespace too."""
        found = self.last("userns", self.plain)
        if found and self.engine != "podman" and found.value not in ("", "host"):
            self.problems.append(problem(found.where, found.value, f'{format_engine_name(self.engine)} takes "host" alone'))
        maps = [one for one in self.given if one.name in ("uidmap", "gidmap", "subuidname", "subgidname")]
        if not found and maps:
            return Setting("private", f"{self.where} {maps[0].typed}")
        return found if found and found.value else None

    def mounts(self) -> tuple[Setting[Mount], ...]:
        convert: dict[str, Callable[[str], Mount]] = {"volume": self.volume, "mount": self.mount, "tmpfs": self.tmpfs}
        return tuple(said for one in self.given if one.name in convert for said in self.said(one, [one.value], convert[one.name]))

    def volume(self, text: str) -> Mount:
        """Returns a volume; a shell may have to replace its source."""
        source, colon, rest = text.partition(":")
        self.plain(rest if colon else text, "the path in the container")
        return mounts.parse_volume(("$" if self.line.unknown(source) else source) + colon + rest, self.engine)

    def mount(self, text: str) -> Mount:
        """Returns a mount; a shell may have to replace its source."""
        for field in text.split(","):
            if not re.match("(?i)[\"']?(src|source)=", field):
                self.plain(field)
        return mounts.parse_mount("".join("$" if self.line.unknown(each) else each for each in text), self.engine)

    def tmpfs(self, text: str) -> Mount:
        return mounts.parse_tmpfs(self.plain(text))

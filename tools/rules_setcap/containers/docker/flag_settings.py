"""Reads the settings of a container from the flags and arguments of the command that makes it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from rules_setcap.containers import mounts
from rules_setcap.containers.docker import script
from rules_setcap.containers.docker.flags import ParsedFlag, parse_boolean
from rules_setcap.containers.security_options import parse_security_option
from rules_setcap.containers.settings import Mount, Setting, Settings, format_engine_name, parse_capability
from rules_setcap.diagnostics.problems import Problems

T = TypeVar("T")

_DOCKER_IMAGE = re.compile(r"[A-Za-z0-9\[][A-Za-z0-9_.:/@\[\]-]*", re.ASCII)


class SettingsReader:
    """A reader of the settings in parsed flags.

    Attributes:
      problems: the problems of the flags that were read so far; a flag that is read twice has its problem twice.
    """

    def __init__(self, engine_name: str, where: str, flags: list[ParsedFlag], line: script.CommandLine) -> None:
        """Initializes the reader.

        Args:
          engine_name: as Settings.engine_name.
          where: the program and its subcommand: "docker run".
          flags: the flags of the subcommand.
          line: the words of the command line.
        """
        self.problems = Problems()
        self._engine_name = engine_name
        self._where = where
        self._flags = flags
        self._line = line

    def read_settings(self, arguments: list[str], is_ended: bool) -> Settings:
        """Returns the settings of the container.

        Args:
          arguments: the image and the command.
          is_ended: whether "--" is before them, so that they cannot be flags.
        """
        image = self._read_image(arguments, is_ended)
        self._check_sysctls()
        self._check_init()
        name = self._read_last("name", self._line.restore)
        environment = tuple(variable for variable in self._read_all("env", self._split_variable) if variable.value[0])
        return Settings(
            where=self._where,
            engine_name=self._engine_name,
            name=name.value if name else "",
            image=Setting(image, self._where) if image else None,
            user=self._read_last("user", self._parse_user),
            groups=(*self._read_all("group-add", self._require_literal), *self._read_all("group", self._require_literal)),
            added=self._read_capabilities("cap-add"),
            dropped=self._read_capabilities("cap-drop"),
            privileged=self._read_last("privileged", self._parse_boolean),
            no_new_privs=self._read_no_new_privs(),
            entrypoint=self._read_last("entrypoint", self._split_entrypoint),
            command=self._read_command(arguments[1:]),
            init=self._read_last("init", self._parse_boolean),
            read_only=self._read_last("read-only", self._parse_boolean),
            mounts=self._read_mounts(),
            user_namespace=self._read_user_namespace(),
            labels=self._read_all("label", lambda text: self._line.restore(text).partition("=")[::2]),
            environment=environment,
            other_variables=self._read_other_variables(),
            directory=self._read_last("workdir", lambda text: "" if self._line.find_expansions(text) else text),
            network=self._read_last("network", self._parse_network),
            sysctls=self._read_all("sysctl", self._split_sysctl),
        )

    def _read_image(self, arguments: list[str], is_ended: bool) -> str:
        """Returns the name of the image; "" for --rootfs of podman and nerdctl, which names a directory."""
        text = arguments[0] if arguments else ""
        typed = self._line.restore(text)
        if self._line.find_expansions(text) == [typed] and arguments[1:] and not is_ended:
            what = "may be options or several words, which only a shell can tell; write what it stands for"
            self.problems.add(self._where, typed, what)
        if any(flag.name == "rootfs" and parse_boolean(flag.value) for flag in self._flags):
            return ""
        is_valid = typed.isascii() and " " not in typed if self._engine_name == "podman" else _DOCKER_IMAGE.fullmatch(typed)
        if arguments and not is_valid and not self._line.find_expansions(text):
            what = "not a valid image name"
            if typed.startswith(("\u2013", "\u2014", "\u2212")):
                what += "; an option begins with plain hyphens, as --rm does"
            self.problems.add(self._where, typed, what)
        return typed

    def _read_command(self, words: list[str]) -> Setting[tuple[str, ...]] | None:
        """Returns the command. Its arguments may have expansions of the shell; its program and scripts may not."""
        for number, word in enumerate(words):
            expansions = self._line.find_expansions(word)
            if not expansions:
                continue
            typed = self._line.restore(word)
            if number == 0:
                what = f"only a shell can replace {expansions[0]}; write the program that it stands for"
                self.problems.add(self._where, typed, what)
            elif re.search(r"\s", word):
                what = f"the shell replaces {expansions[0]} before the container is made; write its value, or put the text in single quotes"
                self.problems.add(self._where, typed, what)
        return Setting(tuple(map(self._line.restore, words)), self._where) if words else None

    def _read_all(self, name: str, convert: Callable[[str], T]) -> tuple[Setting[T], ...]:
        """Returns the converted values of every occurrence of a flag, in order."""
        flags = [flag for flag in self._flags if flag.name == name]
        return tuple(setting for flag in flags for setting in self._convert_values(flag, [flag.value], convert))

    def _read_last(self, name: str, convert: Callable[[str], T]) -> Setting[T] | None:
        """Returns the converted value of the last occurrence of a flag, which overrides the others."""
        return (self._read_all(name, convert) or (None,))[-1]

    def _convert_values(self, flag: ParsedFlag, values: Iterable[str], convert: Callable[[str], T]) -> Iterator[Setting[T]]:
        """Yields the converted values of one flag. A ValueError of `convert` becomes a problem."""
        where = f"{self._where} {flag.typed}"
        for value in values:
            try:
                yield Setting(convert(value), where)
            except ValueError as error:
                self.problems.add(where, self._line.restore(value), str(error))

    def _require_literal(self, text: str, what: str = "its value") -> str:
        """Returns a text without expansions of the shell.

        Args:
          text: the text.
          what: what to write in place of an expansion, for the message.

        Raises:
          ValueError: the text has an expansion.
        """
        if expansions := self._line.find_expansions(text):
            raise ValueError(f"only a shell can replace {expansions[0]}; write {what}")
        return text

    def _parse_user(self, text: str) -> str:
        return self._require_literal(text, "the numbers that it gives, such as 1000:1000")

    def _parse_boolean(self, text: str) -> bool:
        value = parse_boolean(self._require_literal(text))
        if value is None:
            raise ValueError("must be true or false")
        return value

    def _parse_network(self, text: str) -> str:
        """Returns the mode of a --network: NAME, or name=NAME,alias=...; "" if it is not known."""
        return "" if self._line.find_expansions(text) else text.removeprefix("name=").partition(",")[0]

    def _read_capabilities(self, name: str) -> tuple[Setting[str], ...]:
        """Returns --cap-add or --cap-drop. podman and nerdctl split the value at commas (pflag's StringSlice); Docker does not."""

        def convert(text: str) -> str:
            return parse_capability(self._require_literal(text), self._engine_name)

        capabilities: list[Setting[str]] = []
        for flag in self._flags:
            if flag.name == name:
                values = [flag.value] if self._engine_name == "docker" else flag.value.split(",")
                capabilities += self._convert_values(flag, values, convert)
        return tuple(capabilities)

    def _split_entrypoint(self, text: str) -> tuple[str, ...]:
        """Returns the words of an --entrypoint; an empty one has none.

        Docker takes the value as one word, but splits that of docker service create into words. podman also takes a JSON
        list.
        """
        self._require_literal(text, "the program that it stands for")
        if self._where == "docker service create":
            return tuple(shlex.split(text))
        if self._engine_name == "podman" and text.startswith("["):
            try:
                words = json.loads(text)
            except (ValueError, RecursionError):
                words = None
            if isinstance(words, list) and all(isinstance(word, str) for word in words):
                return tuple(words)
        return (text,) if text else ()

    def _split_variable(self, text: str) -> tuple[str, str | None]:
        """Returns the name and the value of an --env.

        The value is None if the shell or the machine provides it. The name is "" if the shell provides it.
        """
        name, separator, value = text.partition("=")
        is_known = separator and not self._line.find_expansions(value)
        return "" if self._line.find_expansions(name) else name, value if is_known else None

    def _read_other_variables(self) -> Setting[str] | None:
        """Returns the first flag that may set variables that are not known here."""
        for name in ("env-file", "env-host", "unsetenv"):
            if setting := self._read_last(name, self._line.restore):
                return setting
        variables = self._read_all("env", self._split_variable)
        return next((Setting("env", variable.where) for variable in variables if not variable.value[0]), None)

    def _read_no_new_privs(self) -> Setting[bool] | None:
        """Returns the last --security-opt about no_new_privs (moby daemon/daemon_unix.go, parseSecurityOpt)."""
        last = None
        for option in self._read_all("security-opt", lambda text: parse_security_option(text, self._engine_name)):
            last = last if option.value is None else Setting(option.value, option.where)
        return last

    def _split_sysctl(self, text: str) -> tuple[str, str]:
        """Returns the name and the value of a --sysctl."""
        name, _, value = self._line.restore(text).partition("=")
        return name.replace("/", "."), value

    def _check_sysctls(self) -> None:
        """Refuses sysctls of the network together with the host's network.

        runc and podman refuse them too (runc libcontainer/configs/validate).
        """
        network = self._read_last("network", str)
        if network and network.value == "host":
            for sysctl in self._read_all("sysctl", self._line.restore):
                if sysctl.value.startswith("net."):
                    self.problems.add(sysctl.where, sysctl.value, f"not allowed in the host's network namespace: {network.where}")

    def _check_init(self) -> None:
        """Refuses an init that would not be process 1, as podman does (pkg/specgen/generate/container_create.go)."""
        init, pid = self._read_last("init", self._parse_boolean), self._read_last("pid", str)
        if self._engine_name == "podman" and init and init.value and pid and pid.value not in ("", "private"):
            self.problems.add(pid.where, pid.value, f"podman refuses it together with {init.where}")

    def _read_user_namespace(self) -> Setting[str] | None:
        """Returns the mode of the user namespace, which podman also makes for a map of IDs."""
        mode = self._read_last("userns", self._require_literal)
        if mode and self._engine_name != "podman" and mode.value not in ("", "host"):
            self.problems.add(mode.where, mode.value, f'{format_engine_name(self._engine_name)} takes "host" alone')
        maps = [flag for flag in self._flags if flag.name in ("uidmap", "gidmap", "subuidname", "subgidname")]
        if not mode and maps:
            return Setting("private", f"{self._where} {maps[0].typed}")
        return mode if mode and mode.value else None

    def _read_mounts(self) -> tuple[Setting[Mount], ...]:
        """Returns --volume, --mount and --tmpfs, in the order of the command line."""
        parsers: dict[str, Callable[[str], Mount]] = {
            "volume": self._parse_volume,
            "mount": self._parse_mount,
            "tmpfs": lambda text: mounts.parse_tmpfs(self._require_literal(text)),
        }
        flags = [flag for flag in self._flags if flag.name in parsers]
        return tuple(mount for flag in flags for mount in self._convert_values(flag, [flag.value], parsers[flag.name]))

    def _parse_volume(self, text: str) -> Mount:
        """Returns the mount of a --volume, whose source may have expansions of the shell."""
        source, colon, rest = text.partition(":")
        self._require_literal(rest if colon else text, "the path in the container")
        return mounts.parse_volume(("$" if self._line.find_expansions(source) else source) + colon + rest, self._engine_name)

    def _parse_mount(self, text: str) -> Mount:
        """Returns the mount of a --mount, whose source may have expansions of the shell."""
        for field in text.split(","):
            if not re.match("(?i)[\"']?(src|source)=", field):
                self._require_literal(field)
        without = "".join("$" if self._line.find_expansions(character) else character for character in text)
        return mounts.parse_mount(without, self._engine_name)

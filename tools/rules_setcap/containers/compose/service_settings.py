"""Reads the settings of a container from a Compose service and the services that it extends."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from typing import TypeVar

from rules_setcap.containers import mounts
from rules_setcap.containers.compose import dotenv, shellwords
from rules_setcap.containers.compose.interpolation import interpolate
from rules_setcap.containers.security_options import parse_security_option
from rules_setcap.containers.settings import Mount, Setting, Settings, normalize_target, parse_capability
from rules_setcap.diagnostics.errors import InputError, quote
from rules_setcap.documents.yaml_documents import Field

T = TypeVar("T")


def read_text(field: Field, environment: Mapping[str, str]) -> str | None:
    """Returns the text of a field with its variables replaced; None, and a problem of the field, if that is not possible."""
    text = field.text()
    try:
        return None if text is None else interpolate(text, environment)
    except ValueError as error:
        field.problem(str(error))
        return None


class SettingsReader:
    """A reader of the settings of a service; the fields collect the problems.

    The methods that read a key take the chain of services: the service after those that it extends, the last ancestor first.
    """

    def __init__(self, environment: Mapping[str, str], open_file: Callable[[str], bytes], notes: list[str]) -> None:
        """Initializes the reader.

        Args:
          environment: the values of variables.
          open_file: returns the bytes of another file.
          notes: sentences about input that was not read; the reader adds some.
        """
        self._environment = environment
        self._open_file = open_file
        self._notes = notes

    def read_settings(self, name: str, chain: list[Field]) -> Settings:
        """Returns the settings of a service.

        Args:
          name: the name of the service.
          chain: the chain of services.
        """
        image = _find_last(chain, "image")
        environment, other_variables = self._read_variables(chain)
        return Settings(
            where=chain[-1].where,
            engine_name="docker",
            name=name,
            image=Setting(image.scalar() or "", image.where) if image else None,
            user=self._convert(_find_last(chain, "user"), str),
            groups=self._read_groups(chain),
            added=self._convert_members(chain, "cap_add", lambda text: parse_capability(text, "docker")),
            dropped=self._convert_members(chain, "cap_drop", lambda text: parse_capability(text, "docker")),
            privileged=self._read_boolean(_find_last(chain, "privileged")),
            no_new_privs=self._read_no_new_privs(chain),
            entrypoint=self._read_words(_find_last(chain, "entrypoint")),
            command=self._read_words(_find_last(chain, "command")),
            init=self._read_boolean(_find_last(chain, "init")),
            read_only=self._read_boolean(_find_last(chain, "read_only")),
            mounts=self._read_mounts(chain),
            user_namespace=self._convert(_find_last(chain, "userns_mode"), _check_user_namespace),
            environment=environment,
            other_variables=other_variables,
            directory=self._convert(_find_last(chain, "working_dir"), str),
            network=self._convert(_find_last(chain, "network_mode"), str),
            sysctls=self._read_sysctls(chain),
            notes=tuple(self._notes),
        )

    def _read_variables(self, chain: list[Field]) -> tuple[tuple[Setting[tuple[str, str | None]], ...], Setting[str] | None]:
        """Returns the variables of the container, and what may set others.

        The variables of env_file come first, because those of environment override them.
        """
        variables: list[Setting[tuple[str, str | None]]] = []
        others: Setting[str] | None = None
        for field in _find_fields(chain, "env_file"):
            for member in [field] if isinstance(field.node.value, str) else field.items():
                variables_of_file = self._read_env_file(member)
                if variables_of_file is None:
                    others = Setting("env_file", member.where)
                variables += [Setting(variable, member.where) for variable in (variables_of_file or {}).items()]
        for field in _find_fields(chain, "environment"):
            if isinstance(field.node.value, dict):
                members = [(name, field.get(name, null=True)) for name in field.node.value]
                variables += [Setting((name, self._read_value(name, member)), member.where) for name, member in members if member]
                continue
            for member in field.items():
                name, separator, _ = (member.scalar() or "").partition("=")
                value = self._read_value(name, member if separator else None, len(name) + 1)
                variables.append(Setting((name, value), member.where))
        return tuple(variables), others

    def _read_env_file(self, field: Field) -> dict[str, str | None] | None:
        """Returns the variables of a file that a member of env_file names; None if they are not known."""
        path = field if isinstance(field.node.value, str) else field.get("path")
        text = read_text(path, self._environment) if path else None
        if not text or (not isinstance(field.node.value, str) and field.get("format")):
            return None
        name = posixpath.join(posixpath.dirname(field.file), text)
        try:
            return {**dotenv.parse_variables(self._open_file(name), name, self._environment)}
        except (OSError, ValueError, InputError):
            return None

    def _read_value(self, name: str, field: Field | None, begin: int = 0) -> str | None:
        """Returns the value of a variable of the container; None if it is not known.

        Args:
          name: the name of the variable.
          field: the field with the value. A variable without a value has the one of the machine.
          begin: the position in the text of the field where the value begins.
        """
        if not field or field.node.null:
            return self._environment.get(name)
        try:
            return interpolate((field.scalar() or "")[begin:], self._environment)
        except ValueError:
            return None

    def _convert_members(self, chain: list[Field], key: str, convert: Callable[[str], T]) -> tuple[Setting[T], ...]:
        """Returns the converted members of the lists under a key; tmpfs may be a text in place of a list."""
        settings = []
        for field in _find_fields(chain, key):
            is_text = key == "tmpfs" and isinstance(field.node.value, str)
            for member in [field] if is_text else field.items():
                setting = self._convert(member, convert)
                if setting:
                    settings.append(setting)
        return tuple(settings)

    def _read_groups(self, chain: list[Field]) -> tuple[Setting[str], ...]:
        """Returns the members of group_add, names or numbers."""
        groups = []
        for member in (member for field in _find_fields(chain, "group_add") for member in field.items()):
            value = member.node.value
            is_number = isinstance(value, str) and value.isdigit()
            group = Setting(str(value), member.where) if is_number else self._convert(member, str)
            if group:
                groups.append(group)
        return tuple(groups)

    def _read_sysctls(self, chain: list[Field]) -> tuple[Setting[tuple[str, str]], ...]:
        """Returns sysctls, a mapping or a list of NAME=VALUE; a value that is not known is ""."""
        sysctls = []
        for field in _find_fields(chain, "sysctls"):
            if isinstance(field.node.value, dict):
                texts = [(f"{name}={self._read_value(name, member) or ''}", member) for name, member in field.fields().items()]
            else:
                texts = [(self._read_value("", member) or "", member) for member in field.items()]
            for text, member in texts:
                name, _, value = text.partition("=")
                sysctls.append(Setting((name.replace("/", "."), value), member.where))
        return tuple(sysctls)

    def _convert(self, field: Field | None, convert: Callable[[str], T]) -> Setting[T] | None:
        """Returns the converted text of a field. A ValueError of `convert` becomes a problem of the field."""
        text = read_text(field, self._environment) if field else None
        if field and text is not None:
            try:
                return Setting(convert(text), field.where)
            except ValueError as error:
                field.problem(str(error), text)
        return None

    def _read_boolean(self, field: Field | None) -> Setting[bool] | None:
        """Returns a boolean, which may be a text with a variable (compose-go loader/interpolate.go, toBoolean)."""
        if not field or not isinstance(field.node.value, str) or (field.node.plain and "$" not in field.node.value):
            value = field.boolean() if field else None
            return Setting(value, field.where) if field and value is not None else None
        return self._convert(field, _parse_boolean)

    def _read_words(self, field: Field | None) -> Setting[tuple[str, ...]] | None:
        """Returns the words of entrypoint or command: a list, or a text that Compose splits."""
        if not field:
            return None
        if isinstance(field.node.value, str):
            split = self._convert(field, shellwords.split_words)
            if not split:
                return None
            words, rest = split.value
            if rest:
                self._notes.append(f"{split.where}: Compose leaves out what follows {quote(rest[:1])}; quote it, or use sh -c")
            return Setting(words, split.where)
        return Setting(tuple(read_text(word, self._environment) or "" for word in field.items()), field.where)

    def _read_no_new_privs(self, chain: list[Field]) -> Setting[bool] | None:
        """Returns the last member of security_opt about no_new_privs."""
        last = None
        for option in self._convert_members(chain, "security_opt", parse_security_option):
            last = last if option.value is None else Setting(option.value, option.where)
        return last

    def _read_mounts(self, chain: list[Field]) -> tuple[Setting[Mount], ...]:
        """Returns volumes, in the short and the long form, and tmpfs."""
        volumes: list[Setting[Mount]] = []
        for field in _find_fields(chain, "volumes"):
            for member in field.items():
                if isinstance(member.node.value, str):
                    mount = self._convert(member, lambda text: mounts.parse_volume(text, "docker"))
                else:
                    mount = self._read_long_volume(member)
                if mount:
                    volumes.append(mount)
        return (*volumes, *self._convert_members(chain, "tmpfs", mounts.parse_tmpfs))

    def _read_long_volume(self, field: Field) -> Setting[Mount] | None:
        """Returns the mount of a member of volumes in the long form; None if there are problems."""
        kind, path = field.get("type"), field.get("target")
        text = read_text(kind, self._environment) if kind else None
        if not path or not text:
            if not path or not kind:
                field.problem("a volume without " + ("target" if kind else "type"), "")
            return None
        target = self._convert(path, normalize_target)
        return Setting(Mount(target.value, text, True if text == "tmpfs" else None), target.where) if target else None


def _find_fields(chain: list[Field], key: str) -> list[Field]:
    """Returns the fields of a key in a chain of services, in the order of the chain.

    `!reset` and `!override` discard the fields before them (Compose Specification, "Merge").
    """
    fields: list[Field] = []
    for service in chain:
        field = service.get(key, null=True)
        if field and field.node.tag:
            fields.clear()
        if field and not field.node.null and field.node.tag != "!reset":
            fields.append(field)
    return fields


def _find_last(chain: list[Field], key: str) -> Field | None:
    """Returns the last field of a key in a chain of services, which overrides the others."""
    fields = _find_fields(chain, key)
    return fields[-1] if fields else None


def _check_user_namespace(text: str) -> str:
    """Returns a mode of userns_mode.

    Raises:
      ValueError: Docker does not know the mode.
    """
    if text not in ("", "host"):
        raise ValueError('Docker takes "host" alone')
    return text


def _parse_boolean(text: str) -> bool:
    """Returns the boolean that Compose reads from a text.

    Raises:
      ValueError: the text is not a boolean.
    """
    if text.lower() in ("1", "t", "true", "y", "yes", "on"):
        return True
    if text.lower() in ("0", "f", "false", "n", "no", "off"):
        return False
    raise ValueError("must be true or false")

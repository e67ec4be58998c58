"""Services of a Compose file (the Compose Specification, as compose-go reads it)."""

from __future__ import annotations

import difflib
import posixpath
import re
import shlex
from collections.abc import Callable, Mapping

from packer import limits
from packer.errors import InputError, problem, quote
from packer.files import open_regular

from . import mounts
from .docker import security_option
from .documents import Field, load
from .settings import Mount, Said, Settings, capability, target

_MAX_EXTENDS = 32
_TAGS = ("!reset", "!override")

# Of a service: schema/compose-spec.json of compose-go v2.13.
_KEYS = frozenset(
    """
    annotations attach blkio_config build cap_add cap_drop cgroup cgroup_parent command configs container_name cpu_count
    cpu_percent cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpu_shares cpus cpuset credential_spec depends_on deploy
    develop device_cgroup_rules devices dns dns_opt dns_search domainname entrypoint env_file environment expose extends
    external_links extra_hosts gpus group_add healthcheck hostname image init ipc isolation label_file labels links logging
    mac_address mem_limit mem_reservation mem_swappiness memswap_limit models network_mode networks oom_kill_disable
    oom_score_adj pid pids_limit platform ports post_start pre_start pre_stop privileged profiles provider pull_policy
    pull_refresh_after read_only restart runtime scale secrets security_opt shm_size stdin_open stop_grace_period stop_signal
    storage_opt sysctls tmpfs tty ulimits use_api_socket user userns_mode uts volumes volumes_from working_dir
    """.split()
)


def read(
    data: bytes,
    file: str,
    service: str,
    environment: Mapping[str, str] | None = None,
    open_file: Callable[[str], bytes] | None = None,
) -> Settings:
    """What a service says, with what it extends.

    Args:
      data: the file's bytes.
      file: its name, for messages, and for the files that services extend: they are beside it.
      service: the service's name.
      environment: values of variables; those that it lacks need a default.
      open_file: gives the bytes of another file; from the disk if None.

    Raises:
      InputError: with every problem of what the service is made of.
    """
    reader = _Reader(environment or {}, open_file or _from_disk)
    chain = reader.chain(data, file, service)
    settings = reader.settings(service, chain) if chain else None
    if reader.problems or settings is None:
        raise InputError(reader.problems)
    return settings


def _from_disk(path: str) -> bytes:
    """Returns the bytes of a regular file, one more than load() takes at most."""
    with open_regular(path) as file:
        return file.read(limits.YAML + 1)


class _Reader:
    """A service with its ancestors, and what is wrong with them."""

    def __init__(self, environment: Mapping[str, str], open_file: Callable[[str], bytes]) -> None:
        self.environment = environment
        self.open_file = open_file
        self.files: dict[str, Field | None] = {}
        self.problems: dict[str, None] = {}

    def services(self, data: bytes, file: str) -> Field | None:
        """The services of a file."""
        documents = load(data, file, _TAGS)
        if len(documents) != 1:
            self.problems.setdefault(f"{file}: {len(documents) or 'no'} documents; a Compose file has one")
            return None
        self.problems.update(documents[0].problems)
        top = Field(documents[0].node, file, "", self.problems)
        services = top.get("services")
        if not services:
            top.problem("no Compose file: it has no services", "")
        return services

    def chain(self, data: bytes, file: str, name: str) -> list[Field]:
        """The service and what it extends, the last ancestor first."""
        services = self.files[file] = self.services(data, file)
        found: list[Field] = []
        origin = file
        while services and len(found) <= _MAX_EXTENDS:
            service = services.get(name)
            if not service:
                near = difflib.get_close_matches(name[:64], services.fields(), n=1, cutoff=0.6)
                hint = f"did you mean {quote(near[0])}?" if near else "there are " + ", ".join(map(quote, services.fields()))
                self.problems.setdefault(problem(origin, name, "no service of this name; " + hint))
                return []
            self.known(service)
            if any(service.node is other.node for other in found):
                service.problem("extends itself", name)
                return []
            found.insert(0, service)
            extends = service.get("extends")
            if not extends:
                return found
            origin = extends.where
            of, other = (extends, None) if isinstance(extends.node.value, str) else (extends.get("service"), extends.get("file"))
            if not of:
                extends.problem("names no service", "")
                return []
            name = self.text(of) or ""
            if other:
                services = self.other(other, service.file)
        if services:
            self.problems.setdefault(f"{origin}: extends more than {_MAX_EXTENDS} times")
        return []

    def other(self, field: Field, file: str) -> Field | None:
        """The services of another file."""
        text = self.text(field)
        if text is None:
            return None
        path = posixpath.join(posixpath.dirname(file), text)
        if path not in self.files:
            try:
                self.files[path] = self.services(self.open_file(path), path)
            except (OSError, ValueError) as error:
                field.problem(f"cannot be read: {getattr(error, 'strerror', None) or error}")
                return None
        return self.files[path]

    def known(self, service: Field) -> None:
        """Refuses keys that Compose does not know."""
        for key, member in service.fields().items():
            if key not in _KEYS and not key.startswith("x-"):
                near = difflib.get_close_matches(key[:64], sorted(_KEYS), n=1, cutoff=0.6)
                member.problem("unknown key of a service" + (f'; did you mean "{near[0]}"?' if near else ""), key)

    def settings(self, name: str, chain: list[Field]) -> Settings:
        image = self.last(chain, "image")
        return Settings(
            where=chain[-1].where,
            runtime="docker",
            name=name,
            image=Said(image.scalar() or "", image.where) if image else None,
            user=self.said(self.last(chain, "user"), str),
            added=self.all(chain, "cap_add", lambda text: capability(text, "docker")),
            dropped=self.all(chain, "cap_drop", lambda text: capability(text, "docker")),
            privileged=self.boolean(self.last(chain, "privileged")),
            no_new_privs=self.no_new_privs(chain),
            entrypoint=self.words(self.last(chain, "entrypoint")),
            command=self.words(self.last(chain, "command")),
            init=self.boolean(self.last(chain, "init")),
            read_only=self.boolean(self.last(chain, "read_only")),
            mounts=self.mounts(chain),
            user_namespace=self.said(self.last(chain, "userns_mode"), _userns),
            environment=self.variables(chain),
            other_variables=Said("env_file", field.where) if (field := self.last(chain, "env_file")) else None,
            directory=self.said(self.last(chain, "working_dir"), str),
        )

    def variables(self, chain: list[Field]) -> tuple[Said[tuple[str, str | None]], ...]:
        """The variables of environment, a list or a mapping; one without a value has that of the machine."""
        found: list[Said[tuple[str, str | None]]] = []
        for field in self.fields(chain, "environment"):
            if isinstance(field.node.value, dict):
                for name, member in field.fields().items():
                    value = None if member.node.null else member.scalar()
                    found.append(Said((name, value if value is None or "$" not in value else None), member.where))
                continue
            for member in field.items():
                name, separator, value = (member.scalar() or "").partition("=")
                found.append(Said((name, value if separator and "$" not in value else None), member.where))
        return tuple(found)

    def fields(self, chain: list[Field], key: str) -> list[Field]:
        """What the services of a chain say, the last ancestor's first.

        `!reset` and `!override` forget what came before (Compose Specification, "Merge").
        """
        found: list[Field] = []
        for service in chain:
            field = service.get(key, null=True)
            if field and field.node.tag:
                found.clear()
            if field and not field.node.null and field.node.tag != "!reset":
                found.append(field)
        return found

    def last(self, chain: list[Field], key: str) -> Field | None:
        found = self.fields(chain, key)
        return found[-1] if found else None

    def all[T](self, chain: list[Field], key: str, convert: Callable[[str], T]) -> tuple[Said[T], ...]:
        """The members of the lists under a key; a text alone is a list of one where Compose says so."""
        found = []
        for field in self.fields(chain, key):
            one = key == "tmpfs" and isinstance(field.node.value, str)
            for member in [field] if one else field.items():
                said = self.said(member, convert)
                if said:
                    found.append(said)
        return tuple(found)

    def text(self, field: Field) -> str | None:
        """A text with its variables replaced."""
        text = field.text()
        try:
            return None if text is None else interpolate(text, self.environment)
        except ValueError as error:
            field.problem(str(error))
            return None

    def said[T](self, field: Field | None, convert: Callable[[str], T]) -> Said[T] | None:
        """A text that `convert` understands; its ValueError is a problem."""
        text = self.text(field) if field else None
        if field and text is not None:
            try:
                return Said(convert(text), field.where)
            except ValueError as error:
                field.problem(str(error), text)
        return None

    def boolean(self, field: Field | None) -> Said[bool] | None:
        """A boolean, or a text that becomes one (compose-go loader/interpolate.go, toBoolean)."""
        if not field or not isinstance(field.node.value, str) or (field.node.plain and "$" not in field.node.value):
            value = field.boolean() if field else None
            return Said(value, field.where) if field and value is not None else None
        return self.said(field, _boolean)

    def words(self, field: Field | None) -> Said[tuple[str, ...]] | None:
        """entrypoint or command: a list, or a text that is split as a shell would."""
        if not field:
            return None
        if isinstance(field.node.value, str):
            return self.said(field, _split)
        return Said(tuple(self.text(word) or "" for word in field.items()), field.where)

    def no_new_privs(self, chain: list[Field]) -> Said[bool] | None:
        """The last of security_opt that is about it."""
        found = None
        for said in self.all(chain, "security_opt", security_option):
            found = found if said.value is None else Said(said.value, said.where)
        return found

    def mounts(self, chain: list[Field]) -> tuple[Said[Mount], ...]:
        """volumes, short and long, and tmpfs."""
        found: list[Said[Mount]] = []
        for field in self.fields(chain, "volumes"):
            for member in field.items():
                if isinstance(member.node.value, str):
                    said = self.said(member, lambda text: mounts.volume(text, "docker"))
                    found += [said] if said else []
                    continue
                kind, path = member.get("type"), member.get("target")
                of = self.text(kind) if kind else None
                if not path or not of:
                    if not path or not kind:
                        member.problem("a volume without " + ("target" if kind else "type"), "")
                    continue
                mount = self.said(path, target)
                if mount:
                    found.append(Said(Mount(mount.value, of, True if of == "tmpfs" else None), mount.where))
        return (*found, *self.all(chain, "tmpfs", mounts.tmpfs))


def _userns(text: str) -> str:
    if text not in ("", "host"):
        raise ValueError('Docker takes "host" alone')
    return text


def _boolean(text: str) -> bool:
    if text.lower() in ("1", "t", "true", "y", "yes", "on"):
        return True
    if text.lower() in ("0", "f", "false", "n", "no", "off"):
        return False
    raise ValueError("neither true nor false")


def _split(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise ValueError(f"no command: {str(error).lower()}") from None


_NAME = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*", re.ASCII)
_MAX_NESTED = 16


def interpolate(text: str, environment: Mapping[str, str], depth: int = 0) -> str:
    """`text` with $X, ${X}, ${X:-default}, ${X-default}, ${X:+other}, ${X+other} and $$ replaced.

    Raises:
      ValueError: a variable has neither value nor default (Compose would take it for empty, with a
        warning), or something else follows a "$".
    """
    if depth > _MAX_NESTED:
        raise ValueError(f"variables nested deeper than {_MAX_NESTED}")
    found, position = [], 0
    while (dollar := text.find("$", position)) >= 0:
        found.append(text[position:dollar])
        position = dollar + 1
        if text.startswith("$", position):
            found.append("$")
            position += 1
            continue
        braced = text.startswith("{", position)
        name = _NAME.match(text, position + braced)
        if not name:
            raise ValueError('"$" begins a variable; write "$$" for itself')
        position = name.end()
        rest = ""
        if braced:
            end = _closing(text, position)
            rest, position = text[position:end], end + 1
        found.append(_value(name[0], rest, environment, depth))
    return "".join(found) + text[position:]


def _closing(text: str, position: int) -> int:
    """Where the brace that is open at `position` closes."""
    level = 1
    for at in range(position, len(text)):
        if text[at] == "}":
            level -= 1
            if level == 0:
                return at
        elif text.startswith("${", at):
            level += 1
    raise ValueError('"${" without "}"')


def _value(name: str, rest: str, environment: Mapping[str, str], depth: int) -> str:
    """What stands for a variable, with what follows its name in braces."""
    value = environment.get(name)
    empty = rest.startswith(":")
    operator, word = rest[empty : empty + 1], rest[empty + 1 :]
    if rest and operator not in ("-", "?", "+"):
        raise ValueError(f"{quote('${' + name + rest[:40] + '}')} is no variable; write it as ${{{name}:-default}}")
    is_set = value is not None and not (empty and value == "")
    if operator == "+":
        return interpolate(word, environment, depth + 1) if is_set else ""
    if is_set and value is not None:
        return value
    if operator == "-":
        return interpolate(word, environment, depth + 1)
    raise ValueError(f"the variable {name} has no value here; give it one, or a default: ${{{name}:-default}}")

"""Reads the services of a Compose file (the Compose Specification, as compose-go reads it)."""

from __future__ import annotations

import difflib
import posixpath
from collections.abc import Callable, Mapping

from rules_setcap.containers import mounts
from rules_setcap.containers.compose import dotenv, project, shellwords
from rules_setcap.containers.compose.interpolation import interpolate
from rules_setcap.containers.security_options import parse_security_option
from rules_setcap.containers.settings import Mount, Setting, Settings, normalize_target, parse_capability
from rules_setcap.containers.yaml_documents import Field, load
from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import InputError, problem, quote
from rules_setcap.diagnostics.files import open_regular

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


def read_service(
    data: bytes,
    file: str,
    service: str,
    environment: Mapping[str, str] | None = None,
    open_file: Callable[[str], bytes] | None = None,
) -> Settings:
    """Reads a service, with what it extends.

    Variables have their values from the environment, and else from the file .env beside the Compose file, or those that
    COMPOSE_ENV_FILES names.

    Args:
      data: the file's bytes.
      file: its name, for messages, and for the files that services extend: they are beside it.
      service: the service's name.
      environment: values of variables, as a shell has them.
      open_file: gives the bytes of another file; from the disk if None.

    Raises:
      InputError: with every problem of what the service is made of.
    """
    reader = _Reader(project.read_project(file, environment or {}, open_file or _from_disk), open_file or _from_disk)
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
    """A service with its ancestors, and their problems."""

    def __init__(self, of: project.Project, open_file: Callable[[str], bytes]) -> None:
        self.environment = of.environment
        self.notes = list(of.notes)
        self.open_file = open_file
        self.files: dict[str, Field | None] = {}
        self.includes = False
        self.problems = dict.fromkeys(of.problems)

    def services(self, data: bytes, file: str) -> Field | None:
        """Returns the services of a file."""
        documents = load(data, file, _TAGS)
        if len(documents) != 1:
            self.problems.setdefault(f"{file}: {len(documents) or 'no'} documents; a Compose file has one")
            return None
        self.problems.update(documents[0].problems)
        top = Field(documents[0].node, file, "", self.problems)
        services = top.get("services")
        self.includes = self.includes or bool(top.get("include"))
        if not services:
            top.problem("no Compose file: it has no services", "")
        return services

    def chain(self, data: bytes, file: str, name: str) -> list[Field]:
        """Returns the service and what it extends, the last ancestor first."""
        services = self.files[file] = self.services(data, file)
        found: list[Field] = []
        origin = file
        while services and len(found) <= _MAX_EXTENDS:
            service = services.get(name)
            if not service:
                near = difflib.get_close_matches(name[:64], services.fields(), n=1, cutoff=0.6)
                hint = f"did you mean {quote(near[0])}?" if near else "there are " + ", ".join(map(quote, services.fields()))
                hint += "; files under include are not read: give the one that has the service" if self.includes else ""
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
        """Returns the services of another file."""
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
        environment, other_variables = self.variables(chain)
        return Settings(
            where=chain[-1].where,
            engine_name="docker",
            name=name,
            image=Setting(image.scalar() or "", image.where) if image else None,
            user=self.said(self.last(chain, "user"), str),
            groups=self.groups(chain),
            added=self.all(chain, "cap_add", lambda text: parse_capability(text, "docker")),
            dropped=self.all(chain, "cap_drop", lambda text: parse_capability(text, "docker")),
            privileged=self.boolean(self.last(chain, "privileged")),
            no_new_privs=self.no_new_privs(chain),
            entrypoint=self.words(self.last(chain, "entrypoint")),
            command=self.words(self.last(chain, "command")),
            init=self.boolean(self.last(chain, "init")),
            read_only=self.boolean(self.last(chain, "read_only")),
            mounts=self.mounts(chain),
            user_namespace=self.said(self.last(chain, "userns_mode"), _userns),
            environment=environment,
            other_variables=other_variables,
            directory=self.said(self.last(chain, "working_dir"), str),
            network=self.said(self.last(chain, "network_mode"), str),
            sysctls=self.sysctls(chain),
            notes=tuple(self.notes),
        )

    def variables(self, chain: list[Field]) -> tuple[tuple[Setting[tuple[str, str | None]], ...], Setting[str] | None]:
        """Returns the variables of the container, and what may set others: those of env_file, and over them those of environment."""
        found: list[Setting[tuple[str, str | None]]] = []
        others: Setting[str] | None = None
        for field in self.fields(chain, "env_file"):
            for member in [field] if isinstance(field.node.value, str) else field.items():
                read = self.variables_of(member)
                if read is None:
                    others = Setting("env_file", member.where)
                found += [Setting(variable, member.where) for variable in (read or {}).items()]
        for field in self.fields(chain, "environment"):
            if isinstance(field.node.value, dict):
                members = [(name, field.get(name, null=True)) for name in field.node.value]
                found += [Setting((name, self.value(name, member)), member.where) for name, member in members if member]
                continue
            for member in field.items():
                name, separator, _ = (member.scalar() or "").partition("=")
                found.append(Setting((name, self.value(name, member if separator else None, len(name) + 1)), member.where))
        return tuple(found), others

    def variables_of(self, field: Field) -> dict[str, str | None] | None:
        """Returns the variables of a file that env_file names; None if they are not known."""
        path = field if isinstance(field.node.value, str) else field.get("path")
        text = self.text(path) if path else None
        if not text or (not isinstance(field.node.value, str) and field.get("format")):
            return None
        name = posixpath.join(posixpath.dirname(field.file), text)
        try:
            return {**dotenv.parse_variables(self.open_file(name), name, self.environment)}
        except (OSError, ValueError, InputError):
            return None

    def value(self, name: str, field: Field | None, begin: int = 0) -> str | None:
        """Returns the value of a variable of the container: of one without a value, that of the machine; None if not known."""
        if not field or field.node.null:
            return self.environment.get(name)
        try:
            return interpolate((field.scalar() or "")[begin:], self.environment)
        except ValueError:
            return None

    def fields(self, chain: list[Field], key: str) -> list[Field]:
        """Returns the fields of a key in the services of a chain, the last ancestor's first.

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

    def all[T](self, chain: list[Field], key: str, convert: Callable[[str], T]) -> tuple[Setting[T], ...]:
        """Returns the members of the lists under a key; a text alone is a list of one where Compose says so."""
        found = []
        for field in self.fields(chain, key):
            one = key == "tmpfs" and isinstance(field.node.value, str)
            for member in [field] if one else field.items():
                said = self.said(member, convert)
                if said:
                    found.append(said)
        return tuple(found)

    def groups(self, chain: list[Field]) -> tuple[Setting[str], ...]:
        """The members of group_add, names or numbers."""
        found = []
        for member in (member for field in self.fields(chain, "group_add") for member in field.items()):
            value = member.node.value
            said = Setting(value, member.where) if isinstance(value, str) and value.isdigit() else self.said(member, str)
            if said:
                found.append(said)
        return tuple(found)

    def sysctls(self, chain: list[Field]) -> tuple[Setting[tuple[str, str]], ...]:
        """Returns sysctls, a mapping or a list of NAME=VALUE; a value that is not known is ""."""
        found = []
        for field in self.fields(chain, "sysctls"):
            if isinstance(field.node.value, dict):
                texts = [(f"{name}={self.value(name, member) or ''}", member) for name, member in field.fields().items()]
            else:
                texts = [(self.value("", member) or "", member) for member in field.items()]
            for text, member in texts:
                name, _, value = text.partition("=")
                found.append(Setting((name.replace("/", "."), value), member.where))
        return tuple(found)

    def text(self, field: Field) -> str | None:
        """Returns a text with its variables replaced."""
        text = field.text()
        try:
            return None if text is None else interpolate(text, self.environment)
        except ValueError as error:
            field.problem(str(error))
            return None

    def said[T](self, field: Field | None, convert: Callable[[str], T]) -> Setting[T] | None:
        """Returns a text that `convert` understands; its ValueError is a problem."""
        text = self.text(field) if field else None
        if field and text is not None:
            try:
                return Setting(convert(text), field.where)
            except ValueError as error:
                field.problem(str(error), text)
        return None

    def boolean(self, field: Field | None) -> Setting[bool] | None:
        """Returns a boolean, also of a text that becomes one (compose-go loader/interpolate.go, toBoolean)."""
        if not field or not isinstance(field.node.value, str) or (field.node.plain and "$" not in field.node.value):
            value = field.boolean() if field else None
            return Setting(value, field.where) if field and value is not None else None
        return self.said(field, _boolean)

    def words(self, field: Field | None) -> Setting[tuple[str, ...]] | None:
        """Returns the words of entrypoint or command: a list, or a text that Compose splits."""
        if not field:
            return None
        if isinstance(field.node.value, str):
            said = self.said(field, shellwords.split_words)
            if said and said.value[1]:
                self.notes.append(f"{said.where}: Compose leaves out what follows {quote(said.value[1][:1])}; quote it, or use sh -c")
            return Setting(said.value[0], said.where) if said else None
        return Setting(tuple(self.text(word) or "" for word in field.items()), field.where)

    def no_new_privs(self, chain: list[Field]) -> Setting[bool] | None:
        """Returns the last of security_opt that is about it."""
        found = None
        for said in self.all(chain, "security_opt", parse_security_option):
            found = found if said.value is None else Setting(said.value, said.where)
        return found

    def mounts(self, chain: list[Field]) -> tuple[Setting[Mount], ...]:
        """Returns volumes, short and long, and tmpfs."""
        found: list[Setting[Mount]] = []
        for field in self.fields(chain, "volumes"):
            for member in field.items():
                if isinstance(member.node.value, str):
                    said = self.said(member, lambda text: mounts.parse_volume(text, "docker"))
                    found += [said] if said else []
                    continue
                kind, path = member.get("type"), member.get("target")
                of = self.text(kind) if kind else None
                if not path or not of:
                    if not path or not kind:
                        member.problem("a volume without " + ("target" if kind else "type"), "")
                    continue
                mount = self.said(path, normalize_target)
                if mount:
                    found.append(Setting(Mount(mount.value, of, True if of == "tmpfs" else None), mount.where))
        return (*found, *self.all(chain, "tmpfs", mounts.parse_tmpfs))


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

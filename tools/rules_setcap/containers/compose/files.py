"""Reads a service of a Compose file, with the services that it extends (the Compose Specification, as compose-go reads it)."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping

from rules_setcap.containers.compose import project
from rules_setcap.containers.compose.service_settings import SettingsReader, read_text
from rules_setcap.containers.settings import Settings
from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import InputError, format_problem, quote
from rules_setcap.diagnostics.files import open_regular
from rules_setcap.diagnostics.suggestions import find_closest, suggest
from rules_setcap.documents.yaml_documents import Field, parse_documents

_MAX_EXTENDS = 32
_TAGS = ("!reset", "!override")

# The keys of a service: schema/compose-spec.json of compose-go v2.13.
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
    """Reads the settings of a service, with those of the services that it extends.

    Variables have their values from the environment, and otherwise from the file .env beside the Compose file, or from the
    files that COMPOSE_ENV_FILES names.

    Args:
      data: the bytes of the Compose file.
      file: its name, for messages, and to find the files beside it that services extend.
      service: the name of the service.
      environment: the values of variables in the shell.
      open_file: returns the bytes of another file; None to read from the disk.

    Raises:
      InputError: the service, or one that it extends, is not valid; the error has every problem.
    """
    open_file = open_file or _read_from_disk
    context = project.read_project(file, environment or {}, open_file)
    finder = _ServiceFinder(context, open_file)
    chain = finder.find_chain(data, file, service)
    settings = None
    if chain:
        notes = list(context.notes)
        settings = SettingsReader(context.environment, open_file, notes).read_settings(service, chain)
    if finder.problems or settings is None:
        raise InputError(finder.problems)
    return settings


def _read_from_disk(path: str) -> bytes:
    """Returns the bytes of a regular file, at most one more than parse_documents() accepts."""
    with open_regular(path) as file:
        return file.read(limits.YAML + 1)


class _ServiceFinder:
    """A finder of a service and of the services that it extends.

    Attributes:
      problems: the problems of the files, and of all fields in them, in order.
    """

    def __init__(self, context: project.Project, open_file: Callable[[str], bytes]) -> None:
        self.problems = dict.fromkeys(context.problems)
        self._environment = context.environment
        self._open_file = open_file
        self._services_by_file: dict[str, Field | None] = {}
        self._has_includes = False

    def find_chain(self, data: bytes, file: str, name: str) -> list[Field]:
        """Returns the service after the services that it extends, the last ancestor first; [] if there are problems."""
        services = self._services_by_file[file] = self._load_services(data, file)
        chain: list[Field] = []
        origin = file
        while services and len(chain) <= _MAX_EXTENDS:
            service = services.get(name)
            if not service:
                self._report_missing(origin, name, services)
                return []
            _check_keys(service)
            if any(service.node is other.node for other in chain):
                service.problem("extends itself", name)
                return []
            chain.insert(0, service)
            extends = service.get("extends")
            if not extends:
                return chain
            origin = extends.where
            is_text = isinstance(extends.node.value, str)
            parent, parent_file = (extends, None) if is_text else (extends.get("service"), extends.get("file"))
            if not parent:
                extends.problem("has no service", "")
                return []
            name = read_text(parent, self._environment) or ""
            if parent_file:
                services = self._load_other_file(parent_file, service.file)
        if services:
            self.problems.setdefault(f"{origin}: extends more than {_MAX_EXTENDS} times")
        return []

    def _load_services(self, data: bytes, file: str) -> Field | None:
        """Returns the services of a file; None if there are problems."""
        documents = parse_documents(data, file, _TAGS)
        if len(documents) != 1:
            self.problems.setdefault(f"{file}: {len(documents) or 'no'} documents; a Compose file has one")
            return None
        self.problems.update(documents[0].problems)
        top = Field(documents[0].node, file, "", self.problems)
        services = top.get("services")
        self._has_includes = self._has_includes or bool(top.get("include"))
        if not services:
            top.problem("not a Compose file: it has no services", "")
        return services

    def _load_other_file(self, field: Field, file: str) -> Field | None:
        """Returns the services of the file that a field names, relative to the file of the field; None if there are problems."""
        text = read_text(field, self._environment)
        if text is None:
            return None
        path = posixpath.join(posixpath.dirname(file), text)
        if path not in self._services_by_file:
            try:
                self._services_by_file[path] = self._load_services(self._open_file(path), path)
            except (OSError, ValueError) as error:
                field.problem(f"cannot be read: {getattr(error, 'strerror', None) or error}")
                return None
        return self._services_by_file[path]

    def _report_missing(self, origin: str, name: str, services: Field) -> None:
        """Adds the problem of a service that does not exist.

        Args:
          origin: the place that names the service.
          name: its name.
          services: the services that exist.
        """
        names = services.fields()
        closest = find_closest(name, names)
        hint = f"did you mean {quote(closest)}?" if closest else "there are " + ", ".join(map(quote, names))
        hint += "; files under include are not read: give the one that has the service" if self._has_includes else ""
        self.problems.setdefault(format_problem(origin, name, "no service of this name; " + hint))


def _check_keys(service: Field) -> None:
    """Adds a problem for each key of a service that Compose does not know."""
    for key, member in service.fields().items():
        if key not in _KEYS and not key.startswith("x-"):
            member.problem("unknown key of a service" + suggest(key, sorted(_KEYS)), key)

"""Reads the context of a Compose file: the variables of .env, and which other files Compose would read."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rules_setcap.containers.compose import dotenv
from rules_setcap.diagnostics.errors import InputError, quote
from rules_setcap.diagnostics.problems import Problems

# The files that Compose reads by default. The second kind overrides the first: compose-go cli/options.go.
_NAMES = frozenset(("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"))
_OVERRIDES = ("compose.override.yml", "compose.override.yaml", "docker-compose.override.yml", "docker-compose.override.yaml")
_MAX_NAMES = 20


@dataclass(frozen=True)
class Project:
    """The context of a Compose file.

    Attributes:
      environment: the values of variables, from the shell, and otherwise from .env.
      notes: sentences about files that Compose would read and that were not read.
      problems: the problems of the files of variables.
    """

    environment: Mapping[str, str]
    notes: tuple[str, ...]
    problems: tuple[str, ...]


def read_project(file: str, environment: Mapping[str, str], open_file: Callable[[str], bytes]) -> Project:
    """Reads the context of a Compose file.

    https://docs.docker.com/compose/how-tos/environment-variables/envvars/ lists the variables that change what is read.

    Args:
      file: the name of the Compose file; the other files are beside it.
      environment: the variables of the shell, which override those of files.
      open_file: returns the bytes of another file.
    """
    variables = dict(environment)
    problems = Problems()
    named = variables.get("COMPOSE_ENV_FILES", "")
    directory = posixpath.dirname(file)
    for path in named.split(",")[:_MAX_NAMES] if named else [posixpath.join(directory, ".env")]:
        try:
            variables = {**variables, **dotenv.parse_variables(open_file(path), path, environment), **environment}
        except InputError as error:
            problems.extend(error.problems)
        except (OSError, ValueError) as error:
            if named or not isinstance(error, FileNotFoundError):
                problems.add_message(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}")
    return Project(variables, tuple(_list_unread_files(file, variables, open_file)), tuple(problems))


def _list_unread_files(file: str, variables: Mapping[str, str], open_file: Callable[[str], bytes]) -> list[str]:
    """Returns a note for each Compose file that Compose would read together with a file."""
    directory, base = posixpath.split(file)
    if files := variables.get("COMPOSE_FILE"):
        separator = variables.get("COMPOSE_PATH_SEPARATOR") or ":"
        others = [name for name in files.split(separator) if name and posixpath.basename(name) != base]
        return [f"COMPOSE_FILE names {quote(name)} too, which is not read here" for name in others[:_MAX_NAMES]]
    paths = [posixpath.join(directory, name) for name in _OVERRIDES] if base in _NAMES else []
    return [
        f"{name} is not read here: docker compose reads it over {file}, unless -f names the files"
        for name in paths
        if _can_read(name, open_file)
    ]


def _can_read(path: str, open_file: Callable[[str], bytes]) -> bool:
    try:
        open_file(path)
    except (OSError, ValueError, InputError):
        return False
    return True

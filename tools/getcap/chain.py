"""The programs that a container executes, one after the other, until the one that it is about."""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from packer.errors import InputError, problem, quote
from runtimes.settings import Mount, Said, Settings

from . import images

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # Of runtimes, where the image has none.
_MAX_HOPS = 8
_MAX_INTERPRETERS = 5  # exec_binprm, fs/exec.c.
_SHELLS = frozenset("ash bash busybox dash sh".split())
# Programs that execute what follows their options; these options take a word each.
_WRAPPERS = {
    "catatonit": "",
    "docker-init": "peE",
    "dumb-init": "r",
    "env": "uSC",
    "nice": "n",
    "stdbuf": "ioe",
    "tini": "pe",
    "tini-static": "pe",
}
_OPERATORS = frozenset("|&;<>()$`\n")


@dataclass(frozen=True)
class Hop:
    """One execve(2).

    Attributes:
      path: of the file whose capabilities count.
      file: that file, as the image has it.
      script: the path of the script that it interprets; else "".
      mount: what hides the image's file; None if nothing does.
    """

    path: str
    file: images.File
    script: str = ""
    mount: Said[Mount] | None = None


def hops(image: images.Image, settings: Settings, program: str = "") -> list[Hop]:
    """What is executed, the last one being what the container is about.

    Args:
      image: of which entrypoint, cmd, env and working directory are taken.
      settings: what changes them.
      program: the last one, where it cannot be told from the command line; "" if it can.

    Raises:
      InputError: there is no such program in the image.
    """
    config = image.config.get("config") or {}
    argv: Sequence[str] = settings.argv(_strings(config, "Entrypoint"), _strings(config, "Cmd"))
    if not argv and not program:
        name = settings.image.value if settings.image else ""
        raise InputError([problem("image", name, "neither it nor the command names a program; write --program")])
    finder = _Finder(image, settings, config)
    found: list[Hop] = []
    if settings.init and settings.init.value:
        found.append(Hop("the runtime's init", images.File("", None, 0, 0, 0o755, "")))
    words = list(argv)
    while words and len(found) < _MAX_HOPS:
        hop = finder.hop(words[0])
        found.append(hop)
        words = _next(finder, hop, words)
    if program and (not found or program not in (found[-1].path, found[-1].script)):
        found.append(finder.hop(program))
    return found


class _Finder:
    """Programs by the names that people call them."""

    def __init__(self, image: images.Image, settings: Settings, config: Mapping[str, object]) -> None:
        self._image, self._settings = image, settings
        directory = config.get("WorkingDir")
        self._directory = "/" + directory if isinstance(directory, str) else "/"
        environment = dict(each.partition("=")[::2] for each in _strings(config, "Env"))
        self._path = environment.get("PATH", _PATH).split(":")[:64]

    def path(self, name: str) -> str:
        """Where a program is; "" if nowhere."""
        folders = [self._directory] if "/" in name else self._path
        for folder in folders:
            path = posixpath.normpath(posixpath.join(folder, name))
            path = "/" + path.lstrip("/")
            if self._image.file(path) is not None:
                return path
        return ""

    def hop(self, name: str) -> Hop:
        """What executes it."""
        path, script = self.path(name), ""
        for _ in range(_MAX_INTERPRETERS):
            file = self._image.file(path) if path else None
            if file is None:
                what = f"no such program in the image{', as the interpreter of ' + quote(script) if script else ''}"
                if over := self._settings.mounted_over(posixpath.normpath(posixpath.join(self._directory, name))):
                    what += f"; it may be in the mount of {over.where}, which is not known here"
                raise InputError([problem("program", name, what)])
            if not file.mode & 0o111:
                raise InputError([problem("program", name, "has no execute permission")])
            if not file.interpreter:
                return Hop(file.path, file, script, self._settings.mounted_over(file.path))
            script, name = script or file.path, file.interpreter
            path = name if name.startswith("/") else ""
        raise InputError([problem("program", script, "scripts that are each other's interpreters")])


def _next(finder: _Finder, hop: Hop, words: list[str]) -> list[str]:
    """What a program executes in turn, as far as its arguments say."""
    name = posixpath.basename(words[0])
    if name in _WRAPPERS:
        return _after_options(words[1:], _WRAPPERS[name], name == "env")
    if posixpath.basename(hop.path) in _SHELLS:
        rest = words[1:]
        if not hop.script and len(rest) > 1 and rest[0] in ("-c", "-ec", "-lc", "-exc"):
            return _command(rest[1])
        # An entrypoint script ends with exec "$@", as people write them.
        if hop.script and rest and finder.path(rest[0]):
            return rest
    return []


def _after_options(words: list[str], with_value: str, variables: bool) -> list[str]:
    while words:
        word = words[0]
        if word == "--":
            return words[1:]
        if word.startswith("-"):
            words = words[2 if len(word) == 2 and word[1] in with_value else 1 :]
        elif variables and "=" in word:
            words = words[1:]
        else:
            return words
    return []


def _command(text: str) -> list[str]:
    """A shell's command, if it is a single one."""
    if len(text) > 1 << 16 or _OPERATORS & set(text):
        return []
    try:
        words = shlex.split(text)
    except ValueError:
        return []
    while words and (words[0] == "exec" or "=" in words[0]):
        words = words[1:]
    return words


def _strings(config: Mapping[str, object], name: str) -> list[str]:
    value = config.get(name) or []
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise InputError([problem("image", name, "no list of texts in the image's config")])
    return value

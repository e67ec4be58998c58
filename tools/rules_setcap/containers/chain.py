"""Follows the programs that a container executes, one after the other, with the credentials that each has."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rules_setcap.capabilities import execve
from rules_setcap.capabilities.credentials import DeniedError
from rules_setcap.containers import loader
from rules_setcap.containers.container import Container, strings
from rules_setcap.containers.process import Process
from rules_setcap.containers.programs import table
from rules_setcap.containers.programs.model import Call, Fails, Lost, Next, Word
from rules_setcap.containers.settings import Mount, Said, Settings
from rules_setcap.diagnostics.errors import InputError, escape, problem, quote
from rules_setcap.oci.image_reader import File, Image

_MAX_HOPS = 16
_MAX_INTERPRETERS = 5  # exec_binprm, fs/exec.c.
_REFERENCE = re.compile(r"(?<!\$)\$\([A-Za-z_.-][A-Za-z0-9_.-]*\)")  # Of a variable, in command and args of Kubernetes.


@dataclass(frozen=True)
class Hop:
    """One execve(2).

    Attributes:
      path: of the file whose capabilities count.
      file: that file, as the image has it.
      before: the process that executes it.
      outcome: what the kernel makes of that process.
      script: the path of the script that it interprets, or of the program that it loads; else "".
      loaded: whether `script` is a program that the dynamic loader loads.
      mount: the mount that hides the image's file; None if there is none.
    """

    path: str
    file: File
    before: execve.Process
    outcome: execve.Outcome
    script: str = ""
    loaded: bool = False
    mount: Said[Mount] | None = None

    @property
    def name(self) -> str:
        """What messages call it: the script rather than its interpreter, escaped."""
        return escape(self.script or self.path)


@dataclass(frozen=True)
class Chain:
    """The programs of a container.

    Attributes:
      hops: in order; the last is the one that the container is about, unless `lost` or `failed` says otherwise.
      lost: why it is not known what the last of `hops` executes; "" if it is.
      failed: why the last of `hops` stops before it executes the next program; "" if it does not.
      needs: the capabilities, as a mask, without which it fails.
      named: whether the last of `hops` is there because somebody named it: it is not known that the one before executes it.
    """

    hops: tuple[Hop, ...]
    lost: str = ""
    failed: str = ""
    needs: int = 0
    named: bool = False

    @property
    def after(self) -> execve.Process | None:
        """The last process; None if its execve fails, or a program fails before."""
        return None if self.failed else self.hops[-1].outcome.process


def follow(image: Image, settings: Settings, before: Process, program: str = "") -> Chain:
    """Follows the programs of a container.

    Args:
      image: the image.
      settings: what the runtime is told.
      before: the process that executes the first program.
      program: the path of the program that the container is about; "" to find it.

    Raises:
      InputError: the image has no such program, or the command line names none.
    """
    return _Follower(image, settings, before, program).follow()


class _Follower:
    def __init__(self, image: Image, settings: Settings, before: Process, program: str) -> None:
        self._image, self._settings, self._program = image, settings, program
        self._container = Container(image, settings)
        self._state = self._container.start(before)
        self._hops: list[Hop] = []
        self._needs = 0

    def follow(self) -> Chain:
        config = self._container.config
        argv: Sequence[Word] = self._settings.argv(strings(config, "Entrypoint"), strings(config, "Cmd"))
        if self._settings.form == "kubernetes":
            argv = [word if at == 0 or word is None or not _REFERENCE.search(word) else None for at, word in enumerate(argv)]
        if not argv and not self._program:
            name = self._settings.image.value if self._settings.image else ""
            raise InputError([problem("image", name, "neither it nor the command names a program; write --program")])
        if self._settings.init and self._settings.init.value:
            self._add("the runtime's init", File("", None, 0, 0, 0o755, ""))
        lost = failed = ""
        if argv:
            lost, failed = self._follow(argv)
        named = False
        if self._program and not failed and self._alive() and not self._is_named():
            self._execute_named()
            lost, named = "", len(self._hops) > 1
        if self._is_named():
            lost = ""
        failed = failed or loader.failure(self._image, self._hops[-1])
        return Chain(tuple(self._hops), "" if failed else lost, failed, self._needs, named)

    def _alive(self) -> bool:
        return not self._hops or self._hops[-1].outcome.process is not None

    def _is_named(self) -> bool:
        return bool(self._program) and bool(self._hops) and self._program in (self._hops[-1].path, self._hops[-1].script)

    def _follow(self, argv: Sequence[Word]) -> tuple[str, str]:
        """Follows programs up to one that executes no other; returns why it went no further: lost, failed."""
        path = self._first(argv)
        start = len(self._hops)
        while True:
            if len(self._hops) - start >= _MAX_HOPS:
                return f"there are more than {_MAX_HOPS} programs", ""
            try:
                argv, script = self._hop(path, argv)
            except InputError:
                if len(self._hops) == start:
                    raise
                return f"executes {quote(argv[0] or '')}, which the image does not have as a program", ""
            if not self._alive() or self._is_named():
                return "", ""
            hop = self._hops[-1]
            if failure := loader.failure(self._image, hop):
                return "", failure
            try:
                following = self._next(hop, argv, script)
                if following is not None and following.loaded:
                    hop = self._load(following)
                    if self._is_named():
                        return "", ""
                    following = self._next(hop, following.argv, hop.script)
                if following is None:
                    return "", ""
                self._state = following.state
                argv = following.argv
                name = following.file or argv[0]
                if name is None:
                    raise Lost("executes a program that is not known here")
                path = self._container.find(name, self._state)
                if not path:
                    raise Lost(f"executes {quote(name)}, which the image does not have")
            except Lost as error:
                return str(error), ""
            except Fails as error:
                return "", f"{hop.name} fails: {error}"
            except DeniedError as error:
                self._needs = 0 if error.capability is None else 1 << error.capability
                return "", f"{hop.name} fails: {error.call} is not permitted (EPERM)"

    def _next(self, hop: Hop, argv: Sequence[Word], script: str) -> Next | None:
        model = table.model_of(hop.script if hop.loaded else hop.path, argv[0] or "")
        if hop.mount and model:
            raise Lost(f"is hidden by a mount ({hop.mount.where})")
        if model:
            return model(Call(argv, self._state, self._container, script or hop.path, hop.file.loader))
        # A program that is not known may be a wrapper of one that it is given.
        for word in argv[1:]:
            if word and not word.startswith("-"):
                try:
                    path = self._container.find(word, self._state)
                except Lost:
                    continue
                file = self._image.file(path) if path else None
                if file and file.capabilities and file.mode & 0o111 and file.path != hop.path:
                    raise Lost(f"is not a program that is known here, and may execute its argument {quote(word)}")
        return None

    def _first(self, argv: Sequence[Word]) -> str:
        name = argv[0] or ""
        try:
            return self._found(name)
        except Lost as error:
            raise InputError([problem("program", name, f"cannot be found: the container {error}")]) from None

    def _found(self, name: str) -> str:
        path = self._container.find(name, self._state)
        if not path:
            what = "no such program in the image"
            if over := self._settings.mounted_over(posixpath.normpath(posixpath.join(self._state.directory, name))):
                what += f"; it may be in the mount of {over.where}, which is not known here"
            raise InputError([problem("program", name, what)])
        return path

    def _execute_named(self) -> None:
        try:
            path = self._found(self._program)
        except Lost:
            path = self._program
        self._hop(path, [self._program])

    def _hop(self, path: str, argv: Sequence[Word]) -> tuple[Sequence[Word], str]:
        """Adds the execution of a file; returns the words that the program gets, and the script that it interprets."""
        root = self._state.root
        script, called = "", path.removeprefix(root)
        for _ in range(_MAX_INTERPRETERS):
            file = self._image.file(path)
            if file is None:
                what = "no such program in the image" + (f", as the interpreter of {quote(script)}" if script else "")
                raise InputError([problem("program", path, what)])
            if not file.mode & 0o111:
                raise InputError([problem("program", path, "has no execute permission")])
            if not file.interpreter:
                self._add(file.path, file, script)
                return argv, called if script else ""
            argv = [file.interpreter, *([file.argument] if file.argument else []), path.removeprefix(root), *argv[1:]]
            script = script or file.path
            path = root + posixpath.join(self._state.directory, file.interpreter)
        raise InputError([problem("program", script, "scripts that are each other's interpreters")])

    def _add(self, path: str, file: File, script: str = "") -> None:
        mount = self._settings.mounted_over(path) if path.startswith("/") else None
        nosuid = bool(mount and mount.value.nosuid)
        executed = execve.File(file.capabilities, file.uid, file.gid, file.mode, nosuid)
        before = self._state.process
        outcome = execve.execve(before, executed)
        self._hops.append(Hop(path, file, before, outcome, script, mount=mount))
        if outcome.process is not None:
            self._state = replace(self._state, process=outcome.process)

    def _load(self, following: Next) -> Hop:
        """Notes the program that the dynamic loader loads; its own file is not executed."""
        name = posixpath.normpath(posixpath.join(self._state.directory, following.file))
        file = self._image.file(self._state.root + name)
        if file is None:
            raise Lost(f"loads {quote(name)}, which the image does not have")
        self._hops[-1] = replace(self._hops[-1], script=file.path, loaded=True)
        return self._hops[-1]

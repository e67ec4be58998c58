"""Follows the programs that a container executes, one after the other, and computes the credentials of each."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from dataclasses import replace

from rules_setcap.capabilities import execve
from rules_setcap.capabilities.credentials import DeniedError
from rules_setcap.containers.chain import Chain, Hop
from rules_setcap.containers.container_system import ContainerSystem, read_texts
from rules_setcap.containers.loader import find_start_failure
from rules_setcap.containers.process import InitialProcess
from rules_setcap.containers.program_model import Argument, Call, Execution, NotFollowed, ProgramFails
from rules_setcap.containers.programs.table import find_model
from rules_setcap.containers.settings import Settings
from rules_setcap.diagnostics.errors import InputError, format_problem, quote
from rules_setcap.oci.image_reader import File, Image

_MAX_HOPS = 16
_MAX_INTERPRETERS = 5  # exec_binprm, fs/exec.c.
_REFERENCE = re.compile(r"(?<!\$)\$\([A-Za-z_.-][A-Za-z0-9_.-]*\)")
"""A reference to a variable in `command` and `args` of Kubernetes."""


def follow_chain(image: Image, settings: Settings, before: InitialProcess, program: str = "") -> Chain:
    """Follows the programs of a container.

    Args:
      image: the container's image.
      settings: the container's settings.
      before: the process that executes the first program.
      program: the path of the program that the container is about; "" to take the last one that can be followed.

    Raises:
      InputError: the image has no such program, or neither the image nor the settings name one.
    """
    return _Follower(image, settings, before, program).follow()


class _Follower:
    """The state of follow_chain(): the hops so far, and the process that executes the next one."""

    def __init__(self, image: Image, settings: Settings, before: InitialProcess, program: str) -> None:
        self._image, self._settings, self._program = image, settings, program
        self._system = ContainerSystem(image, settings)
        self._state = self._system.make_first_state(before)
        self._hops: list[Hop] = []
        self._needed = 0

    def follow(self) -> Chain:
        """Returns the chain; see follow_chain()."""
        argv = self._read_command_line()
        if not argv and not self._program:
            name = self._settings.image.value if self._settings.image else ""
            raise InputError([format_problem("image", name, "neither it nor the command names a program; write --program")])
        if self._settings.init and self._settings.init.value:
            self._add_hop("the runtime's init", File("", None, 0, 0, 0o755, ""))
        unknown_reason = failure = ""
        if argv:
            unknown_reason, failure = self._follow_command(argv)
        assumed = False
        if self._program and not failure and self._is_running() and not self._is_at_named_program():
            self._execute_named_program()
            unknown_reason, assumed = "", len(self._hops) > 1
        if self._is_at_named_program():
            unknown_reason = ""
        failure = failure or find_start_failure(self._image, self._hops[-1])
        return Chain(tuple(self._hops), "" if failure else unknown_reason, failure, self._needed, assumed)

    def _read_command_line(self) -> Sequence[Argument]:
        """Returns the arguments of the first program."""
        config = self._system.config
        argv: Sequence[Argument] = self._settings.build_argv(read_texts(config, "Entrypoint"), read_texts(config, "Cmd"))
        if self._settings.form == "kubernetes":
            argv = [word if at == 0 or word is None or not _REFERENCE.search(word) else None for at, word in enumerate(argv)]
        return argv

    def _is_running(self) -> bool:
        """Returns whether the last execve did not fail."""
        return not self._hops or self._hops[-1].outcome.process is not None

    def _is_at_named_program(self) -> bool:
        """Returns whether the last hop executes the program that the user named."""
        return bool(self._program) and bool(self._hops) and self._program in (self._hops[-1].path, self._hops[-1].script)

    def _follow_command(self, argv: Sequence[Argument]) -> tuple[str, str]:
        """Follows a command up to a program that executes no other one.

        Returns:
          Why the next program is not known, and why the last one stops (Chain.unknown_reason and Chain.failure).
        """
        path = self._find_first_program(argv)
        start = len(self._hops)
        while True:
            if len(self._hops) - start >= _MAX_HOPS:
                return f"there are more than {_MAX_HOPS} programs", ""
            try:
                argv, script = self._execute(path, argv)
            except InputError:
                if len(self._hops) == start:
                    raise
                return f"executes {quote(argv[0] or '')}, which the image does not have as a program", ""
            if not self._is_running() or self._is_at_named_program():
                return "", ""
            hop = self._hops[-1]
            if failure := find_start_failure(self._image, hop):
                return "", failure
            try:
                execution = self._find_execution(hop, argv, script)
                if execution is not None and execution.loaded:
                    hop = self._load(execution)
                    if self._is_at_named_program():
                        return "", ""
                    execution = self._find_execution(hop, execution.argv, hop.script)
                if execution is None:
                    return "", ""
                self._state = execution.state
                argv = execution.argv
                path = self._find_executed_file(execution)
            except NotFollowed as error:
                return str(error), ""
            except ProgramFails as error:
                return "", f"{hop.name} fails: {error}"
            except DeniedError as error:
                self._needed = 0 if error.capability is None else 1 << error.capability
                return "", f"{hop.name} fails: {error.call} is not permitted (EPERM)"

    def _find_execution(self, hop: Hop, argv: Sequence[Argument], script: str) -> Execution | None:
        """Asks the model of a program what the program executes.

        Raises:
          NotFollowed: The next program is not known.
          ProgramFails: The program stops.
          Denied: The kernel refuses a system call of the program.
        """
        model = find_model(hop.script if hop.loaded else hop.path, argv[0] or "")
        if hop.mount and model:
            raise NotFollowed(f"is hidden by a mount ({hop.mount.where})")
        if model:
            return model(Call(argv, self._state, self._system, script or hop.path, hop.file.loader))
        # A program without a model may execute one of its arguments.
        for word in argv[1:]:
            if word and not word.startswith("-"):
                try:
                    path = self._system.find_program(word, self._state)
                except NotFollowed:
                    continue
                file = self._image.find_file(path) if path else None
                if file and file.capabilities and file.mode & 0o111 and file.path != hop.path:
                    raise NotFollowed(f"is not a program that is known here, and may execute its argument {quote(word)}")
        return None

    def _find_executed_file(self, execution: Execution) -> str:
        """Returns the path of the file that a program executes.

        Raises:
          NotFollowed: The program is not known, or the image does not have it.
        """
        name = execution.file or execution.argv[0]
        if name is None:
            raise NotFollowed("executes a program that is not known here")
        path = self._system.find_program(name, self._state)
        if not path:
            raise NotFollowed(f"executes {quote(name)}, which the image does not have")
        return path

    def _find_first_program(self, argv: Sequence[Argument]) -> str:
        """Returns the path of the first program.

        Raises:
          InputError: The image does not have it, or its directory is not known.
        """
        name = argv[0] or ""
        try:
            return self._find_named_program(name)
        except NotFollowed as error:
            raise InputError([format_problem("program", name, f"cannot be found: the container {error}")]) from None

    def _find_named_program(self, name: str) -> str:
        """Returns the path of a program that the user named.

        Raises:
          InputError: The image does not have it.
          NotFollowed: Its directory is not known.
        """
        path = self._system.find_program(name, self._state)
        if not path:
            what = "no such program in the image"
            if mount := self._settings.find_mount_over(posixpath.normpath(posixpath.join(self._state.directory, name))):
                what += f"; it may be in the mount of {mount.where}, which is not known here"
            raise InputError([format_problem("program", name, what)])
        return path

    def _execute_named_program(self) -> None:
        """Adds the hop of the program that the user named, with the credentials of the program before it."""
        try:
            path = self._find_named_program(self._program)
        except NotFollowed:
            path = self._program
        self._execute(path, [self._program])

    def _execute(self, path: str, argv: Sequence[Argument]) -> tuple[Sequence[Argument], str]:
        """Adds the hop of a file, or of the interpreter of a script.

        Returns:
          The arguments that the program gets, and the path of the script that it interprets ("" if there is none).

        Raises:
          InputError: The image does not have the file or its interpreter, or they cannot be executed.
        """
        root = self._state.root
        script, called_path = "", path.removeprefix(root)
        for _ in range(_MAX_INTERPRETERS):
            file = self._image.find_file(path)
            if file is None:
                what = "no such program in the image" + (f", as the interpreter of {quote(script)}" if script else "")
                raise InputError([format_problem("program", path, what)])
            if not file.mode & 0o111:
                raise InputError([format_problem("program", path, "has no execute permission")])
            if not file.interpreter:
                self._add_hop(file.path, file, script)
                return argv, called_path if script else ""
            argv = [file.interpreter, *([file.argument] if file.argument else []), path.removeprefix(root), *argv[1:]]
            script = script or file.path
            path = root + posixpath.join(self._state.directory, file.interpreter)
        raise InputError(
            [
                format_problem(
                    "program",
                    script,
                    f"its interpreters are scripts too, more than {_MAX_INTERPRETERS} in a row (execve fails with ELOOP)",
                )
            ]
        )

    def _add_hop(self, path: str, file: File, script: str = "") -> None:
        """Adds a hop, and makes its outcome the process that executes the next one."""
        mount = self._settings.find_mount_over(path) if path.startswith("/") else None
        nosuid = bool(mount and mount.value.nosuid)
        executed = execve.File(file.capabilities, file.uid, file.gid, file.mode, nosuid)
        before = self._state.process
        outcome = execve.execve(before, executed)
        self._hops.append(Hop(path, file, before, outcome, script, mount=mount))
        if outcome.process is not None:
            self._state = replace(self._state, process=outcome.process)

    def _load(self, execution: Execution) -> Hop:
        """Records the program that a dynamic loader loads: the kernel does not execute the program's own file."""
        name = posixpath.normpath(posixpath.join(self._state.directory, execution.file))
        file = self._image.find_file(self._state.root + name)
        if file is None:
            raise NotFollowed(f"loads {quote(name)}, which the image does not have")
        self._hops[-1] = replace(self._hops[-1], script=file.path, loaded=True)
        return self._hops[-1]

"""The model of a shell finds the program that the real shell executes, or says that it does not know it."""

from __future__ import annotations

import contextlib
import os
import pathlib
import random
import subprocess

import pytest

from rules_setcap.capabilities.execve import Process
from rules_setcap.containers.program_model import Call, Execution, NotFollowed, ProcessState, ProgramFails, System
from rules_setcap.containers.programs.shells import make_shell_model
from support import require

SEED = int(os.environ.get("SEED", "0")) or random.SystemRandom().randrange(1 << 32)
SCRIPTS = int(os.environ.get("SCRIPTS", "400"))
ENVIRONMENT = {"SET": "value", "EMPTY": "", "WORDS": "a b", "FLAG": "-x"}
ARGUMENTS = [[], ["app1"], ["-v", "x"], ["app2", "a b", ""], ["x.conf"], ["app1", "--", "*"]]


class DirectorySystem(System):
    """A system whose programs are the files of a directory, and which has one script."""

    def __init__(self, directory: pathlib.Path, text: str = "") -> None:
        self._directory, self._text = directory, text

    def find_program(self, name: str, state: ProcessState) -> str:
        path = self._directory / name
        return str(path) if path.is_file() else ""

    def read_script(self, path: str, state: ProcessState) -> str | None:
        return self._text


class ScriptAuthor:
    """Writes random scripts in the style of entrypoints."""

    def __init__(self, generator: random.Random) -> None:
        self._random = generator
        self._depth = 0

    def _choose(self, *choices: str) -> str:
        return self._random.choice(choices)

    def write_word(self) -> str:
        return self._choose(
            "app1", "'a b'", '"$1"', '"$SET"', '"$X"', '"${X:-d}"', '"${1:-app2}"', "$SET", "$EMPTY", '"${1#-}"', '"${1%.conf}"', '"$#"', "x\\ y",
            '"$(echo z)"', "${X+set}", '"${UNSET-u}"', '"$*"', "$WORDS", '"${#SET}"', '"a${EMPTY}b"', "'*'", '"$(id -u)"', "--flag=\"$1\"",
        )  # fmt: skip

    def write_condition(self) -> str:
        return self._choose(
            f"[ {self.write_word()} = {self.write_word()} ]", f"[ -n {self.write_word()} ]", f"[ -z {self.write_word()} ]", '[ "${1#-}" != "$1" ]',
            f"test {self.write_word()} != {self.write_word()}", "[ $# -gt 1 ]", '[ "$1" = app1 ] || [ "$1" = app2 ]', "! [ -n \"$X\" ]", "true", "false",
            '[ "$(id -u)" = 0 -a -n "$1" ]', "unknown", "command -v app1 >/dev/null", "f",
        )  # fmt: skip

    def write_statement(self) -> str:
        self._depth += 1
        try:
            if self._depth > 3:
                return self._choose("X=1", ":", "shift", 'set -- app1 "$@"')
            return self._choose(
                f"X={self.write_word()}", 'export X=' + self._choose("1", '"$1"', '"$X"y'), 'set -- app1 "$@"', f"set -- {self.write_word()} {self.write_word()}",
                "shift", "unset X", f"if {self.write_condition()}; then\n{self.write_body()}\nfi",
                f"if {self.write_condition()}; then\n{self.write_body()}\nelse\n{self.write_body()}\nfi", f"{self.write_condition()} && {self._write_simple_command()}",
                f"{self.write_condition()} || {self._write_simple_command()}", f"case {self.write_word()} in\n-*) {self._write_simple_command()} ;;\napp1|x*) {self.write_body()} ;;\n*) {self._write_simple_command()} ;;\nesac",
                f"for y in {self.write_word()} {self.write_word()}; do\nX=$y\n{self._choose(':', self.write_condition() + ' && break')}\ndone", "f() {\nX=f\nreturn 0\n}\nf",
                "f() { [ -n \"$2\" ]; }", "unknown", "cat <<END >/dev/null\nexec app3\nEND", "(X=sub; exec true)", "echo x | read X",
                "while [ $# -gt 2 ]; do shift; done", f"{{ {self._write_simple_command()}; }}", "# exec app3", "local_x=1 true",
            )  # fmt: skip
        finally:
            self._depth -= 1

    def _write_simple_command(self) -> str:
        return self._choose(
            "X=" + self._choose("2", '"$1"'),
            "shift",
            'set -- app2 "$@"',
            f"exec app{self._choose('1', '2')} {self.write_word()} {self.write_word()}",
            "exit 1",
            "exit 0",
        )

    def write_body(self) -> str:
        return "\n".join(self.write_statement() for _ in range(self._random.randint(1, 2)))

    def write_script(self) -> str:
        end = self._choose(
            'exec "$@"',
            'exec app1 "$@" "$X"',
            f"exec app2 {self.write_word()} {self.write_word()}",
            'app1 "$X" "$@"',
            'exec "$X"',
        )
        lines = [self.write_statement() for _ in range(self._random.randint(1, 6))]
        return "\n".join([self._choose("set -e", "set -u", ":"), *lines, end]) + "\n"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Returns a directory of programs that print their names and arguments, and of a few real ones."""
    path = tmp_path_factory.mktemp("programs")
    for name in ("app1", "app2", "app3"):
        (path / name).write_text(f'#!/bin/sh\nprintf "<%s>" {name} "$@"\necho\n')
        (path / name).chmod(0o755)
    for name in ("id", "cat", "true"):
        (path / name).symlink_to(require.tool(name))
    return path


def _matches(argv: list[str | None], real_argv: list[str]) -> bool:
    """Returns whether the arguments of a model, where None stands for any number of them, may be the real ones."""
    if None not in argv:
        return argv == real_argv
    at = argv.index(None)
    rest = argv[at + 1 :]
    if argv[:at] != real_argv[:at] or len(real_argv) < at:
        return False
    return any(_matches(rest, real_argv[start:]) for start in range(at, len(real_argv) + 1))


@pytest.mark.parametrize("program", ["dash", "bash"])
def test_random_scripts_end_in_the_program_of_the_model(directory: pathlib.Path, program: str):
    print(f"SEED={SEED}, {SCRIPTS} scripts")
    generator = random.Random(SEED)
    author = ScriptAuthor(generator)
    model = make_shell_model(bash=program == "bash", drops=True)
    followed = 0
    path = directory / "script"
    for number in range(SCRIPTS):
        text, arguments = author.write_script(), generator.choice(ARGUMENTS)
        path.write_text(text)
        state = ProcessState(Process.with_ids(os.getuid(), os.getgid()), {**ENVIRONMENT, "PATH": str(directory)})
        execution: Execution | None = None
        try:
            execution = model(Call([program, str(path), *arguments], state, DirectorySystem(directory, text)))
        except (NotFollowed, ProgramFails):
            continue
        for status in (0, 1):
            unknown = directory / "unknown"
            unknown.write_text(f"#!/bin/sh\nexit {status}\n")
            unknown.chmod(0o755)
            done = subprocess.run(
                [require.tool(program), path, *arguments],
                env={**ENVIRONMENT, "PATH": str(directory)},
                capture_output=True,
                text=True,
                timeout=60,
            )
            lines = [line for line in done.stdout.splitlines() if line.startswith("<")]
            if not lines:
                continue  # The script failed, or it executed a program that does not exist.
            followed += 1
            real_argv = lines[-1][1:-1].split("><")
            case = f"SEED={SEED}, {number}: {arguments}\n{text}"
            assert execution is not None, f"{case}\n{real_argv}"
            assert _matches(list(execution.argv), real_argv), f"{case}\nmodel {execution.argv}, {program} {real_argv}"
    assert followed > SCRIPTS / 10


@pytest.mark.parametrize(
    "text",
    [
        "${a:-" * 9000,
        "[ " + "! " * 20000,
        "a && " * 12000 + "a",
        "$(" * 20000,
        "(" * 30000,
        "[[ " + "( " * 9000,
        "`" * 3,
        '"',
        "<<",
        "if",
        "case x in",
        "f() {",
        "${",
        "[[ a =~ (",
    ],
)
def test_hostile_scripts_end_without_another_error(directory: pathlib.Path, text: str):
    with contextlib.suppress(NotFollowed, ProgramFails):
        make_shell_model(bash=True, drops=True)(
            Call(["bash", "-c", text], ProcessState(Process.with_ids(0, 0), {}), DirectorySystem(directory))
        )

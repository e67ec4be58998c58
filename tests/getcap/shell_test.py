"""Shell scripts end in the program that real shells execute, or are said not to be known."""

from __future__ import annotations

import os
import pathlib
import random
import subprocess

import pytest

from rules_setcap.capabilities.execve import Process
from rules_setcap.containers.programs.model import Call, Execution, NotFollowed, ProcessState, ProgramFails, System
from rules_setcap.containers.programs.shells import make_shell_model
from support import require

SEED = int(os.environ.get("SEED", "0")) or random.SystemRandom().randrange(1 << 32)
SCRIPTS = int(os.environ.get("SCRIPTS", "400"))
ENVIRONMENT = {"SET": "value", "EMPTY": "", "WORDS": "a b", "FLAG": "-x"}
ARGUMENTS = [[], ["app1"], ["-v", "x"], ["app2", "a b", ""], ["x.conf"], ["app1", "--", "*"]]


class Images(System):
    """An image whose programs are those of a directory."""

    def __init__(self, directory: pathlib.Path, text: str = "") -> None:
        self._directory, self._text = directory, text

    def find_program(self, name: str, state: ProcessState) -> str:
        path = self._directory / name
        return str(path) if path.is_file() else ""

    def read_script(self, path: str, state: ProcessState) -> str | None:
        return self._text


class Author:
    """Writes random scripts in the style of entrypoints."""

    def __init__(self, generator: random.Random) -> None:
        self._random = generator
        self._depth = 0

    def _one(self, *choices: str) -> str:
        return self._random.choice(choices)

    def word(self) -> str:
        return self._one(
            "app1", "'a b'", '"$1"', '"$SET"', '"$X"', '"${X:-d}"', '"${1:-app2}"', "$SET", "$EMPTY", '"${1#-}"', '"${1%.conf}"', '"$#"', "x\\ y",
            '"$(echo z)"', "${X+set}", '"${UNSET-u}"', '"$*"', "$WORDS", '"${#SET}"', '"a${EMPTY}b"', "'*'", '"$(id -u)"', "--flag=\"$1\"",
        )  # fmt: skip

    def condition(self) -> str:
        return self._one(
            f"[ {self.word()} = {self.word()} ]", f"[ -n {self.word()} ]", f"[ -z {self.word()} ]", '[ "${1#-}" != "$1" ]',
            f"test {self.word()} != {self.word()}", "[ $# -gt 1 ]", '[ "$1" = app1 ] || [ "$1" = app2 ]', "! [ -n \"$X\" ]", "true", "false",
            '[ "$(id -u)" = 0 -a -n "$1" ]', "unknown", "command -v app1 >/dev/null", "f",
        )  # fmt: skip

    def statement(self) -> str:
        self._depth += 1
        try:
            if self._depth > 3:
                return self._one("X=1", ":", "shift", 'set -- app1 "$@"')
            return self._one(
                f"X={self.word()}", f"export X={self._one('1', '\"$1\"', '\"$X\"y')}", 'set -- app1 "$@"', f"set -- {self.word()} {self.word()}",
                "shift", "unset X", f"if {self.condition()}; then\n{self.body()}\nfi",
                f"if {self.condition()}; then\n{self.body()}\nelse\n{self.body()}\nfi", f"{self.condition()} && {self._simple()}",
                f"{self.condition()} || {self._simple()}", f"case {self.word()} in\n-*) {self._simple()} ;;\napp1|x*) {self.body()} ;;\n*) {self._simple()} ;;\nesac",
                f"for y in {self.word()} {self.word()}; do\nX=$y\n{self._one(':', self.condition() + ' && break')}\ndone", "f() {\nX=f\nreturn 0\n}\nf",
                "f() { [ -n \"$2\" ]; }", "unknown", "cat <<END >/dev/null\nexec app3\nEND", "(X=sub; exec true)", "echo x | read X",
                "while [ $# -gt 2 ]; do shift; done", f"{{ {self._simple()}; }}", "# exec app3", "local_x=1 true",
            )  # fmt: skip
        finally:
            self._depth -= 1

    def _simple(self) -> str:
        return self._one(f"X={self._one('2', '\"$1\"')}", "shift", 'set -- app2 "$@"', f"exec app{self._one('1', '2')} {self.word()} {self.word()}", "exit 1", "exit 0")

    def body(self) -> str:
        return "\n".join(self.statement() for _ in range(self._random.randint(1, 2)))

    def script(self) -> str:
        end = self._one('exec "$@"', 'exec app1 "$@" "$X"', f"exec app2 {self.word()} {self.word()}", 'app1 "$X" "$@"', 'exec "$X"')
        lines = [self.statement() for _ in range(self._random.randint(1, 6))]
        return "\n".join([self._one("set -e", "set -u", ":"), *lines, end]) + "\n"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Programs that print what they are called and with which arguments; "unknown" succeeds or fails as it likes."""
    made = tmp_path_factory.mktemp("programs")
    for name in ("app1", "app2", "app3"):
        (made / name).write_text(f'#!/bin/sh\nprintf "<%s>" {name} "$@"\necho\n')
        (made / name).chmod(0o755)
    for name in ("id", "cat", "true"):
        (made / name).symlink_to(require.tool(name))
    return made


def _agrees(argv: list[str | None], real: list[str]) -> bool:
    """Returns whether words, of which None is any number, are the real ones."""
    if None not in argv:
        return argv == real
    at = argv.index(None)
    rest = [word for word in argv[at + 1 :]]
    if argv[:at] != real[:at] or len(real) < at:
        return False
    return any(_agrees(rest, real[start:]) for start in range(at, len(real) + 1))


@pytest.mark.parametrize("program", ["dash", "bash"])
def test_random_scripts(directory: pathlib.Path, program: str):
    print(f"SEED={SEED}, {SCRIPTS} scripts")
    generator = random.Random(SEED)
    author = Author(generator)
    model = make_shell_model(bash=program == "bash", drops=True)
    followed = 0
    path = directory / "script"
    for number in range(SCRIPTS):
        text, arguments = author.script(), generator.choice(ARGUMENTS)
        path.write_text(text)
        state = ProcessState(Process.with_ids(os.getuid(), os.getgid()), {**ENVIRONMENT, "PATH": str(directory)})
        following: Execution | None = None
        try:
            following = model(Call([program, str(path), *arguments], state, Images(directory, text)))
        except (NotFollowed, ProgramFails):
            continue
        for status in (0, 1):
            unknown = directory / "unknown"
            unknown.write_text(f"#!/bin/sh\nexit {status}\n")
            unknown.chmod(0o755)
            done = subprocess.run(
                [require.tool(program), path, *arguments], env={**ENVIRONMENT, "PATH": str(directory)}, capture_output=True, text=True, timeout=60
            )
            lines = [line for line in done.stdout.splitlines() if line.startswith("<")]
            if not lines:
                continue  # It gave up, or what it executes is no program.
            followed += 1
            real = lines[-1][1:-1].split("><")
            assert following is not None, f"SEED={SEED}, {number}: {arguments}\n{text}\n{real}"
            assert _agrees(list(following.argv), real), f"SEED={SEED}, {number}: {arguments}\n{text}\nmodel {following.argv}, {program} {real}"
    assert followed > SCRIPTS / 10


@pytest.mark.parametrize("text", ["${a:-" * 9000, "[ " + "! " * 20000, "a && " * 12000 + "a", "$(" * 20000, "(" * 30000, "[[ " + "( " * 9000, "`" * 3, '"', "<<", "if", "case x in", "f() {", "${", "[[ a =~ ("])
def test_hostile_scripts(directory: pathlib.Path, text: str):
    try:
        make_shell_model(bash=True, drops=True)(Call(["bash", "-c", text], ProcessState(Process.with_ids(0, 0), {}), Images(directory)))
    except (NotFollowed, ProgramFails):
        pass

"""Programs that execute their arguments with unchanged credentials.

The models agree with GNU coreutils 9.10, util-linux 2.42.4 and the loader of glibc 2.43 (tests/getcap/programs_test.py).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from rules_setcap.containers.program_model import Argument, Call, Execution, Model, NotFollowed, ProgramFails
from rules_setcap.containers.programs import options


def follow_env(call: Call) -> Execution | None:
    """Follows env of GNU coreutils, whose option -S many #! lines have: env(1); src/env.c."""
    argv: Sequence[Argument] = call.argv[1:]
    names = {
        "argv0": 1, "ignore-environment": 0, "null": 0, "unset": 1, "chdir": 1, "default-signal": 2, "ignore-signal": 2,
        "block-signal": 2, "list-signal-handling": 0, "debug": 0, "split-string": 1, "help": 0, "version": 0,
    }  # fmt: skip
    argv = _split_options(call, argv)
    parsed, rest = options.parse_options(argv, "a:C:iS:u:v0", names)
    state = call.state
    long_names = {"i": "ignore-environment", "u": "unset", "C": "chdir", "a": "argv0", "0": "null"}
    parsed = [(long_names.get(name, name), value) for name, value in parsed]
    if any(name in ("help", "version", "null") for name, _ in parsed):
        return None
    if rest and rest[0] == "-":
        parsed, rest = [*parsed, ("ignore-environment", "")], rest[1:]
    if any(name == "ignore-environment" for name, _ in parsed):
        state = replace(state, environment={}, others="")
    environment = dict(state.environment)
    for name, value in parsed:
        if name == "unset":
            environment.pop(value, None)
    while rest and rest[0] is not None and "=" in rest[0]:
        name, _, value = rest[0].partition("=")
        environment[name] = value
        rest = rest[1:]
    state = replace(state, environment=environment)
    for name, value in parsed:
        if name == "chdir":
            state = replace(state, directory=posixpath.normpath(posixpath.join(state.directory, value)))
    argv0 = next((value for name, value in parsed if name == "argv0"), None)
    if argv0 is not None and rest:
        return Execution((argv0, *rest[1:]), state, file=call.system.find_program(rest[0] or "", state) or "/nonexistent")
    return call.execute(rest, state)


def _split_options(call: Call, argv: Sequence[Argument]) -> Sequence[Argument]:
    """Returns the arguments with each -S replaced by the words of its value (env(1), "-S/--split-string usage in scripts")."""
    for at, word in enumerate(argv):
        if word is None or not word.startswith("-") or word in ("--", "-"):
            return argv
        for prefix in ("--split-string=", "-vS", "-S", "-iS"):
            if word.startswith(prefix):
                text = word[len(prefix) :]
                rest = argv[at + 1 :]
                if not text:
                    if not rest or rest[0] is None:
                        raise NotFollowed("has arguments that are not known here")
                    text, rest = rest[0], rest[1:]
                before = argv[:at] if prefix != "-iS" else (*argv[:at], "-i")
                return _split_options(call, (*before, *_split_text(call, text), *rest))
    return argv


_ESCAPES = {"f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "#": "#", "$": "$", '"': '"', "'": "'", "\\": "\\"}


def _split_text(call: Call, text: str) -> list[str]:
    """Splits the value of -S into words: quotes, escape sequences, comments and ${NAME} (src/env.c, build_argv)."""
    words: list[str] = []
    word: str | None = None
    quote = ""
    at = 0
    while at < len(text):
        character = text[at]
        at += 1
        if quote == "'" and not (character == "'" or (character == "\\" and text[at : at + 1] in ("\\", "'"))):
            word = (word or "") + character
        elif character == quote:
            quote = ""
        elif not quote and character in "'\"":
            quote, word = character, word or ""
        elif not quote and character in " \t\n\v\f\r":
            if word is not None:
                words.append(word)
            word = None
        elif not quote and character == "#" and word is None:
            break
        elif character == "\\":
            code = text[at : at + 1]
            at += 1
            if code == "c":
                break
            if code == "_":
                if quote:
                    word = (word or "") + " "
                elif word is not None:
                    words.append(word)
                    word = None
            elif code in _ESCAPES:
                word = (word or "") + _ESCAPES[code]
            else:
                raise ProgramFails("invalid escape sequence in -S")
        elif character == "$":
            name = re.match(r"\{([A-Za-z_][A-Za-z0-9_]*)\}", text[at:])
            if not name:
                raise ProgramFails("only ${NAME} can be in -S")
            at += name.end()
            value = call.state.get_variable(name[1])
            word = (word or "") + (value or "") if value is not None or word is not None or quote else word
        else:
            word = (word or "") + character
    if quote:
        raise ProgramFails("no closing quote in -S")
    return words if word is None else [*words, word]


def make_passthrough_model(short: str, long: Mapping[str, int] | None = None, skip: int = 0, ends: str = "") -> Model:
    """Returns the model of a program that executes what follows its options.

    Args:
      short: the letters of the options, as for options.parse_options().
      long: the long names of the options, likewise. --help and --version need not be among them.
      skip: the number of arguments between the options and the program.
      ends: the options with which the program executes nothing, with spaces between.
    """

    def model(call: Call) -> Execution | None:
        parsed, rest = options.parse_options(call.argv[1:], short, {"help": 0, "version": 0} | dict(long or {}))
        names = {name for name, _ in parsed}
        if names & {"help", "version", *ends.split()}:
            return None
        if None in rest[: skip + 1]:
            raise NotFollowed("has arguments that are not known here")
        return call.execute(rest[skip:])

    return model


def follow_nice(call: Call) -> Execution | None:
    """Follows nice of GNU coreutils, which takes -5 for an option too: nice(1)."""
    argv = list(call.argv[1:])
    while argv and argv[0] is not None and re.fullmatch(r"-[-+]?[0-9]+", argv[0]):
        argv = argv[1:]
    return make_passthrough_model("n:", {"adjustment": 1})(replace(call, argv=[call.argv[0], *argv]))


def follow_stdbuf(call: Call) -> Execution | None:
    """Follows stdbuf of GNU coreutils, which sets LD_PRELOAD: stdbuf(1)."""
    parsed, rest = options.parse_options(call.argv[1:], "i:o:e:", {"input": 1, "output": 1, "error": 1, "help": 0, "version": 0})
    if any(name in ("help", "version") for name, _ in parsed):
        return None
    if not parsed:
        raise ProgramFails("no buffering mode is given")
    return call.execute(rest, call.state.with_variables(LD_PRELOAD=None))


def follow_flock(call: Call) -> Execution | None:
    """Follows flock of util-linux, which with -c executes a shell: flock(1)."""
    names = {
        "shared": 0, "exclusive": 0, "unlock": 0, "nonblock": 0, "nb": 0, "timeout": 1, "wait": 1, "conflict-exit-code": 1,
        "close": 0, "no-fork": 0, "fcntl": 0, "verbose": 0, "help": 0, "version": 0, "start": 1, "length": 1,
    }  # fmt: skip
    parsed, rest = options.parse_options(call.argv[1:], "sexnoFuw:hE:V", names)
    if any(name in ("h", "V", "help", "version") for name, _ in parsed):
        return None
    if None in rest[:2]:
        raise NotFollowed("has arguments that are not known here")
    if len(rest) < 2:
        return None
    if rest[1] in ("-c", "--command"):
        shell = call.state.get_variable("SHELL") or "/bin/sh"
        return Execution((shell, "-c", *rest[2:]), call.state, file=shell)
    return call.execute(rest[1:])


def follow_taskset(call: Call) -> Execution | None:
    """Follows taskset of util-linux: taskset(1)."""
    parsed, rest = options.parse_options(
        call.argv[1:], "apchV", {"all-tasks": 0, "pid": 0, "cpu-list": 0, "help": 0, "version": 0}
    )
    if any(name in ("p", "pid", "h", "help", "V", "version") for name, _ in parsed):
        return None
    return call.execute(rest[1:])


def follow_timeout(call: Call) -> Execution | None:
    """Follows timeout of GNU coreutils: timeout(1)."""
    names = {"preserve-status": 0, "foreground": 0, "kill-after": 1, "signal": 1, "verbose": 0}
    return make_passthrough_model("fk:ps:v", names, skip=1)(call)


def follow_loader(call: Call) -> Execution | None:
    """Follows the dynamic loader, executed as a program: ld.so(8); glibc's elf/rtld.c, musl's ldso/dynlink.c.

    It maps the program into its own process. There is no execve(2), so the program's file capabilities do not count.
    """
    names = {
        "list": 0, "verify": 0, "inhibit-cache": 0, "library-path": 1, "glibc-hwcaps-prepend": 1, "glibc-hwcaps-mask": 1,
        "inhibit-rpath": 1, "audit": 1, "preload": 1, "argv0": 1, "list-tunables": 0, "list-diagnostics": 0, "help": 0, "version": 0,
    }  # fmt: skip
    parsed, rest = options.parse_options(call.argv[1:], "", names)
    if {name for name, _ in parsed} & {"list", "verify", "list-tunables", "list-diagnostics", "help", "version"} or not rest:
        return None
    argv0 = next((value for name, value in parsed if name == "argv0"), rest[0])
    if rest[0] is None:
        raise NotFollowed("has arguments that are not known here")
    return Execution((argv0, *rest[1:]), call.state, file=rest[0], loaded=True)


def make_unfollowed_model(reason: str) -> Model:
    """Returns the model of a program that is never followed.

    Args:
      reason: the text of NotFollowed.
    """

    def model(call: Call) -> Execution | None:
        raise NotFollowed(reason)

    return model


def make_coreutils_model(applets: Mapping[str, Model]) -> Model:
    """Returns the model of the single binary of GNU coreutils, which Red Hat's coreutils-single has.

    Its /usr/bin/env is a script: #!/usr/bin/coreutils --coreutils-prog-shebang=env.

    Args:
      applets: the models of the programs in the binary, by name.
    """

    def model(call: Call) -> Execution | None:
        argv = list(call.argv)
        first = argv[1] if len(argv) > 1 else None
        if first is not None and first.startswith("--coreutils-prog-shebang="):
            argv = [first.partition("=")[2], *argv[3:]]
        elif first is not None and first.startswith("--coreutils-prog="):
            argv = [first.partition("=")[2], *argv[2:]]
        name = posixpath.basename(argv[0] or "")
        if name not in applets:
            return None
        return applets[name](replace(call, argv=argv))

    return model

"""Strips the commands that people type in front of docker and podman to run them, such as sudo and env."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from rules_setcap.containers.docker.flags import Flags, define_flags, parse_flags
from rules_setcap.diagnostics.problems import Problems

_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=", re.ASCII)

_COMMANDS = {
    "command": define_flags(switches="", values="", letters=""),
    "doas": define_flags(switches="L n s", values="C user", letters="C=C L=L n=n s=s u=user"),  # doas(1)
    "env": define_flags(  # env(1)
        switches="debug ignore-environment null",
        values="chdir unset",
        letters="0=null C=chdir i=ignore-environment u=unset v=debug",
    ),
    "exec": define_flags(switches="c l", values="a", letters="a=a c=c l=l"),  # bash(1)
    "nice": define_flags(switches="", values="adjustment", letters="n=adjustment"),  # nice(1)
    "nohup": define_flags(switches="", values="", letters=""),
    "sudo": define_flags(  # sudo(8)
        switches="""
        askpass background bell edit help list login no-update non-interactive preserve-env preserve-groups remove-timestamp
        reset-timestamp set-home shell stdin validate version
        """,
        values="chdir chroot close-from command-timeout group host other-user prompt role type user",
        letters="""
        A=askpass B=bell b=background C=close-from D=chdir E=preserve-env g=group H=set-home h=host i=login K=remove-timestamp
        k=reset-timestamp N=no-update n=non-interactive P=preserve-groups p=prompt R=chroot r=role S=stdin s=shell
        T=command-timeout t=type U=other-user u=user V=version v=validate
        """,
    ),
    "time": define_flags(  # time(1), and the reserved word of bash
        switches="append portability quiet verbose",
        values="format output",
        letters="a=append f=format o=output p=portability q=quiet v=verbose",
    ),
    "timeout": define_flags(  # timeout(1)
        switches="foreground preserve-status verbose",
        values="kill-after signal",
        letters="f=foreground k=kill-after p=preserve-status s=signal v=verbose",
    ),
}
_OPERANDS = {"timeout": 1}
"""The number of arguments before the command that is run, by command; 0 if it is not here."""


def strip_prefixes(words: Sequence[str], problems: Problems, restore: Callable[[str], str] = str) -> list[str]:
    """Returns the words of a command line without the commands that run the last one.

    Assignments of variables before the command (NAME=value) are stripped too.

    Args:
      words: the words of a command line.
      problems: receives a message for each flag that is wrong.
      restore: returns a part of a word as it was typed, for messages.
    """
    rest = list(words)
    while rest:
        name = rest[0].rpartition("/")[2]
        if _ASSIGNMENT.match(rest[0]):
            rest.pop(0)
        elif known := _COMMANDS.get(name):
            rest = _strip_flags(name, known, rest[1:], problems, restore)
        else:
            break
    return rest


def _strip_flags(name: str, known: Flags, words: list[str], problems: Problems, restore: Callable[[str], str]) -> list[str]:
    """Returns the words after the flags and arguments of a command that runs another."""
    problems_of_flags = Problems()
    _, rest = parse_flags(known, words, problems_of_flags, restore)
    problems.extend(f"{name}: {text}" for text in problems_of_flags)
    return rest[_OPERANDS.get(name, 0) :]

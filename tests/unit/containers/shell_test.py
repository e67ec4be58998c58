"""Tests that compare our splitting of command lines with that of dash and bash."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rules_setcap.containers.docker import script
from support import require

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "X": "value", "A1_b": "other"}
VALUES = {
    "$X": "value",
    "$A1_b": "other",
    "${X}": "value",
    "${X:-a b}": "value",
    "${NONE:-it}": "it",
    "${NONE:-'}'}": "}",
    '${NONE:-"}"}': "}",
    "${NONE:-${X}}": "value",
    "$(echo value)": "value",
    "$(echo ')' \")\" | tail -c 2)": ")",
    "$(echo $(echo value))": "value",
    "$(echo `echo value`)": "value",
    "$((1+(1)))": "2",
    "`echo value`": "value",
    r"`echo \`echo value\``": "value",
    "$#": "0",
    "$?": "0",
}
# In double quotes, POSIX gives quotation marks in ${X:-...} another meaning, or leaves it undefined.
UNQUOTED = {"${NONE:-'}'}", '${NONE:-"}"}'}


def _split_by_shell(shell_name: str, text: str) -> list[str] | None:
    """Returns the words into which a shell splits a text; None if it refuses the text."""
    command = ["printf '%s\\0' x " + text]
    finished = subprocess.run(
        [require.tool(shell_name), "-c", *command], capture_output=True, env=ENVIRONMENT, stdin=subprocess.DEVNULL
    )
    return finished.stdout.decode("utf-8", "surrogateescape").split("\0")[1:-1] if finished.returncode == 0 else None


def _split_by_us(text: str) -> list[str] | None:
    """Returns the words into which we split a text, with VALUES for expansions; None if we refuse the text."""
    try:
        line = script.split_command_line("x " + text)
    except ValueError as error:
        assert str(error)
        return None
    if not VALUES.keys() >= set(line.expansions.values()):
        return None  # Parts without a variable may form one together.
    values = {code: VALUES[typed] for code, typed in line.expansions.items()}
    return [word.translate(values) for word in line.words[1:]]


PLAIN = st.sampled_from(
    [*" \t=,:./-+@%^_#a1", "\\\n", "\\ ", "\\\\", "\\$", "\\'", '\\"', "\\`", "\\a", "é", "$", "=a", "#b", " #", " "]
)
EXPANSIONS = st.sampled_from(sorted(VALUES))
SINGLE = st.text(alphabet=" \\\"$`#\n(;|a'", max_size=6).map(lambda text: "'" + text.replace("'", "") + "'")
DOUBLE = st.lists(
    st.one_of(
        st.sampled_from(
            ["\\\\", '\\"', "\\$", "\\`", "\\\n", "\\a", "\\'", "'", " ", "\n", "#", ";", "(", "{", "a", "$ ", "$/", "é"]
        ),
        st.sampled_from(sorted(set(VALUES) - UNQUOTED)),
    ),
    max_size=6,
).map(lambda parts: '"' + _join_apart(parts) + '"')
ROUGH = st.sampled_from(["'", '"', "\\", "\n", "\n# a\n"])


def _join_apart(parts: list[str]) -> str:
    """Joins parts so that no part changes the meaning of a "$" before it."""
    joined = ""
    for part in parts:
        joined += ("." if joined.endswith("$") or (joined[-2:-1] == "$" and joined[-1:].isalnum()) else "") + part
        if part in VALUES and not part.endswith(("}", ")", "`")):
            joined += "."
    return joined


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.one_of(PLAIN, EXPANSIONS, SINGLE, DOUBLE), max_size=12).map(_join_apart))
def test_words_are_those_of_the_shells(text):
    assert _split_by_us(text) == _split_by_shell("dash", text) == _split_by_shell("bash", text)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.one_of(PLAIN, SINGLE, DOUBLE, ROUGH), max_size=8).map(_join_apart))
def test_a_text_that_a_shell_refuses_is_refused(text):
    """We also refuse texts that are more than one command."""
    ours = _split_by_us(text)
    for name in ("dash", "bash"):
        assert ours is None or ours == _split_by_shell(name, text)


@pytest.mark.parametrize("text", ["a{b,c}", "{1..3}", "{a,{b}}", "$'a'", '$"a"', "$@", "$*", "${@}", "${a[@]}"])
def test_a_text_that_the_shells_read_differently_is_refused(text):
    assert _split_by_us(text) is None


@pytest.mark.parametrize(
    "text", ["{}", "{a}", "{{.X}}", "a,b", "{a,b", "a,b}", "'{a,b}'", "\\{a,b}", '"{1..3}"', "{a},{b}", "a..b"]
)
def test_a_text_that_looks_like_a_brace_expansion_is_read(text):
    assert _split_by_us(text) == _split_by_shell("dash", text) == _split_by_shell("bash", text)


def test_expansions_are_restored_as_typed():
    line = script.split_command_line("docker run -v \"$(pwd)/a b\":/x '$X'")
    assert line.restore(line.words[3]) == "$(pwd)/a b:/x"
    assert line.find_expansions(line.words[3]) == ["$(pwd)"]
    assert line.words[4] == "$X"

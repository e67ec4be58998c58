"""Tests of variables in Compose files, from the environment and from files, and of the words of commands."""

from __future__ import annotations

import pytest

from rules_setcap.containers.compose import dotenv, files, interpolation, shellwords
from rules_setcap.diagnostics.errors import InputError


def _get_values(settings):
    """Returns the values of several settings."""
    return tuple(setting.value for setting in settings)


@pytest.mark.parametrize(
    "text, message",
    [
        ("${N:?give a user}", "the variable N has no value, which Compose refuses: give a user"),
        ("${E:?for ${A}, please}", "the variable E has no value, which Compose refuses: for a, please"),
        ("${N?}", "the variable N has no value, which Compose refuses"),
        ("${N:?$$ ${N}}", "the variable N has no value, which Compose refuses: $$ ${N}"),
    ],
)
def test_a_missing_required_variable_is_reported_with_its_message(text, message):
    with pytest.raises(ValueError) as refused:
        interpolation.interpolate(text, {"A": "a", "E": ""})
    assert str(refused.value) == message


DOTENV = b"""\
# comment
A=1
export B = two words # comment
C=x#y
D="a $A\\n\\"q\\" \\$A"   # comment
E='it is $A # here'
F=${A}${NONE:-f}
G: yaml
H=
I=${NONE}
HOME
J="two
lines"
K=$SHELL_WINS
A.b=1
L=#none
"""


def test_a_file_of_variables_is_read_as_compose_reads_it():
    variables = dotenv.parse_variables(DOTENV, ".env", {"HOME": "/root", "SHELL_WINS": "yes"})
    assert variables == {
        "A": "1",
        "B": "two words",
        "C": "x#y",
        "D": 'a 1\n"q" $A',
        "E": "it is $A # here",
        "F": "1f",
        "G": "yaml",
        "H": "",
        "HOME": "/root",
        "J": "two\nlines",
        "K": "yes",
        "A.b": "1",
        "L": "",
    }


@pytest.mark.parametrize(
    "text, message",
    [
        (b"A=1\na b=2", '.env:2: "a b=2": not a variable; write it as NAME=value'),
        (b"=1", '.env:1: "=1": not a variable; write it as NAME=value'),
        (b"\n\nA='b\n", ".env:3: \"'b\": no closing '"),
        (
            b"A=$(id)",
            '.env:1: "$(id)": Compose runs no commands and refuses "$("; write the value, or "$$(" for these characters',
        ),
        (b"A=${B:?needed}", '.env:1: "${B:?needed}": the variable B has no value, which Compose refuses: needed'),
    ],
)
def test_an_invalid_file_of_variables_is_reported(text, message):
    with pytest.raises(InputError) as refused:
        dotenv.parse_variables(text, ".env", {})
    assert refused.value.problems == [message]


def _write_files(tmp_path, **files: str):
    """Writes files, whose names have "_" for ".", and returns the path of a Compose file beside them."""
    for name, text in files.items():
        (tmp_path / name.replace("_", ".")).write_text(text)
    return str(tmp_path / "compose.yaml")


def test_variables_of_the_shell_override_those_of_files(tmp_path):
    file = _write_files(tmp_path, _env="USER_ID=7\nCAP=BPF\n")
    text = b"services: {web: {user: '${USER_ID}', cap_add: ['$CAP']}}"
    settings = files.read_service(text, file, "web", {"CAP": "KILL"})
    assert (settings.user.value, _get_values(settings.added), settings.notes) == ("7", ("cap_kill",), ())
    (tmp_path / "other").write_text("USER_ID=8")
    assert files.read_service(text, file, "web", {"CAP": "KILL", "COMPOSE_ENV_FILES": str(tmp_path / "other")}).user.value == "8"
    (tmp_path / ".env").write_text("USER_ID='7")
    with pytest.raises(InputError) as refused:
        files.read_service(text, file, "web", {"CAP": "KILL", "USER_ID": "1"})
    assert refused.value.problems == [f"{tmp_path}/.env:1: \"'7\": no closing '"]
    with pytest.raises(InputError) as refused:
        files.read_service(text, file, "web", {"CAP": "KILL", "USER_ID": "1", "COMPOSE_ENV_FILES": "/none"})
    assert refused.value.problems == ["/none: cannot be read: No such file or directory"]


def test_files_that_are_not_read_are_noted(tmp_path):
    file = _write_files(tmp_path, compose_override_yaml="services: {}")
    text = b"services: {web: {}}"
    assert files.read_service(text, file, "web").notes == (
        f"{tmp_path}/compose.override.yaml is not read here: docker compose reads it over {file}, unless -f names the files",
    )
    notes = files.read_service(text, file, "web", {"COMPOSE_FILE": "compose.yaml:prod.yaml"}).notes
    assert notes == ('COMPOSE_FILE names "prod.yaml" too, which is not read here',)
    with pytest.raises(InputError) as refused:
        files.read_service(b"include: [x.yaml]\nservices: {x: {}}", "compose.yaml", "y", open_file=_open_missing_file)
    assert refused.value.problems == [
        'compose.yaml: "y": no service of this name; there are "x"; files under include are not read: give the one that has the service'
    ]


def test_the_container_has_the_variables_of_env_file_and_environment(tmp_path):
    file = _write_files(tmp_path, a_env="A=1\nB=1\n", _env="FROM_ENV=2\n")
    text = b"""
services:
  web:
    profiles: [debug]
    working_dir: /srv
    env_file: [a.env, {path: b.env, required: false}]
    environment: {B: "${FROM_ENV}", HOME: , PATH: /x:$$PATH, N: "$NONE", P: 5}
  list:
    env_file: a.env
    environment: [B=x=y, HOME, "C=${NONE:-c}"]
"""
    settings = files.read_service(text, file, "web", {"HOME": "/root"})
    assert _get_values(settings.environment) == (
        ("A", "1"),
        ("B", "1"),
        ("B", "2"),
        ("HOME", "/root"),
        ("PATH", "/x:$PATH"),
        ("N", None),
        ("P", "5"),
    )
    assert settings.directory.value == "/srv"
    assert settings.other_variables.where == f"{file}:6: services.web.env_file[1]"
    settings = files.read_service(text, file, "list", {})
    assert _get_values(settings.environment)[2:] == (("B", "x=y"), ("HOME", None), ("C", "c"))
    assert settings.other_variables is None


@pytest.mark.parametrize(
    "text, words, rest",
    [
        ("", (), ""),
        ("a 'b c' \"d e\" f\\ g", ("a", "b c", "d e", "f g"), ""),
        ("a '' \"\" b", ("a", "", "", "b"), ""),
        ("\"a\\b\\n\" 'c\\d'", ("ab\n", "c\\d"), ""),
        ("a b && c", ("a", "b"), "&& c"),
        ("a b; c", ("a", "b"), "; c"),
        ("a 2>&1", ("a",), ">&1"),
        ("a x>y", ("a", "x"), ">y"),
        ("sh -c 'a; b'", ("sh", "-c", "a; b"), ""),
        ("a $(b c) `d e`", ("a", "$(b c)", "`d e`"), ""),
    ],
)
def test_a_command_is_split_as_compose_splits_it(text, words, rest):
    """Compose uses mattn/go-shellwords, which differs from a shell."""
    assert shellwords.split_words(text) == (words, rest)


@pytest.mark.parametrize("text", ["'a", '"a', "a\\", "(a)", "a)", "$(a", "`a"])
def test_a_command_that_compose_refuses_is_refused(text):
    with pytest.raises(ValueError):
        shellwords.split_words(text)


def test_the_part_of_a_command_that_compose_leaves_out_is_noted():
    settings = files.read_service(
        b"services: {web: {command: 'app && other'}}", "compose.yaml", "web", open_file=_open_missing_file
    )
    assert settings.command.value == ("app",)
    assert settings.notes == (
        'compose.yaml:1: services.web.command: Compose leaves out what follows "&"; quote it, or use sh -c',
    )


def _open_missing_file(path: str) -> bytes:
    """Raises the error of a file that does not exist."""
    raise FileNotFoundError(path)

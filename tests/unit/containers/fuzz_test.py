"""Fuzz tests: any input is either read or refused with an InputError, and so are the settings that it has."""

from __future__ import annotations

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rules_setcap.containers.compose import dotenv, files, shellwords
from rules_setcap.containers.docker import command_line, flags
from rules_setcap.containers.process import compute_initial_process
from rules_setcap.containers.settings import Settings
from rules_setcap.diagnostics.errors import InputError
from rules_setcap.documents import yaml_documents

FUZZ = settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))

WORDS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        """
        ALL all NET_ADMIN cap_bpf CAP_KILL,CHOWN no-new-privileges no-new-privileges:true no-new-privileges=0 1000:1000 root 0 a:/b
        a:/b:suid /a:nosuid type=tmpfs,dst=/x keep-id keep-id:uid=5 host private ["a"] [1] [[[ io.containers.capabilities=KILL
        true false image -- - = $X ${X:-1} 0:1:2
        """.split()
    ),
)
NAMES = st.sampled_from(
    """
    cap-add cap-drop user privileged security-opt entrypoint volume mount tmpfs userns init label uidmap rootfs name read-only it u v
    """.split()
)
FLAGS = st.one_of(
    st.tuples(NAMES, WORDS).map(lambda pair: f"--{pair[0]}={pair[1]}"),
    NAMES.map(lambda name: "--" + name),
    st.text(alphabet="aituvpq=0", max_size=5).map(lambda letters: "-" + letters),
    st.sampled_from(sorted(flags.DOCKER.values | flags.PODMAN.switches)).map(lambda name: "--" + name),
    WORDS,
)


def _check_process(settings_read: Settings) -> None:
    """Computes the process of some settings, and checks what holds for every process."""
    try:
        process = compute_initial_process(settings_read, image_user="7", uids={"root": 0, "nginx": 101})
    except InputError as error:
        assert error.problems
        return
    assert process.permitted == process.effective
    assert process.ambient & ~(process.permitted & process.inheritable) == 0


def _check_error(error: InputError) -> None:
    """Checks that an error has problems of one line each."""
    assert error.problems and all(problem and "\n" not in problem for problem in error.problems)


@FUZZ
@given(st.sampled_from(["docker", "podman"]), st.lists(FLAGS, max_size=8))
def test_any_flags_are_read_or_refused(engine, words):
    try:
        settings_read = command_line.read_command_line(f"{engine} run {' '.join(words)} image")
    except InputError as error:
        _check_error(error)
    else:
        _check_process(settings_read)


SIGNS = st.text(alphabet="ab =:#'\"\\$`{}()[]@*-+?;&|<>\n\t", max_size=30)


@FUZZ
@given(st.one_of(st.text(max_size=60), SIGNS))
def test_any_command_is_read_or_refused(text):
    for command in (text, "docker run " + text):
        try:
            command_line.read_command_line(command)
        except InputError as error:
            _check_error(error)


@FUZZ
@given(st.one_of(SIGNS.map(str.encode), st.binary(max_size=30)))
def test_any_file_of_variables_is_read_or_refused(data):
    try:
        variables = dotenv.parse_variables(data, ".env", {"a": "b"})
    except InputError as error:
        _check_error(error)
    else:
        assert all(isinstance(text, str) for pair in variables.items() for text in pair)


@FUZZ
@given(st.one_of(SIGNS, st.text(max_size=30)))
def test_any_words_of_compose_are_split_or_refused(text):
    try:
        words, rest = shellwords.split_words(text)
    except ValueError as error:
        assert str(error)
    else:
        assert text.endswith(rest) and sum(map(len, words)) <= len(text)


VALUES = st.recursive(
    st.one_of(WORDS, st.none(), st.booleans(), st.integers()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(WORDS, st.sampled_from(["type", "target", "service", "file"])), inner, max_size=3),
    ),
    max_leaves=5,
)
SERVICES = st.dictionaries(
    st.sampled_from(
        [
            *sorted(
                files._KEYS
                & set("cap_add cap_drop user privileged init security_opt entrypoint command volumes tmpfs userns_mode".split())
            ),
            "extends",
            "x",
        ]
    ),
    st.one_of(VALUES, st.lists(WORDS, max_size=3)),
    max_size=5,
)


@FUZZ
@given(st.dictionaries(st.sampled_from(["web", "base"]), st.one_of(SERVICES, VALUES)))
def test_any_compose_file_is_read_or_refused(services):
    try:
        settings_read = files.read_service(
            json.dumps({"services": services}).encode(), "compose.yaml", "web", open_file=lambda path: b""
        )
    except InputError as error:
        _check_error(error)
    else:
        _check_process(settings_read)


# Fragments of YAML, which in any order are often valid.
PARTS = st.sampled_from(
    [
        "a: ",
        "b",
        "- ",
        "\n",
        "\n  ",
        "&x ",
        "*x",
        "<<: ",
        "{",
        "}",
        "[",
        "]",
        ",",
        "? ",
        "!y ",
        "!!int ",
        "'",
        '"',
        "|\n ",
        "---\n",
        "...\n",
        "#",
        "%",
        "\t",
        "é",
        "0x",
        "~",
    ]
)


@FUZZ
@given(st.one_of(st.binary(max_size=60), st.lists(PARTS, max_size=25).map(lambda parts: "".join(parts).encode())))
def test_any_document_is_read_or_refused(data):
    try:
        documents = yaml_documents.parse_documents(data, "file.yaml")
    except InputError as error:
        _check_error(error)
        return
    stack = list(documents)
    while stack:
        field = stack.pop()
        for read in (field.text, field.scalar, field.boolean, field.integer):
            read()
        stack += [*field.items(), *field.fields().values()]
    assert all("\n" not in problem for document in documents for problem in document.problems)

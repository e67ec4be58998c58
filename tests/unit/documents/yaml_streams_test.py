"""Files are joined to one stream with the same documents."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rules_setcap.diagnostics.errors import InputError
from rules_setcap.documents.yaml_documents import Node, parse_documents
from rules_setcap.documents.yaml_streams import join_files


def test_joined_manifests_are_the_same_documents():
    parts = [
        "\ufeffa: 1",
        "---\nb: 1\n---\nc: 1\n",
        "# comment\n\n--- # x\nd: 1\n...\n",
        '{"e": 1}',
        "%YAML 1.1\n---\nf: 1\r\n",
        "%TAG ! tag:x,2000:\n---\ng: 1\r\n...\r\n",
        "h: |+\n  1\n\n",
    ]
    for first in range(len(parts)):
        order = parts[first:] + parts[:first]
        joined = join_files(part.encode() for part in order)
        expected = [document for part in order for document in yaml.safe_load_all(part.removeprefix("\ufeff"))]
        assert [document for document in yaml.safe_load_all(joined) if document is not None] == expected
        assert joined.count("\ufeff".encode()) == 0
    assert join_files([]) == b""


@pytest.mark.parametrize(
    "text, expected",
    [
        ("--- {a: 1}\n---\t{b: '\n  --- {c: 1}'}\n--- # {d: 1}\ne: 1", "---\n{a: 1}\n---\n{b: '\n  --- {c: 1}'}\n--- # {d: 1}\ne: 1\n"),
        ("a: |\n  --- {b: 1}\n---\n", "---\na: |\n  --- {b: 1}\n---\n"),
        ("# a\r\n\r\n%YAML 1.2 # b\r\n---\r\nc: 1\r\n", "# a\r\n\r\n---\r\nc: 1\r\n"),
        ("a: |\n  b", "---\na: |-\n  b\n"),
        ("a: >2+ # |\n   b", "---\na: >2- # |\n   b\n"),
        ("a: |+2\n   b\n\n  ", "---\na: |+2\n   b\n\n"),
        ("a: |\n  b\n# c", "---\na: |\n  b\n# c\n"),
        ("%YAMLish\n", "%YAMLish\n"),
        ('"%YAML 1.1\n"', '---\n"%YAML 1.1\n"\n'),
        (r'{"a": "\/ \\/ \\\/ \ud83d\ude00 \\ud83d\ude00"}', '---\n{"a": "/ \\\\/ \\\\/ \U0001f600 \\\\ud83d\\ude00"}\n'),
        (r"{a: '\/'}", "---\n{a: '\\/'}\n"),
    ],
)  # fmt: skip
def test_only_what_kubectl_cannot_read_is_written_otherwise(text: str, expected: str):
    assert join_files([text.encode()]).decode() == expected


def test_json_keeps_its_value():
    value = {"a": ["\U0001f600/", "\\/\\ud83d\\ude00", '\b\f\n\r\t"\\', "\u2028\x85"]}
    for is_ascii in (True, False):
        text = json.dumps(value, ensure_ascii=is_ascii).replace("/", "\\/")
        assert json.loads(text) == value
        assert json.loads(join_files([text.encode()]).removeprefix(b"---\n")) == value


PIECES = [
    *("a: ", "b: ", "- ", "- - ", "c", "\n", "\n  ", "\n\n", "\r\n", "\r", " ", "\t", "'d'", '"e"', '"', "'", "\\/", r"\ud83d\ude00"),
    *("|", "|-", "|+", ">", ">2+", "{", "}", "[", "]", ",", "#", " # f", "---\n", "--- ", "---", "...\n", "%YAML 1.1\n", "%YAML 1.2\n---\n"),
    *("\ufeff", "\x85", "\u2028", '{"a": 1}', "{a: 1}", "&g ", "*g", "!!str "),
]  # fmt: skip


def _read_values(data: bytes) -> list[object]:
    """Returns the documents of a file as lists, dictionaries and scalars with their kind."""

    def simplify(node: Node) -> object:
        if isinstance(node.value, dict):
            return {key: simplify(member) for key, member in node.value.items()}
        if isinstance(node.value, list):
            return list(map(simplify, node.value))
        return node.value, node.plain, node.tag

    return [simplify(field.node) for field in parse_documents(data, "file.yaml")]


@settings(max_examples=3000, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(PIECES), max_size=15).map("".join))
def test_whatever_is_read_keeps_its_values(text: str):
    try:
        values = _read_values(text.encode())
    except InputError:
        return
    if any(isinstance(value, tuple) for value in values):
        return  # A document that is only a scalar.
    assert _read_values(join_files([text.encode(), b"last: 1\n"])) == [*values, {"last": ("1", True, "")}]
    assert _read_values(join_files([b"first: 1", text.encode()])) == [{"first": ("1", True, "")}, *values]

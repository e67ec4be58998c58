"""YAML files are read within limits, and each problem is one line with the place that it is about."""

from __future__ import annotations

import itertools
import time

import pytest

from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import InputError
from rules_setcap.documents import yaml_documents


def _parse(text: bytes):
    return yaml_documents.parse_documents(text, "file.yaml")


def _multiply_aliases(line: bytes) -> bytes:
    """Returns a file with ten anchors, each of which stands for nine times the one before it."""
    names = [bytes([letter]) for letter in b"abcdefghij"]
    first = b"a: &a {x: 1}\n"
    return first + b"".join(
        line.replace(b"NEW", new).replace(b"OLD", b",".join([b"*" + old] * 9)) for old, new in itertools.pairwise(names)
    )


HOSTILE = [
    (b"[" * 1_000_000, "file.yaml:1: nested too deep (limit YAML_DEPTH: 100)"),
    (b"- " * 1_000_000, "file.yaml:1: nested too deep (limit YAML_DEPTH: 100)"),
    (
        b"a:\n" + b"".join(b" " * depth + b"a:\n" for depth in range(1, 2000)),
        "file.yaml:101: nested too deep (limit YAML_DEPTH: 100)",
    ),
    (
        _multiply_aliases(b"NEW: &NEW [OLD]\n"),
        "file.yaml:8: too many values, with aliases written out (limit YAML_VALUES: 2000000)",
    ),
    (
        _multiply_aliases(b"NEW: &NEW {<<: [OLD], kNEW: 1}\n"),
        "file.yaml:7: too many values, with aliases written out (limit YAML_VALUES: 2000000)",
    ),
    (
        b"[" + b"a," * 2_000_001 + b"]",
        "file.yaml:1: too many values for its size (limit YAML_NODES_FREE: 200000, and one for each 8 bytes)",
    ),
    (b"a: &a [*a]", 'file.yaml:1: "*a" is inside the value that it stands for'),
    (b"a: *a", "file.yaml:1: invalid YAML: found undefined alias"),
    (b"a: " + b"x" * limits.YAML, f"file.yaml: is too large (limit YAML: {limits.YAML} bytes)"),
    (b"a: \xff", 'file.yaml: "ff": not UTF-8 at byte 3'),
    (b"a: \0", "file.yaml: invalid YAML: control characters are not allowed"),
    (b"a:\n\t- b", "file.yaml:2: invalid YAML: found character that cannot start any token"),
    (
        b"a:\n{{ if .Values.b }}\nb: c\n{{ end }}",
        "file.yaml:3: invalid YAML: could not find expected ':'; if this is a template, render it first, for instance with helm template",
    ),
    (
        b'{"a": 1}\n{"b": 2}\n',
        "file.yaml:2: invalid YAML: did not find expected <document start>; a JSON file has one object; put several into the items of a List",
    ),
    (
        "a: 1\n---\n\ufeffb: 2\nc: 3\n".encode(),
        "file.yaml:4: invalid YAML: did not find expected <document start>; remove the byte order mark (U+FEFF) inside the file",
    ),
    (b'{"a": "\\ud800"}', "file.yaml:1: invalid YAML: found invalid Unicode character escape code"),
    (b"%YAML 7.0\n--- a", "file.yaml:1: invalid YAML: found incompatible YAML document"),
]


@pytest.mark.parametrize("text, message", HOSTILE, ids=lambda value: str(value)[:30])
def test_a_hostile_file_is_refused_soon(text, message):
    before = time.monotonic()
    with pytest.raises(InputError) as error:
        _parse(text)
    assert error.value.problems == [message]
    assert time.monotonic() - before < 20


INVALID = [
    (b"a: 1\nb: {a: 1, c: 2}\na: 3", 'file.yaml:3: "a": a second time in one mapping; the first is in line 1'),
    (b"a: !!python/object/apply:os.system [x]", 'file.yaml:1: "tag:yaml.org,2002:python/object/apply:os.system": unknown tag'),
    (b"a: !reset x", 'file.yaml:1: "!reset": unknown tag'),
    (b"[a, b]: c", "file.yaml:1: a key that is not text"),
    (
        b"a: {{ .Values.x }}",
        "file.yaml:1: a key that is not text; if this is a template, render it first, for instance with helm template",
    ),
    (b"a:\n  <<: [x]", 'file.yaml:2: "<<": merges a value that is not a mapping'),
]


@pytest.mark.parametrize("text, message", INVALID, ids=lambda value: str(value)[:30])
def test_an_invalid_value_is_a_problem(text, message):
    (document,) = _parse(text)
    assert list(document.problems) == [message]


def test_every_value_has_its_path_and_line():
    first, second = _parse(b"\xef\xbb\xbf---\n# nothing\n---\na:\n  - b: 1\n    'x y': {z: ~}\n---\n{\"json\": [true]}\n...\n")
    member = first.at("a").items()[0]
    assert (member.get("b").where, member.get("b").integer()) == ("file.yaml:5: a[0].b", 1)
    assert member.get("x y").where == 'file.yaml:6: a[0]["x y"]'
    assert first.at("a", "b", "c") is None and member.at("x y", "z") is None and member.get("x y").fields() == {}
    assert second.get("json").items()[0].boolean() is True
    assert list(first.problems) == ['file.yaml:5: a: "a list": not a mapping']


def test_pairs_of_surrogates_in_json_are_characters():
    (document,) = _parse(rb'{"a": ["\ud83d\ude00", "b \\ud83d\\ude00 \uD83D\uDE00"], "\ud83d\ude00": 1}')
    assert [item.text() for item in document.get("a").items()] == ["\U0001f600", "b \\ud83d\\ude00 \U0001f600"]
    assert not document.problems


def test_merge_keys_give_way_to_own_keys():
    (document,) = _parse(b"a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {<<: [*a, *b], x: 3}\nd: {'<<': 1}")
    assert {key: field.integer() for key, field in document.get("c").fields().items()} == {"x": 3, "y": 1, "z": 2}
    assert document.get("c").get("z").where == "file.yaml:2: c.z"
    assert list(document.get("d").fields()) == ["<<"]


@pytest.mark.parametrize(
    "text, expected",
    [
        ("0", 0),
        ("-1_000", -1000),
        ("010", 8),
        ("0o10", 8),
        ("0x1F", 31),
        ("+0b11", 3),
        ("9223372036854775807", (1 << 63) - 1),
        ("9223372036854775808", None),
        ("1" * 500, None),
        ("0x", None),
        ("1.0", None),
        ("1e3", None),
        ("1:30", None),
        ("'1'", None),
        ("٣", None),
        ("!!int '7'", 7),
    ],
)
def test_an_integer_is_read_as_in_yaml(text, expected):
    (document,) = _parse(f"a: {text}".encode())
    assert document.get("a").integer() == expected
    assert bool(document.problems) == (expected is None)


@pytest.mark.parametrize(
    "text, expected", [("true", True), ("Yes", True), ("off", False), ("n", False), ("'true'", None), ("1", None), ("[]", None)]
)
def test_a_boolean_is_read_as_in_yaml(text, expected):
    (document,) = _parse(f"a: {text}".encode())
    assert document.get("a").boolean() is expected
    assert bool(document.problems) == (expected is None)


@pytest.mark.parametrize("text", ["yes", "1", "0x1", "1.5", ".inf", "1e3", "[]", "{a: b}"])
def test_a_plain_scalar_that_is_something_else_is_not_text(text):
    (document,) = _parse(f"a: {text}".encode())
    assert document.get("a").text() is None and len(document.problems) == 1


@pytest.mark.parametrize(
    "text, expected", [("'yes'", "yes"), ("1000:50", "1000:50"), ("2020-01-01", "2020-01-01"), ("!!str 5", "5"), ('""', "")]
)
def test_text_is_read_as_in_yaml(text, expected):
    (document,) = _parse(f"a: {text}".encode())
    assert document.get("a").text() == expected and not document.problems

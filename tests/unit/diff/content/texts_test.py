"""Texts and compiled Python files are compared by lines and by their headers; probable causes are named."""

from __future__ import annotations

import json
import os
import pathlib
import py_compile
import random

import pytest
from comparing import compare, find

LINES = [f"line {number} of a text\n" for number in range(1, 301)]
TEXT = "".join(LINES)


def test_a_line_is_shown_with_its_neighbours():
    difference = compare(TEXT.encode(), TEXT.replace("line 77 ", "LINE 77 ").encode())
    assert difference.type == "text"
    assert difference.summary == "1 line removed, 1 added"
    assert difference.details == (
        "@@ -76,3 +76,3 @@",
        "  line 76 of a text",
        "- line 77 of a text",
        "+ LINE 77 of a text",
        "  line 78 of a text",
    )


@pytest.mark.parametrize(
    ("before", "after", "cause"),
    [
        ("built 2026-11-26T20:01:02Z", "built 2026-11-27T08:01:02Z", "timestamp: 2026-11-26T20:01:02Z -> 2026-11-27T08:01:02Z"),
        ("at Nov 26 2026 20:01:02.", "at Nov 27 2026 20:01:02.", "timestamp: Nov 26 2026 20:01:02 -> Nov 27 2026 20:01:02"),
        (
            "Thu Nov 26 20:01:02 UTC 2026",
            "Thu Nov 26 20:01:03 UTC 2026",
            "timestamp: Nov 26 20:01:02 UTC 2026 -> Nov 26 20:01:03 UTC 2026",
        ),
        ("time=1795726776", "time=1795726777", "timestamp: 1795726776 -> 1795726777"),
        ("srcdir=/home/a/src/x", "srcdir=/home/b/src/x", "embedded path: /home/a/src/x -> /home/b/src/x"),
        (
            "id: 6f1c8a34-8a0f-4c3e-9d57-0a1b2c3d4e5f",
            "id: 0f1c8a34-8a0f-4c3e-9d57-0a1b2c3d4e5f",
            "UUID: 6f1c8a34-8a0f-4c3e-9d57-0a1b2c3d4e5f -> 0f1c8a34-8a0f-4c3e-9d57-0a1b2c3d4e5f",
        ),
        ("sum " + "ab" * 20, "sum " + "cd" * 20, f"hash or random value: {'ab' * 20} -> {'cd' * 20}"),
    ],
)
def test_a_probable_cause_is_named(before, after, cause):
    assert compare(f"a\n{before}\nb\n".encode(), f"a\n{after}\nb\n".encode()).causes == (cause,)


@pytest.mark.parametrize(
    ("before", "after"), [("version 1.2", "version 1.3"), ("a / b", "a / c"), ("<a></b>", "<a></c>"), ("x", "")]
)
def test_no_cause_is_named_where_there_is_none(before, after):
    assert compare(f"a\n{before}\nb\n".encode(), f"a\n{after}\nb\n".encode()).causes == ()


def test_the_same_lines_in_another_order_are_recognized():
    lines = LINES[:50]
    random.Random(3).shuffle(lines)
    difference = compare("".join(LINES[:50]).encode(), "".join(lines).encode())
    assert difference.summary.startswith("the same lines in another order; ")
    assert difference.causes == ("order of lines: the same lines in another order",)


@pytest.mark.parametrize(
    ("other", "cause"),
    [
        (TEXT.replace("\n", "\r\n"), "line ends: LF -> CRLF"),
        (TEXT.rstrip(), "line ends: only the last line's end differs"),
        (TEXT.replace("line 5 of", "line 5  of"), "white space: only white space differs"),
    ],
)
def test_differences_that_do_not_show_are_named(other, cause):
    assert cause in compare(TEXT.encode(), other.encode()).causes


@pytest.mark.parametrize(
    ("one", "other"), [("latin-1", "utf-8"), ("utf-8", "utf-8-sig"), ("utf-16", "utf-8"), ("utf-8", "utf-16")]
)
def test_another_encoding_of_the_same_text_is_recognized(one, other):
    text = "Grüße aus Köln\n"
    difference = compare(text.encode(one), text.encode(other))
    assert difference.type.startswith("text")
    find(difference.causes, "encoding: ")


def test_a_text_in_latin_1_is_shown():
    difference = compare("Grüße\naus Köln\n".encode("latin-1"), "Grüße\naus Löln\n".encode("latin-1"))
    assert difference.type == "text (latin-1)"
    assert difference.details[-2:] == ("- aus Köln", "+ aus Löln")


def test_json_with_other_order_of_keys_is_the_same_value():
    value = {f"key{number}": [number, {"x": None}] for number in range(5)}
    one, other = json.dumps(value), json.dumps(dict(reversed(value.items())), indent=1)
    assert "order of keys: the same JSON value, written differently" in compare(one.encode(), other.encode()).causes
    assert not compare(one.encode(), other.replace("null", "true").encode()).causes


def test_a_long_line_is_shown_around_the_difference():
    words = " ".join(f"word{number}" for number in range(50_000))
    difference = compare(words.encode(), words.replace("word25000 ", "WORD25000 ").encode())
    assert difference.summary == "1 line removed, 1 added"
    find(difference.details, "- ...", "word25000 ")
    find(difference.details, "+ ...", "WORD25000 ")


@pytest.mark.parametrize("line", [3, 200_000, 399_999])
def test_a_line_of_a_large_text_is_found(line):
    lines = [f"line {number}\n" for number in range(1, 400_001)]
    text = "".join(lines).encode()
    lines[line - 1] = "another\n"
    difference = compare(text, "".join(lines).encode())
    assert "at least 1 line removed" in difference.summary
    assert difference.details[0].startswith(f"@@ -{line},") or difference.details[0].startswith(f"@@ -{line - 1},")
    find(difference.details, f"- line {line}")
    find(difference.details, "+ another")


def test_control_characters_are_escaped():
    difference = compare(b"a\n\x1b[31mred\n", "a\n\u202ered\n".encode())
    find(difference.details, r"- \u001b[31mred")
    find(difference.details, r"+ \u202ered")


def compile_python(source: pathlib.Path, mode: str = "TIMESTAMP", name: str = "/app/module.py") -> bytes:
    compiled = source.with_suffix(f".{mode}.pyc")
    py_compile.compile(
        str(source), cfile=str(compiled), dfile=name, invalidation_mode=py_compile.PycInvalidationMode[mode], doraise=True
    )
    return compiled.read_bytes()


@pytest.fixture
def module(tmp_path) -> pathlib.Path:
    path = tmp_path / "module.py"
    path.write_text("def f():\n    return 1\n")
    os.utime(path, (0, 1_000_000_000))
    return path


def test_the_time_of_a_python_source_is_named(module):
    before = compile_python(module)
    os.utime(module, (0, 1_000_000_060))
    difference = compare(before, compile_python(module))
    assert difference.type == "Python bytecode"
    assert difference.summary == "the source time; the code is equal"
    assert difference.causes == ("timestamp: source time: 2001-09-09 01:46:40 -> 2001-09-09 01:47:40",)


@pytest.mark.parametrize(
    ("mode", "text"), [("CHECKED_HASH", "by source hash, checked"), ("UNCHECKED_HASH", "by source hash, unchecked")]
)
def test_the_invalidation_mode_is_named(mode, text, module):
    difference = compare(compile_python(module), compile_python(module, mode))
    assert difference.details == (f"invalidation: by source time and size -> {text}",)
    assert difference.summary.endswith("the code is equal")


def test_the_hash_of_a_python_source_is_named(module):
    before = compile_python(module, "CHECKED_HASH")
    module.write_text("def f():\n    return 1 \n")
    assert compare(before, compile_python(module, "CHECKED_HASH")).summary == "the source hash; the code is equal"


def test_the_path_of_a_python_source_is_named(module):
    difference = compare(compile_python(module, name="/build/1/module.py"), compile_python(module, name="/build/2/module.py"))
    assert difference.summary.startswith("the code: ")
    assert difference.causes == ("embedded path: /build/1/module.py -> /build/2/module.py",)


def test_the_order_of_a_set_is_named(module):
    """Python before 3.11 writes the items of a frozenset in an order that depends on PYTHONHASHSEED."""
    module.write_text("def f(x):\n    return x in {'alpha', 'gamma'}\n")
    data = compile_python(module)
    other = data.replace(b"alpha", b"-----").replace(b"gamma", b"alpha").replace(b"-----", b"gamma")
    assert data != other
    find(compare(data, other).causes, "order: the same bytes", "PYTHONHASHSEED")


def test_another_version_of_python_is_named(module):
    data = compile_python(module)
    difference = compare(data, (3495).to_bytes(2, "little") + data[2:])
    find(difference.details, "version: 3.", "-> 3.11 (magic number 3495)")


def test_another_source_size_is_named_with_the_code(module):
    before = compile_python(module)
    module.write_text("def f():\n    return 100\n")
    os.utime(module, (0, 1_000_000_000))
    difference = compare(before, compile_python(module))
    assert difference.summary.startswith("the source size; the code: ")

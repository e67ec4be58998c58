"""Extracts and BUILD files are parsed as Bazel reads them."""

from __future__ import annotations

import pytest
from build_files import Target, read_targets
from extracts import get_field, parse_message


def test_a_message_has_its_fields_in_order():
    message = parse_message('a {\n  b: "one"\n  c {\n  }\n}\na {\n  b: "two"\n}\nd: TRUE\n')
    assert message == {"a": [{"b": ["one"], "c": [{}]}, {"b": ["two"]}], "d": ["TRUE"]}


def test_strings_are_unescaped():
    assert parse_message(r'a: "\"\'\\\n\342\200\246{}"') == {"a": ["\"'\\\n…{}"]}


def test_absent_fields_are_empty():
    message = parse_message('a { b: "one" }')
    assert (get_field(message, "a", "b"), get_field(message, "a", "c"), get_field(message, "d", "e")) == ("one", "", "")


@pytest.mark.parametrize("text", ["a: ", 'a: "', "a {", "}", "a { } }", "a: 1 ?"])
def test_other_text_is_refused(text: str):
    with pytest.raises(ValueError, match=r"invalid text format|message is"):
        parse_message(text)


def test_targets_have_the_comments_above_them():
    text = '# Not\n\n# One.\n# Two.\nflag(name = "a")\n\nother(name = "b")\n\nflag(\n    # Inside.\n    name = "c",\n)\n'
    assert read_targets(text, {"flag"}) == [
        Target("flag", {"name": "a"}, "One.\nTwo."),
        Target("flag", {"name": "c"}, ""),
    ]

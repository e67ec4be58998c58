"""Values in JSON documents are replaced, and all other bytes stay."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rules_setcap.imagecap.json_edits import edit_document

SCALARS = st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | st.text(st.characters(exclude_categories=["Cs"]))
DOCUMENTS = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text('ab"\\{}[]:, \u00e4'), inner), max_leaves=20
)
Place = tuple[str | int, ...]


def _list_places(value: Any, place: Place = ()) -> Iterator[Place]:
    if place:
        yield place
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from _list_places(item, (*place, key))


@given(
    st.dictionaries(st.text(), DOCUMENTS, min_size=1),
    st.data(),
    SCALARS,
    st.sampled_from([None, 1, "\t"]),
    st.booleans(),
    st.sampled_from([(",", ":"), (" , ", " : ")]),
)
def test_a_document_differs_in_the_replaced_value_alone(document, data, new, indent, ensure_ascii, separators):
    def encode(value: Any) -> str:
        return "\n" + json.dumps(value, indent=indent, ensure_ascii=ensure_ascii, separators=separators) + " "

    place = data.draw(st.sampled_from(sorted(_list_places(document), key=repr)))
    before = encode(document)
    after = edit_document(before.encode(), {place: new}).decode()

    changed = json.loads(before)
    parent = changed
    for key in place[:-1]:
        parent = parent[key]
    parent[place[-1]] = new
    assert json.loads(after) == changed
    # A marker that stands for the value shows which bytes are around it.
    parent[place[-1]] = "\x00marker"
    marker = json.dumps("\x00marker")
    start, end = encode(changed).split(marker)
    assert after.startswith(start)
    assert after.endswith(end)
    assert json.loads(after[len(start) : len(after) - len(end)]) == new


def test_no_change_changes_nothing():
    document = b' {"a" : [1, 2.50, "\\u003c"], "b":{ } }\n'
    assert edit_document(document, {}) == document
    assert edit_document(document, {("a", 1): 2.5}) == document.replace(b"2.50", b"2.5")


def test_keys_are_removed():
    assert edit_document(b'{"a": {"b": 1, "c": [2]}}', {("a", "c", 0): 3}, [("a", "b")]) == b'{"a":{"c":[3]}}'


def test_many_values_are_replaced_in_linear_time():
    document = {"manifests": [{"digest": "a", "size": number, "other": [{}]} for number in range(50_000)]}
    values = {("manifests", number, key): "new" for number in range(50_000) for key in ("digest", "size")}
    changed = {"manifests": [{"digest": "new", "size": "new", "other": [{}]}] * 50_000}
    started = time.process_time()
    assert json.loads(edit_document(json.dumps(document).encode(), values)) == changed
    assert time.process_time() - started < 20

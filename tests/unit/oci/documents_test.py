"""JSON that Go reads in another way is refused, and JSON that is written again has the same value."""

from __future__ import annotations

import json
import pathlib
import time
from typing import Any

import pytest
from image_assembly import (  # noqa: F401 (assemble_image is a fixture)
    BASE_CONFIG,
    assemble_image,
    put_manifest,
    read_json,
    read_problems,
    write_index,
)

from rules_setcap.diagnostics import limits, strict_json

REFUSED = [
    (b"", "is not JSON at character 0"),
    (b"{} x", "is not JSON at character 3"),
    (b"\xef\xbb\xbf{}", "is not JSON at character 0"),
    ("{}".encode("utf-16"), "is not UTF-8 at byte 0"),
    (b'"\xff"', "is not UTF-8 at byte 1"),
    (b'"\xed\xa0\x80"', "is not UTF-8 at byte 1"),
    (rb'"\ud800"', "has half of a surrogate pair, which is not Unicode"),
    (rb'{"\udC00x":1}', "has half of a surrogate pair, which is not Unicode"),
    (b'"\x00"', "is not JSON at character 1"),
    (b"[NaN]", "is not JSON: it has NaN"),
    (b"-Infinity", "is not JSON: it has -Infinity"),
    (b"1e400", 'has the number "1e400", which a 64-bit floating-point number does not hold'),
    (b"1e-400", 'has the number "1e-400", which a 64-bit floating-point number does not hold'),
    (b"0.10000000000000000001", "which a 64-bit floating-point number does not hold"),
    (b"1e9999999999", "which a 64-bit floating-point number does not hold"),
    (b"18446744073709551616", 'has the number "18446744073709551616", which is out of range (64 bits)'),
    (b"-9223372036854775809", "which is out of range (64 bits)"),
    (b"1" * 5000, "which is out of range (64 bits)"),
    (b'{"a":1,"b":{"c":1,"c":2}}', 'has the key "c" twice in one object; keep one'),
    (rb'{"a":1,"\u0061":2}', 'has the key "a" twice in one object; keep one'),
    (b"[" * 40_000 + b"]" * 40_000, "has values more than 100 levels deep (limit JSON_DEPTH)"),
    (b'{"a":' * 101 + b"1" + b"}" * 101, "has values more than 100 levels deep (limit JSON_DEPTH)"),
    (b"[" + b"0," * limits.JSON_VALUES + b"0]", "has more than 200000 values (limit JSON_VALUES)"),
    (b'"' * (limits.JSON_VALUES * 5), "has more than 200000 values (limit JSON_VALUES)"),
    (b"]" * 1000, "is not JSON"),
    (b'"' + b'\\"' * 1_000_000, "is not JSON"),
]


@pytest.mark.parametrize("data, expected", REFUSED, ids=lambda value: repr(value[:20]))
def test_ambiguous_json_is_refused(data: bytes, expected: str):
    start = time.monotonic()
    with pytest.raises(strict_json.DocumentError) as error:
        strict_json.parse_document(data)
    assert expected in str(error.value) and len(str(error.value)) < 400
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    "text",
    [
        *(
            '{"a":[1,2.5,-0.0,1e5,true,null,"x"],"A":{}}',
            "18446744073709551615",
            "-9223372036854775808",
            r'"\ud83d\ude00"',
            '"\U0001f600"',
        ),
        *(
            r'"\\ud800"',
            "0.1",
            "1e300",
            '"' + "[" * 1000 + '"',
            r'"\"[[[["',
            "[" * 100 + "]" * 100,
            '"' + r"\\" * 100_000 + '"',
            '"\\u0000"',
        ),
    ],
)
def test_other_json_has_the_same_value_as_in_python(text: str):
    value = strict_json.parse_document(text.encode())
    assert value == json.loads(text)
    # The value is the same after it is written and read again.
    assert json.loads(json.dumps(value, ensure_ascii=False).encode()) == value


FIELDS = [
    (strict_json.MANIFEST, {"LAYERS": []}, "LAYERS", "layers"),
    (strict_json.MANIFEST, {"layer\u017f": []}, "layer\\u017f", "layers"),
    (strict_json.MANIFEST, {"layers": [{"Digest": ""}]}, "Digest", "digest"),
    (strict_json.MANIFEST, {"manifests": [{"platform": {"OS": ""}}]}, "OS", "os"),
    (strict_json.CONFIG, {"rootfs": {"Diff_IDs": []}}, "Diff_IDs", "diff_ids"),
    (strict_json.CONFIG, {"config": {"user": "0"}}, "user", "User"),
    (strict_json.CONFIG, {"RootFS": {}}, "RootFS", "rootfs"),
    (strict_json.DOCKER, [{"layers": []}], "layers", "Layers"),
    (strict_json.LAYOUT, {"imagelayoutversion": ""}, "imagelayoutversion", "imageLayoutVersion"),
]


@pytest.mark.parametrize("fields, value, key, field", FIELDS)
def test_a_key_that_engines_take_for_a_field_is_refused(fields: Any, value: Any, key: str, field: str):
    with pytest.raises(strict_json.DocumentError) as error:
        strict_json.parse_document(json.dumps(value, ensure_ascii=False).encode(), fields)
    assert str(error.value) == f'has the key "{key}", which engines take for "{field}"; write "{field}"'


def test_names_that_users_choose_may_look_like_fields():
    execution = {"Labels": {"user": "a", "Labels": "b"}, "ExposedPorts": {"80/TCP": {}}, "Volumes": {"/Volumes": {}}}
    strict_json.parse_document(json.dumps({"config": execution, "x": 1}).encode(), strict_json.CONFIG)
    strict_json.parse_document(json.dumps({"annotations": {"Layers": "x", "layers": "y"}}).encode(), strict_json.MANIFEST)


def test_the_budget_is_shared_by_all_documents():
    budget = strict_json.JsonBudget()
    for _ in range(limits.JSON_BYTES >> 20):
        strict_json.parse_document(b'"' + b"x" * ((1 << 20) - 2) + b'"', None, budget)
    with pytest.raises(strict_json.DocumentError, match="JSON_BYTES"):
        strict_json.parse_document(b"1", None, budget)
    budget = strict_json.JsonBudget()
    with pytest.raises(strict_json.DocumentError, match="together more than 200000 values"):
        for _ in range(10):
            strict_json.parse_document(b"[" + b"1," * 30_000 + b"1]", None, budget)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1e400", "99999999999999999999", r'"\udc00"', "[" * 200 + "]" * 200])
@pytest.mark.parametrize("place", ["config", "label", "history", "unknown"])
def test_a_base_that_cannot_be_written_again(assemble_image, tmp_path: pathlib.Path, text: str, place: str):
    base = json.loads(json.dumps(BASE_CONFIG))
    where = {"config": base["config"], "label": base["config"]["Labels"], "history": base["history"][0], "unknown": base}[place]
    where["x"] = "VALUE"
    data = json.dumps(base).replace('"VALUE"', text).encode()
    write_index(tmp_path / "base", put_manifest(tmp_path / "base", data))
    (line,) = read_problems(assemble_image("--base-layout=base"))
    assert line.startswith('base: "//:base": blobs/sha256/')
    assert not (tmp_path / "config").exists()


def test_numbers_of_a_base_stay(assemble_image, tmp_path: pathlib.Path):
    numbers = [1.0, -0.0, 1e100, 12345678901234567890, 0.1, 30_000_000_000]
    write_index(tmp_path / "base", put_manifest(tmp_path / "base", {**BASE_CONFIG, "x": numbers}))
    assert assemble_image("--base-layout=base") == (0, "")
    assert read_json(tmp_path, "config")["x"] == numbers

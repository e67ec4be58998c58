"""Lines that are parsed all at once give the same entries and problems as lines that are parsed one by one."""

from __future__ import annotations

import json
import os
import tempfile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules_setcap.archive.entry import Entry
from rules_setcap.diagnostics.problems import Problems
from rules_setcap.packer import entries

# Mostly valid paths, and such that differ from valid ones by little.
PATHS = st.one_of(
    st.integers(0, 99).map(lambda number: f"/usr/{number}"),
    st.sampled_from(
        ["", "/", "//", "a", "/a/", "/a//b", "/a/./b", "/.", "/..", "/a/..", "/...", "/.a", "/\0", "/a\0/b", "\0/", "/a\n/b"]
    ),
    st.sampled_from(["/é", "/\ud800", "é", 1, True, None, ["/a"], {"/a": 1}]),
)
DIRECTORY = tempfile.mkdtemp(dir=os.environ.get("TEST_TMPDIR"))
LINK = os.path.join(tempfile.mkdtemp(dir=os.environ.get("TEST_TMPDIR")), "link")
os.symlink("../somewhere", LINK)
FIELDS: dict[str, list[Any]] = {
    "attribute": ["srcs", "symlinks", 1, None],
    "gid": [0, 1, True, 1.0, (1 << 32) - 1],
    "mode": ["0755", "0644", "", "rwx", 8],
    "output": ["tools/rules_setcap/archive/tar.py", LINK, "/nowhere", "", "a\0", 1],
    "source": ["tools/rules_setcap/archive/tar.py", LINK, DIRECTORY, "/nowhere", "", "a\0", "é", 1, ["a"]],
    "target": ["/a", "b", "", "\0", 1],
    "type": ["file", "directory", "symlink", "hardlink", "fifo", 1],
    "uid": [0, 1, True, 1.0, -1],
    "unknown": [1],
}
OBJECTS = st.builds(
    lambda path, fields: {**fields, **({} if path is ... else {"path": path})},
    st.one_of(PATHS, st.just(...)),
    st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in FIELDS.items()}),
)
ARRAYS = st.builds(
    lambda path, fields: ["srcs", path, *fields],
    PATHS,
    st.one_of(
        st.sampled_from(FIELDS["source"]).map(lambda source: [source]),
        st.tuples(st.sampled_from(["", *FIELDS["source"][:2]]), st.sampled_from(FIELDS["output"])),
    ),
).map(json.dumps)
LINES = st.lists(
    st.one_of(OBJECTS.map(json.dumps), ARRAYS, st.sampled_from(["", "1", "[]", "{}", "{},{}", "{} {}", "}, {"])), max_size=12
)
# Many files that differ in nothing but paths, beside a few others.
FILES = st.builds(
    lambda count, source, others: [json.dumps(["srcs", f"/{number}", source]) for number in range(count)] + others,
    st.integers(0, 600),
    st.sampled_from(["tools/rules_setcap/archive/tar.py", DIRECTORY, "/nowhere"]),
    st.lists(ARRAYS, max_size=2),
)


@settings(max_examples=1500, deadline=None)
@given(st.one_of(LINES, FILES))
def test_many_lines_give_what_each_gives(lines):
    expected: dict[str, Entry] = {}
    expected_problems = Problems()
    for line in lines:
        # An invalid line beside it makes the packer check each field.
        for path, entry in entries.parse_entries([line, "none"], expected_problems).items():
            expected.setdefault(path, entry)
    single_problems = [problem for problem in expected_problems if problem != 'entries: "none": not a JSON object']
    problems = Problems()
    remaining = list(lines)
    by_path = entries.parse_entries(remaining, problems)
    assert remaining == []
    assert {path: [(field, type(field)) for field in entry] for path, entry in by_path.items()} == {
        path: [(field, type(field)) for field in entry] for path, entry in expected.items()
    }
    assert [problem for problem in problems if "two entries for one path" not in problem] == single_problems


def test_targets_are_for_links_and_sources_for_files():
    problems = Problems()
    lines = [
        {"path": "/a", "target": "b"},
        {"path": "/b", "type": "directory", "target": "b"},
        {"path": "/c", "type": "symlink", "target": "b", "source": "/dev"},
    ]
    assert entries.parse_entries([json.dumps(line) for line in lines], problems) == {}
    what = "links have a target, files and directories a source; never both"
    assert list(problems) == [f'srcs: "/{name}": {what}' for name in "abc"]


def test_numbers_of_other_types_are_problems():
    problems = Problems()
    uids = {"a": "1", "b": "true", "c": "1.0"}
    # No other test has this attribute, so nothing is memoized.
    by_path = entries.parse_entries(
        [f'{{"attribute":"uids","path":"/{name}","uid":{uid}}}' for name, uid in uids.items()], problems
    )
    assert list(by_path) == ["/a"]
    assert [problem.endswith(': "uid" is unknown or of the wrong type') for problem in problems] == [True, True]


def test_owner_and_mode_are_defaults_of_lines_without_them():
    problems = Problems()
    defaults = entries.parse_defaults("5:6", "0644", problems)
    lines = [
        {"path": "/file"},
        {"path": "/program", "mode": "0755"},
        {"path": "/link", "type": "symlink", "target": "file"},
        {"path": "/directory", "type": "directory"},
    ]
    by_path = entries.parse_entries([json.dumps(line) for line in lines], problems, defaults=defaults)
    assert {path: (entry.mode, entry.uid, entry.gid) for path, entry in by_path.items()} == {
        "/file": (0o644, 5, 6),
        "/program": (0o755, 5, 6),
        "/link": (0o777, 5, 6),
        "/directory": (0o755, 5, 6),
    }
    assert list(problems) == []


def test_the_usual_owner_and_mode_add_no_fields():
    assert entries.parse_defaults("0:0", "0755", Problems()) == {}


@pytest.mark.parametrize(
    "owner, mode, expected",
    [
        ("root", "0755", 'owner: "root": not a valid owner; write uid:gid in numbers, as "65532:65532"'),
        ("0:4294967295", "0755", 'owner: "0:4294967295": gid 4294967295 is out of range (0 to 4294967294)'),
        ("0:0", "rwx", 'mode: "rwx": not a valid mode; write it in octal, as "0755"'),
    ],
)
def test_owner_and_mode_that_are_not_valid(owner, mode, expected):
    problems = Problems()
    assert entries.parse_defaults(owner, mode, problems) == {}
    assert list(problems) == [expected]

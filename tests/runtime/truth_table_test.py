"""Tests of the capabilities that a program gets from its file and its container, after capabilities(7).

Each row is an image of this package that runc runs as uid 65532, with the settings of the row. The resulting sets come from
/proc/self/status of the program.
"""

from __future__ import annotations

import pathlib
import re

import pytest

from support.container import Bundle

NET = "CAP_NET_BIND_SERVICE"
BPF = "CAP_BPF"
_BITS = {NET: 1 << 10, BPF: 1 << 39}

REFUSED = "refused"  # execve(2) fails with EPERM.

# The file, the bounding set, no_new_privs, and the permitted set before; then the permitted and the effective set after.
ROWS = [
    ("permitted", {NET, BPF}, False, set(), ({NET, BPF}, set())),
    ("permitted", {NET}, False, set(), ({NET}, set())),
    ("permitted", set(), False, set(), (set(), set())),
    ("permitted", {NET, BPF}, True, set(), (set(), set())),
    ("permitted", {NET, BPF}, True, {NET, BPF}, ({NET, BPF}, set())),
    ("effective", {NET, BPF}, False, set(), ({NET, BPF}, {NET, BPF})),
    ("effective", {NET}, False, set(), REFUSED),
    ("effective", set(), False, set(), REFUSED),
    ("effective", {NET, BPF}, True, set(), (set(), set())),
    ("effective", {NET, BPF}, True, {NET}, ({NET}, {NET})),
    ("none", {NET, BPF}, False, set(), (set(), set())),
    ("empty", {NET, BPF}, False, set(), (set(), set())),
]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    """Returns a bundle for each image, by the kind of its file."""
    return {
        name: Bundle(pathlib.Path("tests/runtime") / f"probe_{name}", tmp_path_factory.mktemp(name))
        for name in ("permitted", "effective", "none", "empty")
    }


def _parse_set(output: str, name: str) -> set[str]:
    """Returns the capabilities in one line of /proc/self/status."""
    match = re.search(rf"^{name}:\s*([0-9a-f]{{16}})$", output, re.MULTILINE)
    assert match, output
    value = int(match[1], 16)
    assert value & ~sum(_BITS.values()) == 0, output
    return {name for name, bit in _BITS.items() if value & bit}


@pytest.mark.parametrize("file, bounding, no_new_privs, permitted_before, expected", ROWS)
def test_the_program_gets_the_sets_of_the_row(bundles, file, bounding, no_new_privs, permitted_before, expected):
    outcome = bundles[file].run(bounding=sorted(bounding), permitted=sorted(permitted_before), no_new_privs=no_new_privs)
    if expected == REFUSED:
        assert outcome.status != 0
        assert "operation not permitted" in outcome.output
        return
    assert outcome.status == 0, outcome.output
    assert f"NoNewPrivs:\t{int(no_new_privs)}" in outcome.output
    assert (_parse_set(outcome.output, "CapPrm"), _parse_set(outcome.output, "CapEff")) == expected


def test_root_needs_no_file_capabilities(bundles):
    outcome = bundles["none"].run(bounding=[NET], permitted=[NET], uid=0)
    assert outcome.status == 0, outcome.output
    assert _parse_set(outcome.output, "CapPrm") == _parse_set(outcome.output, "CapEff") == {NET}

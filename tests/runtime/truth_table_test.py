"""What the kernel makes of a file's capabilities: capabilities(7), row by row.

Each row is an image of this package, run by runc as uid 65532 under the settings
of the row; the sets are what /proc/self/status of the program shows.
"""

from __future__ import annotations

import pathlib
import re

import pytest

from support.container import Bundle

NET = "CAP_NET_BIND_SERVICE"
BPF = "CAP_BPF"
_BITS = {NET: 1 << 10, BPF: 1 << 39}

REFUSED = "refused"  # execve: EPERM

# file, bounding, no_new_privs, what the runtime left permitted -> permitted, effective
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
    return {
        name: Bundle(pathlib.Path("tests/runtime") / f"probe_{name}", tmp_path_factory.mktemp(name))
        for name in ("permitted", "effective", "none", "empty")
    }


def _set(output: str, name: str) -> set[str]:
    """The capabilities of one line of /proc/self/status."""
    match = re.search(rf"^{name}:\s*([0-9a-f]{{16}})$", output, re.MULTILINE)
    assert match, output
    value = int(match[1], 16)
    assert value & ~sum(_BITS.values()) == 0, output
    return {name for name, bit in _BITS.items() if value & bit}


@pytest.mark.parametrize("file, bounding, no_new_privs, left, expected", ROWS)
def test_row(bundles, file, bounding, no_new_privs, left, expected):
    outcome = bundles[file].run(bounding=sorted(bounding), permitted=sorted(left), no_new_privs=no_new_privs)
    if expected == REFUSED:
        assert outcome.status != 0
        assert "operation not permitted" in outcome.output
        return
    assert outcome.status == 0, outcome.output
    assert f"NoNewPrivs:\t{int(no_new_privs)}" in outcome.output
    assert (_set(outcome.output, "CapPrm"), _set(outcome.output, "CapEff")) == expected


def test_root_needs_no_file_capability(bundles):
    outcome = bundles["none"].run(bounding=[NET], permitted=[NET], uid=0)
    assert outcome.status == 0, outcome.output
    assert _set(outcome.output, "CapPrm") == _set(outcome.output, "CapEff") == {NET}

"""The rules of execve: the truth table, the rules that take part, and invariants of all processes and files.

tests/runtime/execve_test.py compares them with the running kernel.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules_setcap.capabilities import CapabilityError, FileCapabilities
from rules_setcap.capabilities import execve as rules
from rules_setcap.capabilities.execve import File, Process, execve
from rules_setcap.capabilities.names import ALL

NET, BPF = 1 << 10, 1 << 39
BOTH = NET | BPF

PERMITTED = FileCapabilities(BOTH, 0, 0)
EFFECTIVE = FileCapabilities(BOTH, 0, BOTH)


def user(bounding: int = BOTH, **fields) -> Process:
    """Returns a process of an ordinary user."""
    return Process.with_ids(65532, 65532, bounding=bounding, **fields)


# File, bounding, no_new_privs, permitted before -> permitted and effective after, or None if execve fails.
TABLE = [
    (PERMITTED, BOTH, False, 0, (BOTH, 0)),
    (PERMITTED, NET, False, 0, (NET, 0)),
    (PERMITTED, BOTH, True, 0, (0, 0)),
    (PERMITTED, BOTH, True, BOTH, (BOTH, 0)),
    (EFFECTIVE, BOTH, False, 0, (BOTH, BOTH)),
    (EFFECTIVE, NET, False, 0, None),
    (EFFECTIVE, BOTH, True, 0, (0, 0)),
    (EFFECTIVE, BOTH, True, NET, (NET, NET)),
]


@pytest.mark.parametrize("record, bounding, no_new_privs, permitted, expected", TABLE)
def test_execve_follows_the_truth_table(record, bounding, no_new_privs, permitted, expected):
    before = user(bounding, no_new_privs=no_new_privs, permitted=permitted)
    after = execve(before, File(record)).process
    assert (after and (after.permitted, after.effective)) == expected


# Process, file -> the rules that took part for capability 39.
REASONS = [
    (user(), File(EFFECTIVE), [rules.FILE_PERMITTED, rules.SECURE_CAPABILITIES]),
    (user(), File(PERMITTED), [rules.FILE_PERMITTED, rules.NOT_EFFECTIVE, rules.SECURE_CAPABILITIES]),
    (user(NET), File(PERMITTED), [rules.NOT_BOUNDING]),
    (user(NET), File(EFFECTIVE), [rules.NOT_BOUNDING, rules.REFUSED]),
    (user(), File(EFFECTIVE, nosuid=True), [rules.NOSUID]),
    (user(), File(EFFECTIVE._replace(rootid=1000)), [rules.OTHER_NAMESPACE]),
    (user(), File(FileCapabilities(0, BOTH, BOTH)), [rules.NOT_INHERITABLE]),
    (user(no_new_privs=True), File(EFFECTIVE), [rules.FILE_PERMITTED, rules.NO_NEW_PRIVS]),
    (user(permitted=BPF), File(), [rules.NOT_KEPT]),
    (user(permitted=BPF, inheritable=BPF, ambient=BPF), File(), [rules.AMBIENT]),
    (
        user(permitted=BPF, inheritable=BPF, ambient=BPF),
        File(FileCapabilities(0, 0, 0)),
        [rules.AMBIENT_FILE, rules.NOT_KEPT],
    ),
    (user(), File(FileCapabilities(NET, 0, NET), mode=0o4755), [rules.FILE_BEFORE_ROOT]),
    (Process.with_ids(0, 0, bounding=BOTH, securebits=rules.SECBIT_NOROOT), File(), [rules.NOT_ROOT]),
    (Process.with_ids(0, 0, bounding=BOTH), File(), [rules.ROOT]),
]


@pytest.mark.parametrize("process, file, expected", REASONS)
def test_steps_name_the_rules(process, file, expected):
    assert list(execve(process, file).rules_about(39)) == expected


def test_an_unknown_capability_does_not_make_execve_fail():
    """`=ep` with all 64 bits, as some tools write it, does not give EPERM."""
    outcome = execve(user(ALL), File(FileCapabilities((1 << 64) - 1, 0, (1 << 64) - 1)))
    assert outcome.process is not None
    assert outcome.process.permitted == ALL
    assert outcome.rules_about(41) == outcome.rules_about(63) == (rules.UNKNOWN,)


def test_capabilities_of_a_user_namespace_count_in_it_and_below():
    file = File(EFFECTIVE._replace(rootid=100000))
    for roots, permitted in (
        ((0,), 0),
        ((0, 100000), BOTH),
        ((0, 200000), 0),
        ((0, 100000, 101000), BOTH),
        ((0, 200000, 100000), BOTH),
    ):
        after = execve(user(roots=roots), file).process
        assert after is not None
        assert after.permitted == permitted, roots


def test_linux_6_17_keeps_an_effective_id_that_differs_from_the_real_one():
    before = Process(1000, 2000, 2000, 1000, 1000, 1000, permitted=NET, inheritable=NET, ambient=NET, no_new_privs=True)
    since = execve(before, File(), (6, 17)).process
    assert since is not None
    assert (since.euid, since.ambient) == (2000, NET)
    outcome = execve(before, File(), (6, 16))
    assert outcome.process is not None
    assert (outcome.process.euid, outcome.process.ambient) == (1000, 0)
    assert [step.rule for step in outcome.steps] == [rules.REAL_IDS, rules.AMBIENT_SET_ID, rules.NOT_KEPT, rules.SECURE_IDS]


def test_every_invalid_set_of_a_process_is_reported():
    with pytest.raises(CapabilityError) as caught:
        execve(user(1 << 41, effective=NET, permitted=BPF, ambient=BPF), File())
    assert caught.value.problems == [
        "bounding set: 0x20000000000 cannot be in it; at most 0x1ffffffffff can",
        "effective set: 0x400 cannot be in it; at most 0x8000000000 can",
        "ambient set: 0x8000000000 cannot be in it; at most 0x0 can",
    ]


masks = st.integers(0, ALL) | st.sampled_from([0, NET, BOTH, ALL])
ids = st.sampled_from([0, 1000, 2000])


@st.composite
def processes(draw) -> Process:
    permitted, inheritable = draw(masks), draw(masks)
    ruid, euid, rgid, egid = (draw(ids) for _ in range(4))
    return Process(
        ruid,
        euid,
        euid,
        rgid,
        egid,
        egid,
        permitted=permitted,
        inheritable=inheritable,
        effective=draw(masks) & permitted,
        bounding=draw(masks),
        ambient=draw(masks) & permitted & inheritable,
        securebits=draw(st.integers(0, 255)),
        no_new_privs=draw(st.booleans()),
        roots=draw(st.sampled_from([(0,), (0, 1000)])),
    )


records = st.none() | st.builds(
    lambda permitted, inheritable, effective, rootid: FileCapabilities(
        permitted, inheritable, (permitted | inheritable) if effective else 0, rootid
    ),
    *(masks, masks, st.booleans(), ids),
)
files = st.builds(
    File, records, ids | st.none(), ids | st.none(), st.sampled_from([0o755, 0o4755, 0o2755, 0o6755]), st.booleans()
)


@given(processes(), files, st.sampled_from([(6, 1), (6, 17)]))
def test_execve_keeps_its_invariants(before, file, linux):
    after, secure, steps = execve(before, file, linux)
    if after is None:
        assert steps[-1].rule == rules.REFUSED
        return
    after.check()
    assert (after.inheritable, after.bounding, after.no_new_privs) == (before.inheritable, before.bounding, before.no_new_privs)
    if before.no_new_privs:
        assert after.permitted & ~before.permitted == 0
        assert after.euid in (before.euid, before.ruid)
    if before.ruid and after.permitted & ~after.ambient:
        assert secure

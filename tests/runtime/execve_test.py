"""capabilities.execve agrees with the running kernel, case by case."""

from __future__ import annotations

import collections
import random

import kernel
import pytest

from rules_setcap.capabilities import FileCapabilities
from rules_setcap.capabilities import execve as rules
from rules_setcap.capabilities.execve import File, Process
from rules_setcap.capabilities.names import ALL
from support import require

_SEED = 20
_COUNT = 12000

_POOL = [1 << number for number in (0, 6, 7, 8, 10, 13, 21, 24, 39, 40)]
_ANY = (1 << 64) - 1
_IDS = [0, 0, 1000, 1000, 1000, 2000]
_ROOTS = [(0,)] * 6 + [(0, 100000), (0, 200000), (0, 100000, 101000)]
_MODES = [0o755] * 3 + [0o4755] * 2 + [0o2755, 0o6755]


def _set(chance: random.Random, within: int, likely: int = 0) -> int:
    """Some of `within`: what is likely, nothing, all, all but one, a few, any."""
    few = sum(bit for bit in _POOL if chance.random() < 0.4)
    kinds = (likely, likely, likely, 0, 0, ~0, ~chance.choice(_POOL), few, few, few, chance.getrandbits(64))
    return chance.choice(kinds) & within


def _ids(chance: random.Random) -> tuple[int, int, int]:
    """Real, effective and saved; more often than not the same."""
    real, effective, saved = chance.choices(_IDS, k=3)
    return (real, real, real) if chance.random() < 0.6 else (real, effective, saved)


def _process(chance: random.Random, held: int) -> Process:
    roots = chance.choice(_ROOTS)
    if len(roots) > 1:
        held = ALL  # With which user namespaces start, whoever makes them.
    permitted = _set(chance, held, likely=held)
    inheritable = _set(chance, held, likely=permitted)
    return Process(
        *_ids(chance),
        *_ids(chance),
        groups=tuple(chance.sample((0, 1000, 2000), chance.choice((0, 0, 1, 2)))),
        permitted=permitted,
        inheritable=inheritable,
        effective=_set(chance, permitted, likely=permitted),
        bounding=_set(chance, held, likely=held),
        ambient=_set(chance, permitted & inheritable, likely=permitted),
        securebits=chance.choice((0, 0, 0, rules.SECBIT_NOROOT, rules.SECBIT_KEEP_CAPS, chance.getrandbits(8))),
        no_new_privs=chance.random() < 0.3,
        roots=roots,
    )


def _file(chance: random.Random, process: Process) -> File:
    owner, group = (chance.choice(process.roots) + chance.choice(_IDS) for _ in range(2))
    mode = chance.choice(_MODES)
    if group - process.roots[-1] not in (process.egid, *process.groups) and chance.random() < 0.2:
        mode = 0o2745  # No set-group-ID without group execute; but the process must be able to execute it.
    record = None
    if chance.random() < 0.7:
        permitted = _set(chance, _ANY, likely=chance.choice((process.bounding, process.permitted)))
        inheritable = _set(chance, _ANY, likely=process.inheritable)
        effective = chance.choice((0, permitted | inheritable))
        record = FileCapabilities(permitted, inheritable, effective, chance.choice((0, 0, 1000, *process.roots)))
    return File(record, owner, group, mode, nosuid=chance.random() < 0.1)


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[kernel.Case, kernel.State | str]]:
    """Random cases, the same ones in every run, and what the kernel made of them."""
    require.root()
    chance = random.Random(_SEED)
    processes = [_process(chance, kernel.held()) for _ in range(_COUNT)]
    cases = [kernel.Case(process, _file(chance, process)) for process in processes]
    return list(zip(cases, kernel.run(cases, tmp_path_factory.mktemp("mounts"))))


def test_the_kernel_agrees(answers):
    wrong = []
    for case, shown in answers:
        outcome = case.outcome()
        if kernel.expected(outcome) != shown:
            wrong.append(f"{case}\n  kernel:  {shown}\n  library: {kernel.expected(outcome)}\n  because: {outcome.steps}")
    assert not wrong, f"seed {_SEED}, {len(wrong)} of {len(answers)} cases:\n" + "\n".join(wrong[:5])


def test_the_reasons_add_up_to_what_the_kernel_did(answers):
    granted = {rules.FILE_PERMITTED, rules.FILE_INHERITABLE, rules.ROOT, rules.AMBIENT}
    neither = {rules.NOT_EFFECTIVE, rules.SECURE_CAPABILITIES}
    for case, shown in answers:
        if isinstance(shown, str):
            continue
        permitted = explained = not_effective = 0
        secure = False
        for rule, capabilities in case.outcome().steps:
            if rule in granted:
                permitted |= capabilities
            elif rule == rules.NO_NEW_PRIVS:
                permitted &= ~capabilities
            elif rule == rules.NOT_EFFECTIVE:
                not_effective = capabilities
            if rule not in granted | neither:
                explained |= capabilities
            secure |= rule in (rules.SECURE_CAPABILITIES, rules.SECURE_IDS)
        record = case.file.capabilities or FileCapabilities(0, 0, 0)
        hoped = case.process.permitted | record.permitted | record.inheritable
        assert permitted == shown.permitted, case
        assert hoped & ~shown.permitted & ~explained == 0, case
        assert not_effective == shown.permitted & ~shown.effective, case
        assert secure == shown.secure, case


def test_every_rule_was_there(answers):
    """Or the two above would say little."""
    seen = collections.Counter(step.rule for case, _ in answers for step in case.outcome().steps)
    names = {value for name, value in vars(rules).items() if name.isupper() and isinstance(value, str)}
    assert names == set(seen)
    assert min(seen.values()) > _COUNT / 100, seen

"""Tests that capabilities.execve agrees with the running kernel, in thousands of random cases."""

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


def _draw_set(chance: random.Random, within: int, likely: int = 0) -> int:
    """Draws a subset of `within`: the likely one, none, all, all but one, a few, or any."""
    few = sum(bit for bit in _POOL if chance.random() < 0.4)
    kinds = (likely, likely, likely, 0, 0, ~0, ~chance.choice(_POOL), few, few, few, chance.getrandbits(64))
    return chance.choice(kinds) & within


def _draw_ids(chance: random.Random) -> tuple[int, int, int]:
    """Draws a real, an effective and a saved ID, which are mostly the same."""
    real, effective, saved = chance.choices(_IDS, k=3)
    return (real, real, real) if chance.random() < 0.6 else (real, effective, saved)


def _draw_process(chance: random.Random, available: int) -> Process:
    """Draws a process that has some of the available capabilities."""
    roots = chance.choice(_ROOTS)
    if len(roots) > 1:
        available = ALL  # A new user namespace starts with all capabilities.
    permitted = _draw_set(chance, available, likely=available)
    inheritable = _draw_set(chance, available, likely=permitted)
    return Process(
        *_draw_ids(chance),
        *_draw_ids(chance),
        groups=tuple(chance.sample((0, 1000, 2000), chance.choice((0, 0, 1, 2)))),
        permitted=permitted,
        inheritable=inheritable,
        effective=_draw_set(chance, permitted, likely=permitted),
        bounding=_draw_set(chance, available, likely=available),
        ambient=_draw_set(chance, permitted & inheritable, likely=permitted),
        securebits=chance.choice((0, 0, 0, rules.SECBIT_NOROOT, rules.SECBIT_KEEP_CAPS, chance.getrandbits(8))),
        no_new_privs=chance.random() < 0.3,
        roots=roots,
    )


def _draw_file(chance: random.Random, process: Process) -> File:
    """Draws a file that a process can execute."""
    owner, group = (chance.choice(process.roots) + chance.choice(_IDS) for _ in range(2))
    mode = chance.choice(_MODES)
    if group - process.roots[-1] not in (process.egid, *process.groups) and chance.random() < 0.2:
        mode = 0o2745  # Without group execute, set-group-ID has no effect. The process must still be able to execute the file.
    record = None
    if chance.random() < 0.7:
        permitted = _draw_set(chance, _ANY, likely=chance.choice((process.bounding, process.permitted)))
        inheritable = _draw_set(chance, _ANY, likely=process.inheritable)
        effective = chance.choice((0, permitted | inheritable))
        record = FileCapabilities(permitted, inheritable, effective, chance.choice((0, 0, 1000, *process.roots)))
    return File(record, owner, group, mode, nosuid=chance.random() < 0.1)


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[kernel.Case, kernel.State | str]]:
    """Returns random cases, the same in every run, with the answers of the kernel."""
    require.root()
    chance = random.Random(_SEED)
    processes = [_draw_process(chance, kernel.read_bounding_set()) for _ in range(_COUNT)]
    cases = [kernel.Case(process, _draw_file(chance, process)) for process in processes]
    return list(zip(cases, kernel.run_cases(cases, tmp_path_factory.mktemp("mounts")), strict=True))


def test_the_kernel_agrees(answers):
    differences = []
    for case, answer in answers:
        outcome = case.compute_outcome()
        expected = kernel.expect_answer(outcome)
        if expected != answer:
            differences.append(f"{case}\n  kernel:  {answer}\n  library: {expected}\n  because: {outcome.steps}")
    assert not differences, f"seed {_SEED}, {len(differences)} of {len(answers)} cases:\n" + "\n".join(differences[:5])


def test_the_steps_explain_the_answer_of_the_kernel(answers):
    adding = {rules.FILE_PERMITTED, rules.FILE_INHERITABLE, rules.ROOT, rules.AMBIENT}
    neither = {rules.NOT_EFFECTIVE, rules.SECURE_CAPABILITIES}
    for case, answer in answers:
        if isinstance(answer, str):
            continue
        permitted = explained = not_effective = 0
        secure = False
        for rule, capabilities in case.compute_outcome().steps:
            if rule in adding:
                permitted |= capabilities
            elif rule == rules.NO_NEW_PRIVS:
                permitted &= ~capabilities
            elif rule == rules.NOT_EFFECTIVE:
                not_effective = capabilities
            if rule not in adding | neither:
                explained |= capabilities
            secure |= rule in (rules.SECURE_CAPABILITIES, rules.SECURE_IDS)
        record = case.file.capabilities or FileCapabilities(0, 0, 0)
        possible = case.process.permitted | record.permitted | record.inheritable
        assert permitted == answer.permitted, case
        assert possible & ~answer.permitted & ~explained == 0, case
        assert not_effective == answer.permitted & ~answer.effective, case
        assert secure == answer.secure, case


def test_every_rule_occurs(answers):
    """If a rule did not occur, the two tests above would not test it."""
    counts = collections.Counter(step.rule for case, _ in answers for step in case.compute_outcome().steps)
    names = {value for name, value in vars(rules).items() if name.isupper() and isinstance(value, str)}
    assert names == set(counts)
    assert min(counts.values()) > _COUNT / 100, counts

"""The model of each program is what the program does: options, capabilities of files, grants, users and no_new_privs."""

from __future__ import annotations

import itertools
import os
import pathlib
import random
from dataclasses import replace

import pytest
from oracle import END, Case, Oracle, held, prefixes

from rules_setcap.capabilities.names import NAMES

SEED = int(os.environ.get("SEED", "0")) or random.SystemRandom().randrange(1 << 32)
CHAINS = int(os.environ.get("CHAINS", "250"))


def mask(*names: str) -> int:
    return sum(1 << NAMES.index("cap_" + name) for name in names)


ROOTS = mask(*"setuid setgid setpcap sys_chroot sys_admin net_raw net_bind_service chown kill".split())
NET = mask("net_raw", "net_bind_service")
PREFIXES = [prefix for group in prefixes().values() for prefix in group]


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    return Oracle(tmp_path_factory.mktemp("oracle"), pathlib.Path(os.environ.get("PROBE", "tests/getcap/credentials")))


STARTS = [
    Case((), bounding=ROOTS, permitted=ROOTS),
    Case((), bounding=ROOTS, permitted=ROOTS, no_new_privs=True, files={END: "cap_net_raw=ep"}),
    Case((), bounding=NET, permitted=NET, files={END: "cap_net_raw=p"}),
    Case((), uid=1000, gid=1000, bounding=ROOTS, permitted=ROOTS, files={END: "cap_net_raw=ep"}),
    Case((), uid=1000, gid=1000, bounding=ROOTS, permitted=NET, inheritable=NET, ambient=NET, no_new_privs=True, files={END: "cap_net_raw=p"}),
    Case((), uid=1000, gid=1000, bounding=NET, inheritable=NET, permitted=NET, ambient=NET),
]
"""The processes that each program is started as."""


@pytest.mark.parametrize("prefix", PREFIXES, ids=map(" ".join, PREFIXES))
def test_each_program(oracle: Oracle, prefix: tuple[str, ...]):
    wrong = []
    for start in STARTS:
        case = replace(start, argv=(*prefix, END))
        program = oracle.model(case).hops[0].path
        texts = ["", "cap_setuid,cap_setgid,cap_setpcap,cap_net_raw=p", "cap_setuid,cap_setgid,cap_net_raw=ep"]
        for text in texts if start.permitted == ROOTS else texts[:2]:
            tried = replace(case, files={**case.files, program: text} if text else case.files)
            lost = oracle.model(tried).unknown_reason
            if lost and not (prefix[0] == "su" and tried.uid):
                wrong.append(f"{tried}: not followed: {lost}")
            wrong += [f"{tried}: {what}" for what in oracle.differences(tried)]
    assert not wrong, "\n".join(wrong)


def drawn(generator: random.Random) -> Case:
    """A random chain of two to four programs."""
    chosen = [generator.choice(PREFIXES) for _ in range(generator.randint(2, 4))]
    argv = (*itertools.chain(*chosen), END)
    names = [name for name in "setuid setgid setpcap sys_chroot sys_admin net_raw net_bind_service chown kill".split()]

    def some(of: int) -> int:
        return of & sum(mask(name) for name in names if generator.random() < 0.6)

    bounding = generator.choice([ROOTS, some(ROOTS)])
    permitted = generator.choice([bounding, some(bounding)])
    inheritable = generator.choice([0, 0, some(permitted)])
    ambient = generator.choice([0, some(inheritable)])
    uid = generator.choice([0, 0, 1000, 1001])
    paths = [END, *(f"/usr/bin/{name}" for name in "env bash dash busybox setpriv tini dumb-init nice chpst".split()), "/usr/sbin/gosu"]
    files = {}
    for path in paths:
        if generator.random() < (0.7 if path == END else 0.2):
            chosen_names = [name for name in names if generator.random() < 0.4] or ["net_raw"]
            files[path] = ",".join("cap_" + name for name in chosen_names) + generator.choice(["=p", "=ep", "=ei", "=i", "=eip"])
    return Case(argv, uid, uid, bounding, permitted, inheritable, ambient, generator.random() < 0.4, files)


def test_chains(oracle: Oracle):
    print(f"SEED={SEED}, {CHAINS} chains")
    generator = random.Random(SEED)
    wrong = []
    reached = unknown = 0
    for number in range(CHAINS):
        case = drawn(generator)
        differences = oracle.differences(case)
        wrong += [f"SEED={SEED}, {number}: {case}: {what}" for what in differences]
        chain = oracle.model(case)
        unknown += bool(chain.unknown_reason)
        reached += not chain.unknown_reason and chain.after is not None
    print(f"{reached} reached the last program, {unknown} are not known, {len(wrong)} differ")
    assert not wrong, "\n".join([f"{len(wrong)} differ", *wrong[:40]])
    assert reached > CHAINS / 10 and unknown < CHAINS / 5


def test_the_machine_has_what_is_granted():
    assert ROOTS & ~held() == 0

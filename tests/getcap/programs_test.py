"""The model of each program agrees with the program: its options, its file capabilities, users, grants and no_new_privs."""

from __future__ import annotations

import itertools
import os
import pathlib
import random
from dataclasses import replace

import pytest
from oracle import PROBE, Case, Oracle, list_prefixes, read_bounding_set

from rules_setcap.capabilities.names import NAMES

SEED = int(os.environ.get("SEED", "0")) or random.SystemRandom().randrange(1 << 32)
CHAINS = int(os.environ.get("CHAINS", "250"))


def make_mask(*names: str) -> int:
    """Returns the mask of capabilities; the names have no cap_."""
    return sum(1 << NAMES.index("cap_" + name) for name in names)


NAMES_OF_ROOT = "setuid setgid setpcap sys_chroot sys_admin net_raw net_bind_service chown kill".split()
ROOT_CAPABILITIES = make_mask(*NAMES_OF_ROOT)
NET_CAPABILITIES = make_mask("net_raw", "net_bind_service")
PREFIXES = [prefix for group in list_prefixes().values() for prefix in group]


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    """Returns the image with the real programs, and the probe of credentials.c."""
    return Oracle(tmp_path_factory.mktemp("oracle"), pathlib.Path(os.environ.get("PROBE", "tests/getcap/credentials")))


STARTS = [
    Case((), bounding=ROOT_CAPABILITIES, permitted=ROOT_CAPABILITIES),
    Case((), bounding=ROOT_CAPABILITIES, permitted=ROOT_CAPABILITIES, no_new_privs=True, files={PROBE: "cap_net_raw=ep"}),
    Case((), bounding=NET_CAPABILITIES, permitted=NET_CAPABILITIES, files={PROBE: "cap_net_raw=p"}),
    Case((), uid=1000, gid=1000, bounding=ROOT_CAPABILITIES, permitted=ROOT_CAPABILITIES, files={PROBE: "cap_net_raw=ep"}),
    Case(
        (),
        uid=1000,
        gid=1000,
        bounding=ROOT_CAPABILITIES,
        permitted=NET_CAPABILITIES,
        inheritable=NET_CAPABILITIES,
        ambient=NET_CAPABILITIES,
        no_new_privs=True,
        files={PROBE: "cap_net_raw=p"},
    ),
    Case(
        (),
        uid=1000,
        gid=1000,
        bounding=NET_CAPABILITIES,
        inheritable=NET_CAPABILITIES,
        permitted=NET_CAPABILITIES,
        ambient=NET_CAPABILITIES,
    ),
]
"""The first processes with which each program is started; the command is added."""


@pytest.mark.parametrize("prefix", PREFIXES, ids=map(" ".join, PREFIXES))
def test_a_program_does_what_its_model_says(oracle: Oracle, prefix: tuple[str, ...]):
    wrong = []
    for start in STARTS:
        case = replace(start, argv=(*prefix, PROBE))
        program = oracle.follow_models(case).hops[0].path
        texts = ["", "cap_setuid,cap_setgid,cap_setpcap,cap_net_raw=p", "cap_setuid,cap_setgid,cap_net_raw=ep"]
        for text in texts if start.permitted == ROOT_CAPABILITIES else texts[:2]:
            tried = replace(case, files={**case.files, program: text} if text else case.files)
            reason = oracle.follow_models(tried).unknown_reason
            if reason and not (prefix[0] == "su" and tried.uid):
                wrong.append(f"{tried}: not followed: {reason}")
            wrong += [f"{tried}: {difference}" for difference in oracle.find_differences(tried)]
    assert not wrong, "\n".join(wrong)


def draw_case(generator: random.Random) -> Case:
    """Draws a chain of two to four programs, its first process, and the capabilities of some files."""
    chosen = [generator.choice(PREFIXES) for _ in range(generator.randint(2, 4))]
    argv = (*itertools.chain(*chosen), PROBE)

    def draw_subset(mask: int) -> int:
        return mask & sum(make_mask(name) for name in NAMES_OF_ROOT if generator.random() < 0.6)

    bounding = generator.choice([ROOT_CAPABILITIES, draw_subset(ROOT_CAPABILITIES)])
    permitted = generator.choice([bounding, draw_subset(bounding)])
    inheritable = generator.choice([0, 0, draw_subset(permitted)])
    ambient = generator.choice([0, draw_subset(inheritable)])
    uid = generator.choice([0, 0, 1000, 1001])
    paths = [
        PROBE,
        *(f"/usr/bin/{name}" for name in "env bash dash busybox setpriv tini dumb-init nice chpst".split()),
        "/usr/sbin/gosu",
    ]
    files = {}
    for path in paths:
        if generator.random() < (0.7 if path == PROBE else 0.2):
            chosen_names = [name for name in NAMES_OF_ROOT if generator.random() < 0.4] or ["net_raw"]
            files[path] = ",".join("cap_" + name for name in chosen_names) + generator.choice(["=p", "=ep", "=ei", "=i", "=eip"])
    return Case(argv, uid, uid, bounding, permitted, inheritable, ambient, generator.random() < 0.4, files)


def test_random_chains_do_what_the_models_say(oracle: Oracle):
    print(f"SEED={SEED}, {CHAINS} chains")
    generator = random.Random(SEED)
    wrong = []
    reached = unknown = 0
    for number in range(CHAINS):
        case = draw_case(generator)
        differences = oracle.find_differences(case)
        wrong += [f"SEED={SEED}, {number}: {case}: {difference}" for difference in differences]
        chain = oracle.follow_models(case)
        unknown += bool(chain.unknown_reason)
        reached += not chain.unknown_reason and chain.after is not None
    print(f"{reached} reached the last program, {unknown} are not known, {len(wrong)} differ")
    assert not wrong, "\n".join([f"{len(wrong)} differ", *wrong[:40]])
    assert reached > CHAINS / 10 and unknown < CHAINS / 5


def test_the_machine_has_all_capabilities_of_the_cases():
    assert ROOT_CAPABILITIES & ~read_bounding_set() == 0

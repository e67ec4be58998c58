"""The parser, the formatter and the encoder agree with libcap: sets, refusals, bytes and text."""

from __future__ import annotations

import csv
import pathlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules_setcap import capabilities
from rules_setcap.capabilities import CapabilityError, FileCapabilities
from rules_setcap.capabilities.names import ALL, NAMES
from rules_setcap.capabilities.text_parser import parse_clauses
from support import libcap as libcaps

_ITEMS = [
    *NAMES,
    *(name.upper() for name in NAMES[::5]),
    *("all", "ALL", "All", "Cap_Bpf"),
    *("0", "7", "07", "010", "0x8", "0X27", "0b11", "41", "50", "62", "63", "64", "077", "0100"),
    *(
        "",
        "08",
        "0x",
        "0xg",
        "0b",
        "0b2",
        "1_0",
        "+1",
        "-1",
        "9" * 20,
        "0" * 30 + "1",
        "cap_",
        "cap_foo",
        "_x",
        "٣",
        "cap_chown ",
    ),
]
_ACTIONS = ["=", "+", "-", "=+", "=-", "==", "+=", "-+", "*", ""]
_SPACES = [" ", "  ", "\t", "\n", "\v", "\f", "\r", "\u00a0", "\u2003", ";"]
_SCRAPS = ["=", "+", "-", "e", "i", "p", ",", " ", "cap_chown", "cap_bpf", "all", "5", "0", "x", "_", "E", "ſ", "."]


def _draw_clause(chance: random.Random) -> str:
    names = ",".join(chance.choice(_ITEMS) for _ in range(chance.choice((0, 1, 1, 1, 2, 4))))
    actions = (
        chance.choice(_ACTIONS[:5] if chance.random() < 0.9 else _ACTIONS)
        + "".join(chance.choice("eipeipeipeipxE") for _ in range(chance.choice((0, 1, 1, 2, 3, 5))))
        for _ in range(chance.choice((0, 1, 1, 1, 2, 3)))
    )
    return names + "".join(actions)


def _draw_valid_clause(chance: random.Random) -> str:
    names = ",".join(chance.choice((*NAMES, "all", "63", "010")) for _ in range(chance.choice((1, 2, 3))))
    return names + "".join(
        chance.choice("+-") + chance.choice(("e", "ep", "eip", "p", "i")) for _ in range(chance.choice((1, 2)))
    )


def _draw_corpus(count: int) -> list[str]:
    """Returns texts that are valid, nearly valid, or scraps; every run has the same."""
    chance = random.Random(20)
    texts = []
    for _ in range(count):
        kind = chance.random()
        if kind < 0.3:
            texts.append("".join(chance.choice(_SCRAPS) for _ in range(chance.randint(0, 8))))
        else:
            draw = _draw_clause if kind < 0.8 else _draw_valid_clause
            space = chance.choice(_SPACES if chance.random() < 0.1 else _SPACES[:7])
            ends = [chance.choice(("", "", " ", "\t")) for _ in range(2)]
            texts.append(ends[0] + space.join(draw(chance) for _ in range(chance.choice((1, 1, 2, 3)))) + ends[1])
    return texts


def _has_name_without_prefix(text: str) -> bool:
    """Returns whether a name lacks its prefix cap_. That is a documented difference, which has a test of its own."""
    lowered = text.lower()
    for name in NAMES:
        lowered = lowered.replace(name, "")
    return any(name.removeprefix("cap_") in lowered for name in NAMES)


@pytest.fixture(scope="module")
def libcap() -> libcaps.Libcap:
    return libcaps.Libcap()


@pytest.fixture(scope="module")
def setcap(tmp_path_factory: pytest.TempPathFactory) -> libcaps.Setcap:
    return libcaps.Setcap(tmp_path_factory.mktemp("setcap"))


def _parse(text: str) -> libcaps.Sets | None:
    """Returns the sets that our parser makes of a text; None if it refuses the text."""
    try:
        value = parse_clauses(text)
    except CapabilityError:
        return None
    return libcaps.Sets(value.permitted, value.inheritable, value.effective)


def test_sets_and_refusals_agree_on_a_large_corpus(libcap):
    texts = _draw_corpus(60000)
    accepted = 0
    for text in texts:
        assert not _has_name_without_prefix(text)
        reference = libcap.from_text(text)
        assert _parse(text) == reference, text
        accepted += reference is not None
    # The corpus tests something only if both outcomes are frequent.
    assert len(texts) * 0.3 < accepted < len(texts) * 0.9


def test_bytes_and_refusals_agree_with_setcap(setcap):
    written = refused = 0
    for text in _draw_corpus(12000):
        if _parse(text) is None:
            continue
        reference = setcap.bytes(text)
        try:
            ours = capabilities.from_text(text).to_xattr()
        except CapabilityError:
            ours = None
        assert ours == reference, text
        written += reference is not None
        refused += reference is None
    assert min(written, refused) > 1000


@settings(max_examples=3000, deadline=None)
@given(st.text(alphabet=st.sampled_from("".join(sorted({*"".join(_SCRAPS), *"capsynetdmi0123456789_ \tALPX"}))), max_size=40))
def test_any_text_gives_the_sets_of_libcap(libcap, text):
    if not _has_name_without_prefix(text):
        assert _parse(text) == libcap.from_text(text)


@settings(max_examples=3000, deadline=None)
@given(st.tuples(*[st.one_of(st.integers(0, (1 << 64) - 1), st.sampled_from([0, ALL, 1 << 10, ALL ^ 1]))] * 3))
def test_any_sets_give_the_text_of_libcap(libcap, sets):
    assert FileCapabilities(*sets).to_text() == libcap.to_text(libcaps.Sets(*sets))


def _read_real_cases() -> list[dict[str, str]]:
    with open(pathlib.Path(__file__).with_name("real_cases.tsv"), encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


@pytest.mark.parametrize("row", _read_real_cases(), ids=lambda row: f"{row['project']}: {row['capabilities']}")
def test_capabilities_of_known_images_give_the_bytes_of_setcap(row, setcap):
    """setcap still writes the bytes that were recorded."""
    value = capabilities.from_list([row["capabilities"]])
    assert value is not None
    assert value.to_xattr().hex() == row["xattr_hex"]
    assert setcap.bytes(row["capabilities"]) == value.to_xattr()

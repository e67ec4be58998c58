"""What is ours in the capability language, and every message of it."""

from __future__ import annotations

import pytest

from rules_setcap import capabilities
from rules_setcap.capabilities import CapabilityError, FileCapabilities
from rules_setcap.capabilities.names import ALL, NAMES
from support import libcap as libcaps


def sets(*items: str) -> FileCapabilities:
    value = capabilities.from_list(items)
    assert value is not None
    return value


def problems(*items: str) -> list[str]:
    with pytest.raises(CapabilityError) as caught:
        capabilities.from_list(items)
    return caught.value.problems


NET = 1 << 10
CHOWN = 1


class TestDifferencesFromLibcap:
    """The list of docs/capability-text.md, an entry each."""

    @pytest.fixture(scope="class")
    def libcap(self):
        return libcaps.Libcap()

    def test_cap_may_be_left_out(self, libcap):
        assert libcap.from_text("chown=p") is None
        assert sets("chown=p") == sets("cap_chown=p") == FileCapabilities(CHOWN, 0, 0)

    def test_a_bare_name_means_permitted(self, libcap):
        assert libcap.from_text("cap_net_bind_service") is None
        for name in ("net_bind_service", "NET_BIND_SERVICE", "CAP_NET_BIND_SERVICE", "cap_net_bind_service"):
            assert sets(name) == FileCapabilities(NET, 0, 0)
        assert sets("chown,net_bind_service") == FileCapabilities(CHOWN | NET, 0, 0)

    def test_all_is_a_fixed_set(self):
        assert len(NAMES) == 41
        assert sets("all") == sets("=p") == sets("all=p") == FileCapabilities(ALL, 0, 0)

    def test_an_empty_list_means_no_record(self):
        assert capabilities.from_list([]) is None

    @pytest.mark.parametrize("text", ["=", "cap_chown=", "cap_ipc_lock=-ep", "all=ep all-ep"])
    def test_clauses_that_leave_nothing_are_an_empty_record(self, tmp_path, text):
        assert sets(text).to_xattr() == bytes.fromhex("00000002" + "00" * 16)
        assert libcaps.Setcap(tmp_path).bytes(text) == sets(text).to_xattr()

    @pytest.mark.parametrize("text", ["", " ", "\t\n"])
    def test_the_empty_string_is_refused(self, libcap, text):
        assert libcap.from_text(text) == (0, 0, 0)
        assert problems(text) == [problems(text)[0]]
        assert "no capability; write a name, or leave it out" in problems(text)[0]

    def test_a_text_has_an_end(self):
        assert problems("cap_chown=p " * 1000) == [
            '"cap_chown=p cap_chown=p cap_chown=p cap_chown=p cap_chown=p cap_chown=p cap_c...": '
            "12000 characters; capability text has at most 4096"
        ]


def test_items_act_in_order():
    assert sets("net_bind_service", "cap_chown=p") == FileCapabilities(CHOWN | NET, 0, 0)
    assert sets("chown", "net_bind_service", "cap_chown-p") == FileCapabilities(NET, 0, 0)
    assert sets("chown", "=") == FileCapabilities(0, 0, 0)


@pytest.mark.parametrize(
    "text, numbers",
    [("7=p", [7]), ("07=p", [7]), ("010=p", [8]), ("0x10=p", [16]), ("0X27=p", [39]), ("0b11=p", [3]), ("63=p", [63])],
)
def test_numbers_are_read_as_strtoul_reads_them(text, numbers):
    assert sets(text).permitted == sum(1 << number for number in numbers)


def test_all_overwrites_what_a_list_had_before_it():
    assert sets("63,all=p").permitted == ALL
    assert sets("all,63=p").permitted == ALL | 1 << 63


MESSAGES = [
    (["net_bind_servce"], ['"net_bind_servce": unknown capability; did you mean "net_bind_service"?']),
    (["CAP_NET_BIND"], ['"CAP_NET_BIND": unknown capability; did you mean "cap_net_bind_service"?']),
    (["xyzzy"], ['"xyzzy": unknown capability; capabilities(7) lists the names']),
    (["ſys_admin"], ['"\\u017fys_admin": unknown capability; did you mean "sys_admin"?']),
    (["syslog\u00a0"], ['"syslog\\u00a0": unknown capability; did you mean "syslog"?']),
    (["\u0131pc_lock=p"], ['"\\u0131pc_lock": unknown capability; did you mean "ipc_lock"?']),
    (["CAP_CHOWN\0"], ['"CAP_CHOWN\\u0000": unknown capability; did you mean "cap_chown"?']),
    (["010"], ['"010": a number needs an operator; write "010=p", or the name']),
    (["chown,,kill"], ['"chown,,kill": an empty name between commas']),
    (["chown,=p"], ['"chown,=p": an empty name between commas']),
    (["cap_chown =p"], ['"cap_chown": no operator; write "cap_chown=p"']),
    (["==p"], ['"==p": "==" is no operator here; write one of "=", "+", "-"']),
    (["cap_chown=p=e"], ['"cap_chown=p=e": "=" is no operator here; after the first, write "+" or "-"']),
    (["+p"], ['"+p": no list of capabilities; only a plain "=" goes without one, as in "=p"']),
    (["=p+e"], ['"=p+e": no list of capabilities; only a plain "=" goes without one, as in "=p"']),
    (
        ["cap_chown+"],
        ['"cap_chown+": no flags after "+"; write e (effective), i (inheritable), p (permitted)'],
    ),
    (
        ["cap_chown=P"],
        ['"cap_chown=P": unknown flag "P"; flags are e (effective), i (inheritable), p (permitted)'],
    ),
    (["64=p"], ['"64=p": "64" is more than 63, the last bit that a file has']),
    (["9" * 5000 + "=p"], ['"' + "9" * 77 + '...": 5002 characters; capability text has at most 4096']),
    (["08=p"], ['"08=p": "08" is no number; write a capability\'s name']),
    (["1_0=p"], ['"1_0=p": "1_0" is no number; write a capability\'s name']),
    (
        ["cap_chown=e"],
        [
            '"cap_chown=e": effective without permitted or inheritable; a file cannot hold that: '
            "what is effective must be permitted as well, as in cap_x=ep"
        ],
    ),
    (
        ["cap_bpf=ep", "chown"],
        [
            '"cap_bpf=ep cap_chown+p": effective for some capabilities only; a file has one effective bit '
            "for all of them: write e for every capability or for none"
        ],
    ),
    (
        ["bfp", "cap_kil,chwon=p", "", "cap_chown=x"],
        [
            '"bfp": unknown capability; did you mean "bpf"?',
            '"cap_kil": unknown capability; did you mean "cap_kill"?',
            '"chwon": unknown capability; did you mean "chown"?',
            '"": no capability; write a name, or leave it out',
            '"cap_chown=x": unknown flag "x"; flags are e (effective), i (inheritable), p (permitted)',
        ],
    ),
]


@pytest.mark.parametrize("items, expected", MESSAGES, ids=lambda value: str(value)[:40])
def test_message(items, expected):
    assert problems(*items) == expected

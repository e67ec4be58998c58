"""The capability language: its differences from libcap, numbers, and every message."""

from __future__ import annotations

import pytest

from rules_setcap import capabilities
from rules_setcap.capabilities import CapabilityError, FileCapabilities
from rules_setcap.capabilities.names import ALL, NAMES
from support import libcap as libcaps


def parse_items(*items: str) -> FileCapabilities:
    """Returns the capabilities that an attribute with these items assigns."""
    value = capabilities.from_list(items)
    assert value is not None
    return value


def find_problems(*items: str) -> list[str]:
    """Returns the problems of an attribute with these items."""
    with pytest.raises(CapabilityError) as caught:
        capabilities.from_list(items)
    return caught.value.problems


NET = 1 << 10
CHOWN = 1


class TestDifferencesFromLibcap:
    """The list of docs/capability-text.md, one test for each entry."""

    @pytest.fixture(scope="class")
    def libcap(self):
        return libcaps.Libcap()

    def test_the_prefix_may_be_left_out(self, libcap):
        assert libcap.from_text("chown=p") is None
        assert parse_items("chown=p") == parse_items("cap_chown=p") == FileCapabilities(CHOWN, 0, 0)

    def test_a_bare_name_means_permitted(self, libcap):
        assert libcap.from_text("cap_net_bind_service") is None
        for name in ("net_bind_service", "NET_BIND_SERVICE", "CAP_NET_BIND_SERVICE", "cap_net_bind_service"):
            assert parse_items(name) == FileCapabilities(NET, 0, 0)
        assert parse_items("chown,net_bind_service") == FileCapabilities(CHOWN | NET, 0, 0)

    def test_all_is_a_fixed_set(self):
        assert len(NAMES) == 41
        assert parse_items("all") == parse_items("=p") == parse_items("all=p") == FileCapabilities(ALL, 0, 0)

    def test_an_empty_list_assigns_no_record(self):
        assert capabilities.from_list([]) is None

    @pytest.mark.parametrize("text", ["=", "cap_chown=", "cap_ipc_lock=-ep", "all=ep all-ep"])
    def test_clauses_that_leave_all_sets_empty_assign_an_empty_record(self, tmp_path, text):
        assert parse_items(text).to_xattr() == bytes.fromhex("00000002" + "00" * 16)
        assert libcaps.Setcap(tmp_path).bytes(text) == parse_items(text).to_xattr()

    @pytest.mark.parametrize("text", ["", " ", "\t\n"])
    def test_blank_text_is_refused(self, libcap, text):
        assert libcap.from_text(text) == (0, 0, 0)
        (problem,) = find_problems(text)
        assert problem.endswith(": no capability; write a name, or leave it out")

    def test_long_text_is_refused(self):
        assert find_problems("cap_chown=p " * 1000) == [
            '"' + ("cap_chown=p " * 17)[:196] + '...": 12000 characters; capability text has at most 4096'
        ]


def test_items_act_in_order():
    assert parse_items("net_bind_service", "cap_chown=p") == FileCapabilities(CHOWN | NET, 0, 0)
    assert parse_items("chown", "net_bind_service", "cap_chown-p") == FileCapabilities(NET, 0, 0)
    assert parse_items("chown", "=") == FileCapabilities(0, 0, 0)


@pytest.mark.parametrize(
    "text, numbers",
    [("7=p", [7]), ("07=p", [7]), ("010=p", [8]), ("0x10=p", [16]), ("0X27=p", [39]), ("0b11=p", [3]), ("63=p", [63])],
)
def test_numbers_are_those_of_strtoul(text, numbers):
    assert parse_items(text).permitted == sum(1 << number for number in numbers)


def test_all_replaces_the_names_before_it_in_a_list():
    assert parse_items("63,all=p").permitted == ALL
    assert parse_items("all,63=p").permitted == ALL | 1 << 63


MESSAGES = [
    (["net_bind_servce"], ['"net_bind_servce": unknown capability; did you mean "net_bind_service"?']),
    (["net-admin"], ['"net-admin": unknown capability; did you mean "net_admin"?']),
    (["cap_sys-Time", "bpf"], ['"cap_sys-Time": unknown capability; did you mean "cap_sys_Time"?']),
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
    (["==p"], ['"==p": "==" is not a valid operator; write one of "=", "+", "-"']),
    (["cap_chown=p=e"], ['"cap_chown=p=e": "=" is not a valid operator after the first; write "+" or "-"']),
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
    (["64=p"], ['"64=p": "64" is out of range (0 to 63)']),
    (["9" * 5000 + "=p"], ['"' + "9" * 196 + '...": 5002 characters; capability text has at most 4096']),
    (["08=p"], ['"08=p": "08" is not a valid number; write the name of a capability']),
    (["1_0=p"], ['"1_0=p": "1_0" is not a valid number; write the name of a capability']),
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
def test_the_message_names_the_problem(items, expected):
    assert find_problems(*items) == expected

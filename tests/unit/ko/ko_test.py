"""Capabilities from `.ko.yaml`: what ko and we agree on, what either says otherwise, and files that are none."""

from __future__ import annotations

import json
import pathlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules_setcap import capabilities
from rules_setcap.capabilities import CapabilityError
from rules_setcap.capabilities.names import NAMES
from rules_setcap.ko import agreement, config
from rules_setcap.ko.errors import ConfigError
from rules_setcap.ko.meaning import Refused, meaning, terms

BUILDS = """\
defaultBaseImage: localhost/base
builds:
- id: text
  main: ./a
  linux_capabilities: bpf,perfmon,net_admin=ep
- id: list
  linux_capabilities:
  - net_bind_service
  - CAP_SYS_PTRACE
  - cap_kill+i
- id: none
  linux_capabilities: []
- id: quoted
  linux_capabilities: "cap_chown=p  cap_kill=p"
- linux_capabilities: bpf
- id: nothing
  main: .
"""


def _read(directory: pathlib.Path, text: str | bytes, build: str = "a") -> config.Capabilities:
    path = directory / "ko.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return config.read(str(path), ".ko.yaml", build)


def _refusal(directory: pathlib.Path, text: str | bytes, build: str = "a") -> str:
    """What is said of a file that is refused: one line, soon."""
    start = time.monotonic()
    with pytest.raises(ConfigError) as error:
        _read(directory, text, build)
    assert time.monotonic() - start < 10
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    "build, expected, words",
    [
        ("text", "cap_net_admin,cap_perfmon,cap_bpf=ep", ["bpf,perfmon,net_admin=ep"]),
        ("list", "cap_kill=i cap_net_bind_service,cap_sys_ptrace+p", ["net_bind_service", "CAP_SYS_PTRACE", "cap_kill+i"]),
        ("none", None, []),
        ("quoted", "cap_chown,cap_kill=p", ["cap_chown=p  cap_kill=p"]),
        ("#4", "cap_bpf=p", ["bpf"]),
    ],
)
def test_builds(tmp_path, build, expected, words):
    found = _read(tmp_path, BUILDS, build)
    assert found.items == words
    assert agreement.disagreements(found) == []
    value = capabilities.from_list(found.items)
    assert (value and value.to_text()) == expected


def test_where_it_stands(tmp_path):
    assert _read(tmp_path, BUILDS, "list").where == '.ko.yaml:8: build "list": linux_capabilities'


def test_the_only_build_needs_no_name(tmp_path):
    assert _read(tmp_path, "builds: [{id: x, linux_capabilities: bpf}]", "").items == ["bpf"]


def test_merged(tmp_path):
    text = "x: &x {linux_capabilities: [kill]}\ny: &y {<<: *x}\nbuilds:\n"
    text += "- {id: a, <<: [*y, *x]}\n- {<<: *x, id: b, linux_capabilities: bpf}\n"
    assert _read(tmp_path, text, "a").items == ["kill"]
    assert _read(tmp_path, text, "b").items == ["bpf"]


# What ko makes of them was seen with ko's own package; see docs/capability-text.md.
DISAGREEMENTS = {
    "cap_chown=ep cap_kill=p": '; ko makes "cap_chown,cap_kill=ep" of it: write "cap_chown,cap_kill=ep" if that is meant',
    "cap_chown=e": "; ko makes no capabilities of it: write [] if that is meant",
    "cap_chown =p": '; ko makes "=p" of it: write "=p" if that is meant',
    "bpf kill": '; ko makes "cap_kill,cap_bpf=p" of it: write "cap_kill,cap_bpf=p" if that is meant',
    "chown==p": '; ko makes "cap_chown=p" of it: write "cap_chown=p" if that is meant',
    "cap_chown+": "; ko makes no capabilities of it: write [] if that is meant",
    "cap_chown=p=e": "; ko makes no capabilities of it: write [] if that is meant",
    "010=p": ': "cap_setpcap=p" to us, and "cap_net_bind_service=p" to ko; write "cap_setpcap=p" or "cap_net_bind_service=p"',
    "10": '; ko makes "cap_net_bind_service=p" of it: write "cap_net_bind_service=p" if that is meant',
    "0x8=p": ': ko refuses it, "0x8" is no capability; write "cap_setpcap=p"',
    "63,all=p": ': "=p" to us, and "=p 63+p" to ko; write "=p" or "=p 63+p"',
    "\u017fyslog": '; ko makes "cap_syslog=p" of it: write "cap_syslog=p" if that is meant',
    "cap_chown=": ': "=" to us, and no capabilities to ko; write linux_capabilities = ["="] into the BUILD file or []',
    "cap_chown,cap_kill": ': ko refuses it, "cap_chown,cap_kill" is no capability; write "cap_chown,cap_kill=p"',
    "net_bind_servce": '"net_bind_servce": unknown capability; did you mean "net_bind_service"?',
}


@pytest.mark.parametrize("text", DISAGREEMENTS)
def test_disagreements(tmp_path, text):
    found = _read(tmp_path, f"builds: [{{id: a, linux_capabilities: {json.dumps(text)}}}]")
    (said,) = agreement.disagreements(found)
    assert said.startswith('.ko.yaml:1: build "a": linux_capabilities: ')
    assert said.endswith(DISAGREEMENTS[text])


def test_a_space_in_an_item(tmp_path):
    """It is part of a name to ko."""
    items = _read(tmp_path, "builds: [{id: a, linux_capabilities: [cap_chown=p cap_kill=p]}]")
    (said,) = agreement.disagreements(items)
    refused = '["cap_chown=p cap_kill=p"]: ko refuses it, " " in "cap_chown=p cap_kill=p" is no flag'
    assert said.endswith(f': {refused}; write "cap_chown,cap_kill=p"')


_TERM = st.one_of(
    st.sampled_from([*NAMES, "chown", "ALL", "10", "=", "=ep"]),
    st.tuples(
        st.lists(st.sampled_from([*NAMES, "all", "BPF", "7"]), max_size=3).map(",".join),
        st.sampled_from(["=", "+", "-", "=+", "=p", ""]),
        st.text("eip+-=", max_size=3),
    ).map("".join),
)


@given(st.lists(_TERM, max_size=3))
def test_what_is_taken_is_what_ko_makes_of_it(words):
    said = agreement.disagreements(config.Capabilities("where", words))
    try:
        theirs = meaning(words)
    except Refused:
        assert said
        return
    try:
        ours = capabilities.from_list(words)
    except CapabilityError:
        assert said
        return
    assert bool(said) == (ours != theirs)
    if said and theirs is not None:  # What to write is taken, and means the one or the other.
        text = json.loads(said[0].rpartition(" or ")[2])
        assert meaning(terms(text)) == capabilities.from_list(terms(text)) == theirs


@pytest.mark.parametrize(
    "text, build, said",
    [
        ("builds: [{id: a}, {id: b}]", "", '.ko.yaml: has 2 builds; say which: build = "a" or "b"'),
        ("builds: [{id: b}, {main: x}]", "a", '.ko.yaml: has no build "a"; it has "b", "#1"'),
        ("builds:\n- id: a\n- id: a\n", "a", '.ko.yaml: 2 builds have the id "a", in lines 2 and 3'),
        ("defaultBaseImage: x", "a", ".ko.yaml: has no builds"),
        ("builds:", "a", ".ko.yaml:1: builds is no list of builds"),
        ("builds: {id: a}", "a", ".ko.yaml:1: builds is no list of builds"),
        ("builds: [a]", "a", ".ko.yaml:1: no mapping"),
        ("builds: [{id: [a]}]", "a", ".ko.yaml:1: id is no string"),
        ("- builds", "a", ".ko.yaml: no configuration of ko: a mapping with builds"),
        ("", "a", ".ko.yaml: no configuration of ko: a mapping with builds"),
        (
            "builds: [{id: a}]",
            "a",
            '.ko.yaml: build "a": has no linux_capabilities; write [] there for none, or take nothing from it here',
        ),
        (
            "builds: [{id: a, linux_capabilites: bpf}]",
            "a",
            '.ko.yaml: build "a": has no linux_capabilities; is "linux_capabilites" meant to be that?',
        ),
        (
            "builds: [{id: a, linux_capabilities: }]",
            "a",
            '.ko.yaml: build "a": has no linux_capabilities; write [] there for none, or take nothing from it here',
        ),
        (
            "builds:\n- id: a\n  linux_capabilities: [bpf, 7]",
            "a",
            '.ko.yaml:3: build "a": linux_capabilities: "7" is no string but int to YAML; put it into quotes, or write a name',
        ),
        (
            "builds: [{id: a, linux_capabilities: yes}]",
            "a",
            '.ko.yaml:1: build "a": linux_capabilities: "yes" is no string but bool to YAML; put it into quotes, or write a name',
        ),
        (
            "builds: [{id: a, linux_capabilities: {bpf: p}}]",
            "a",
            '.ko.yaml:1: build "a": linux_capabilities: no string, nor a list of strings',
        ),
        (
            "builds:\n- id: a\n  linux_capabilities: bpf\n  linux_capabilities: kill\n",
            "a",
            '.ko.yaml:3: has "linux_capabilities" twice',
        ),
        ("builds: [{id: a}]\nbuilds: []\n", "a", '.ko.yaml:1: has "builds" twice'),
        ("a: b: c", "a", ".ko.yaml:1: invalid YAML: mapping values are not allowed here"),
        ("builds: [*x]", "a", ".ko.yaml:1: invalid YAML: found undefined alias 'x'"),
        ("a: 1\n---\nb: 2\n", "a", ".ko.yaml:2: invalid YAML: but found another document"),
        (b"builds: \xff", "a", ".ko.yaml: invalid YAML: invalid start byte"),
        (b"builds: \x01", "a", ".ko.yaml: invalid YAML: special characters are not allowed"),
    ],
)
def test_files_that_are_refused(tmp_path, text, build, said):
    assert _refusal(tmp_path, text, build) == said


def test_hostile_files(tmp_path):
    deep = _refusal(tmp_path, "builds: " + "[" * 50_000)
    assert deep == ".ko.yaml: invalid YAML: nested too deep (limit YAML_DEPTH: 100)"
    assert "limit KO_CONFIG: 262144 bytes" in _refusal(tmp_path, b" " * 300_000)
    # Aliases of aliases, as a list, as builds and as merges: what they would come to is never made.
    doubled = "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 90))
    found = _read(tmp_path, "a0: &a0 [x]\n" + doubled + "builds: [{id: a, linux_capabilities: bpf}]")
    assert found.items == ["bpf"]
    assert "no string, nor a list" in _refusal(tmp_path, "a0: &a0 [x]\n" + doubled + "builds: [{id: a, linux_capabilities: *a89}]")
    merged = "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 90))
    found = _read(tmp_path, "a0: &a0 {linux_capabilities: bpf}\n" + merged + "builds: [{id: a, <<: *a89}]")
    assert found.items == ["bpf"]
    _refusal(tmp_path, "builds: &a [{id: a, linux_capabilities: *a}]")
    _refusal(tmp_path, "builds: [&a {id: a, <<: *a}]")
    _refusal(tmp_path, "builds: [{id: a, linux_capabilities: !!python/object/apply:os.system [exit]}]")


@given(st.binary(max_size=300) | st.text("builds: [{}]-&*!|>'\"\n#id:a,<", max_size=200).map(str.encode))
def test_any_bytes(tmp_path_factory, data):
    directory = tmp_path_factory.getbasetemp()
    try:
        _read(directory, data)
    except ConfigError as error:
        assert "\n" not in str(error)

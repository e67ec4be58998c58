"""Capabilities of a `.ko.yaml` are accepted if ko reads them as these rules do, and invalid files are refused."""

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
from rules_setcap.diagnostics.errors import InputError
from rules_setcap.ko.agreement import check_agreement
from rules_setcap.ko.config import BuildCapabilities, read_config
from rules_setcap.ko.ko_text import RefusedError, parse_as_ko, split_terms

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
- id: names
  linux_capabilities: bpf  CAP_KILL
- id: nothing
  main: .
"""


def _read(directory: pathlib.Path, text: str | bytes, build: str = "a") -> BuildCapabilities:
    path = directory / "ko.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_config(str(path), ".ko.yaml", build)


def _refuse(directory: pathlib.Path, text: str | bytes, build: str = "a") -> str:
    """Returns the problem of a file, which is one line and comes soon."""
    start = time.monotonic()
    with pytest.raises(InputError) as error:
        _read(directory, text, build)
    assert time.monotonic() - start < 10
    (message,) = error.value.problems
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    "build, expected, words",
    [
        ("text", "cap_net_admin,cap_perfmon,cap_bpf=ep", ["bpf,perfmon,net_admin=ep"]),
        ("list", "cap_kill=i cap_net_bind_service,cap_sys_ptrace+p", ["net_bind_service", "CAP_SYS_PTRACE", "cap_kill+i"]),
        ("none", None, []),
        ("quoted", "cap_chown,cap_kill=p", ["cap_chown=p  cap_kill=p"]),
        ("#4", "cap_bpf=p", ["bpf"]),
        ("names", "cap_kill,cap_bpf=p", ["bpf", "CAP_KILL"]),
    ],
)
def test_the_capabilities_of_a_build_are_those_of_ko(tmp_path, build, expected, words):
    requested = _read(tmp_path, BUILDS, build)
    assert requested.words == words
    check_agreement(requested)
    value = capabilities.from_list(requested.words)
    assert (value and value.to_text()) == expected


def test_the_source_names_line_and_build(tmp_path):
    assert _read(tmp_path, BUILDS, "list").where == '.ko.yaml:8: build "list": linux_capabilities'


def test_the_only_build_needs_no_name(tmp_path):
    assert _read(tmp_path, "builds: [{id: x, linux_capabilities: bpf}]", "").words == ["bpf"]


def test_merge_keys_are_followed(tmp_path):
    text = "x: &x {linux_capabilities: [kill]}\ny: &y {<<: *x}\nbuilds:\n"
    text += "- {id: a, <<: [*y, *x]}\n- {<<: *x, id: b, linux_capabilities: bpf}\n"
    assert _read(tmp_path, text, "a").words == ["kill"]
    assert _read(tmp_path, text, "b").words == ["bpf"]


# ko's own package has shown how ko reads each; see docs/capability-text.md.
DISAGREEMENTS = {
    "cap_chown=ep cap_kill=p": '; ko reads it as "cap_chown,cap_kill=ep": write "cap_chown,cap_kill=ep" if that is meant',
    "cap_chown=e": "; ko reads it as no capabilities: write [] if that is meant",
    "cap_chown =p": '; ko reads it as "=p": write "=p" if that is meant',
    "kill=p bpf": '; ko reads it as "cap_kill,cap_bpf=p": write "cap_kill,cap_bpf=p" if that is meant',
    "chown==p": '; ko reads it as "cap_chown=p": write "cap_chown=p" if that is meant',
    "cap_chown+": "; ko reads it as no capabilities: write [] if that is meant",
    "cap_chown=p=e": "; ko reads it as no capabilities: write [] if that is meant",
    "010=p": ': these rules read it as "cap_setpcap=p", and ko as "cap_net_bind_service=p"; write "cap_setpcap=p" or "cap_net_bind_service=p"',
    "bpf kil": '"kil": unknown capability; did you mean "kill"?',
    "10": '; ko reads it as "cap_net_bind_service=p": write "cap_net_bind_service=p" if that is meant',
    "0x8=p": ': ko refuses it, because "0x8" is not a capability; write "cap_setpcap=p"',
    "63,all=p": ': these rules read it as "=p", and ko as "=p 63+p"; write "=p" or "=p 63+p"',
    "\u017fyslog": '; ko reads it as "cap_syslog=p": write "cap_syslog=p" if that is meant',
    "cap_chown=": ': these rules read it as "=", and ko as no capabilities; write linux_capabilities = ["="] into the BUILD file or []',
    "cap_chown,cap_kill": ': ko refuses it, because "cap_chown,cap_kill" is not a capability; write "cap_chown,cap_kill=p"',
    "net_bind_servce": '"net_bind_servce": unknown capability; did you mean "net_bind_service"?',
}


@pytest.mark.parametrize("text", DISAGREEMENTS)
def test_a_text_that_ko_reads_differently_is_refused(tmp_path, text):
    message = _find_disagreement(_read(tmp_path, f"builds: [{{id: a, linux_capabilities: {json.dumps(text)}}}]"))
    assert message.startswith('.ko.yaml:1: build "a": linux_capabilities: ')
    assert message.endswith(DISAGREEMENTS[text])


def _find_disagreement(requested: BuildCapabilities) -> str:
    """Returns the problem that check_agreement() reports; "" if there is none."""
    try:
        check_agreement(requested)
    except InputError as error:
        (message,) = error.problems
        return message
    return ""


def test_a_space_in_an_item_is_a_part_of_the_name_to_ko(tmp_path):
    requested = _read(tmp_path, "builds: [{id: a, linux_capabilities: [cap_chown=p cap_kill=p]}]")
    message = _find_disagreement(requested)
    refused = '["cap_chown=p cap_kill=p"]: ko refuses it, because " " in "cap_chown=p cap_kill=p" is not a flag'
    assert message.endswith(f': {refused}; write "cap_chown,cap_kill=p"')


_TERM = st.one_of(
    st.sampled_from([*NAMES, "chown", "ALL", "10", "=", "=ep"]),
    st.tuples(
        st.lists(st.sampled_from([*NAMES, "all", "BPF", "7"]), max_size=3).map(",".join),
        st.sampled_from(["=", "+", "-", "=+", "=p", ""]),
        st.text("eip+-=", max_size=3),
    ).map("".join),
)


@given(st.lists(_TERM, max_size=3))
def test_a_text_is_accepted_only_if_ko_reads_the_same(words):
    try:
        check_agreement(BuildCapabilities("where", words))
        problems = []
    except InputError as error:
        problems = error.problems
    try:
        theirs = parse_as_ko(words)
    except RefusedError:
        assert problems
        return
    try:
        ours = capabilities.from_list(words)
    except CapabilityError:
        assert problems
        return
    assert bool(problems) == (ours != theirs)
    if problems and theirs is not None:  # Both read the text of the advice as ko reads this one.
        terms = split_terms(json.loads(problems[0].rpartition(" or ")[2]))
        assert parse_as_ko(terms) == capabilities.from_list(terms) == theirs


BY_MAIN = 'build must be an id: write "b" for the build with this main'


@pytest.mark.parametrize(
    "text, build, message",
    [
        ("builds: [{id: a}, {id: b}]", "", '.ko.yaml: has 2 builds; choose one: build = "a" or "b"'),
        ("builds: [{id: b}, {main: x}]", "", '.ko.yaml: has 2 builds; choose one: build = "b" or "#1" (main: "x")'),
        ("builds: [{id: b}, {main: x}, {}]", "a", '.ko.yaml: has no build "a"; it has "b", "#1" (main: "x"), "#2"'),
        ("builds: [{id: b, main: ./x}]", "./x", f'.ko.yaml: has no build "./x"; {BY_MAIN}'),
        ("builds: [{id: b, main: ./x}]", "x/", f'.ko.yaml: has no build "x/"; {BY_MAIN}'),
        ("builds: [{id: b, main: x/y}]", "a.example/x/y", f'.ko.yaml: has no build "a.example/x/y"; {BY_MAIN}'),
        ("builds: [{id: b, main: ./x}]", "ko://a.example/x", f'.ko.yaml: has no build "ko://a.example/x"; {BY_MAIN}'),
        ("builds: [{id: b, main: ./x}, {id: c, main: x}]", "./x", '.ko.yaml: has no build "./x"; it has "b", "c"'),
        ("builds: [{id: b, main: .}]", "a.", '.ko.yaml: has no build "a."; it has "b"'),
        ("builds: [{id: b, main: ./x}]", "yx", '.ko.yaml: has no build "yx"; it has "b"'),
        ("builds: [{id: b, main: [x]}]", "x", '.ko.yaml: has no build "x"; it has "b"'),
        ("builds:\n- id: a\n- id: a\n", "a", '.ko.yaml: 2 builds have the id "a", in lines 2 and 3'),
        ("defaultBaseImage: x", "a", ".ko.yaml: has no builds"),
        ("builds:", "a", ".ko.yaml: has no builds"),
        ("builds: {id: a}", "a", '.ko.yaml:1: builds: "a mapping": not a list'),
        ("builds: [a]", "a", '.ko.yaml:1: builds[0]: "a": not a mapping'),
        ("builds: [{id: [a]}]", "a", '.ko.yaml:1: builds[0].id: "a list": not a text'),
        ("- builds", "a", ".ko.yaml: not a configuration of ko, which is a YAML mapping with builds"),
        ("", "a", ".ko.yaml: not a configuration of ko, which is a YAML mapping with builds"),
        (
            "builds: [{id: a}]",
            "a",
            '.ko.yaml: build "a": has no linux_capabilities; write linux_capabilities: [] for no capabilities, or remove ko_capabilities from the BUILD file',
        ),
        (
            "builds: [{id: a, linux_capabilites: bpf}]",
            "a",
            '.ko.yaml: build "a": has no linux_capabilities; the field "linux_capabilites" is probably misspelt',
        ),
        (
            "builds: [{id: a, linux_capabilities: }]",
            "a",
            '.ko.yaml: build "a": has no linux_capabilities; write linux_capabilities: [] for no capabilities, or remove ko_capabilities from the BUILD file',
        ),
        (
            "builds:\n- id: a\n  linux_capabilities: [bpf, 7]",
            "a",
            '.ko.yaml:3: builds[0].linux_capabilities[1]: "7": not a text to YAML; put it in quotes',
        ),
        (
            "builds: [{id: a, linux_capabilities: yes}]",
            "a",
            '.ko.yaml:1: builds[0].linux_capabilities: "yes": not a text to YAML; put it in quotes',
        ),
        (
            "builds: [{id: a, linux_capabilities: {bpf: p}}]",
            "a",
            '.ko.yaml:1: builds[0].linux_capabilities: "a mapping": neither a text nor a list of texts',
        ),
        (
            "builds:\n- id: a\n  linux_capabilities: bpf\n  linux_capabilities: kill\n",
            "a",
            '.ko.yaml:4: "linux_capabilities": a second time in one mapping; the first is in line 3',
        ),
        ("builds: [{id: a}]\nbuilds: []\n", "a", '.ko.yaml:2: "builds": a second time in one mapping; the first is in line 1'),
        ("a: b: c", "a", ".ko.yaml:1: invalid YAML: mapping values are not allowed in this context"),
        ("builds: [*x]", "a", ".ko.yaml:1: invalid YAML: found undefined alias"),
        (
            "builds: [{id: a}]\nlinux_capabilities: bpf",
            "a",
            '.ko.yaml: build "a": has no linux_capabilities; move the linux_capabilities of the top level into the build',
        ),
        ("a: 1\n---\nb: 2\n", "a", ".ko.yaml: has more than one YAML document; write one, without ---"),
        (b"builds: \xff", "a", '.ko.yaml: "ff": not UTF-8 at byte 8'),
        (b"builds: \x01", "a", ".ko.yaml: invalid YAML: control characters are not allowed"),
    ],
)
def test_an_invalid_file_is_refused(tmp_path, text, build, message):
    assert _refuse(tmp_path, text, build) == message


def test_a_hostile_file_is_refused_soon(tmp_path):
    deep = _refuse(tmp_path, "builds: " + "[" * 50_000)
    assert deep == ".ko.yaml:1: nested too deep (limit YAML_DEPTH: 100)"
    assert "limit KO_CONFIG: 262144 bytes" in _refuse(tmp_path, b" " * 300_000)
    # Aliases of aliases, as a list, as builds and as merges. What they stand for is never written out.
    doubled = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 90))
    merged = "a0: &a0 {linux_capabilities: bpf}\n"
    merged += "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 90))
    for text in (
        doubled + "builds: [{id: a, linux_capabilities: bpf}]",
        doubled + "builds: [{id: a, linux_capabilities: *a89}]",
        merged + "builds: [{id: a, <<: *a89}]",
    ):
        assert "too many values, with aliases written out" in _refuse(tmp_path, text)
    assert "is inside the value that it stands for" in _refuse(tmp_path, "builds: &a [{id: a, linux_capabilities: *a}]")
    assert "is inside the value that it stands for" in _refuse(tmp_path, "builds: [&a {id: a, <<: *a}]")
    tagged = _refuse(tmp_path, "builds: [{id: a, linux_capabilities: !!python/object/apply:os.system [exit]}]")
    assert tagged.endswith(": unknown tag")


@given(st.binary(max_size=300) | st.text("builds: [{}]-&*!|>'\"\n#id:a,<", max_size=200).map(str.encode))
def test_any_bytes_are_read_or_refused(tmp_path_factory, data):
    directory = tmp_path_factory.getbasetemp()
    try:
        _read(directory, data)
    except InputError as error:
        assert not any("\n" in problem for problem in error.problems)

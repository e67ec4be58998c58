"""The allowlist of getcap --review."""

from __future__ import annotations

import json
import pathlib
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules_setcap import capabilities
from rules_setcap.capabilities import FileCapabilities
from rules_setcap.containers.versions import Runtime
from rules_setcap.diagnostics.errors import InputError
from rules_setcap.getcap import cli
from rules_setcap.getcap.allowlist import Allowlist
from rules_setcap.getcap.allowlist_format import format_allowlist, parse_allowlist
from rules_setcap.getcap.review_image import review_image
from rules_setcap.oci import image_reader
from support.image import layout, tar

NET = capabilities.from_text("cap_net_bind_service=p")
BOTH = capabilities.from_text("cap_net_bind_service,cap_net_raw=ep")


def gate(capsys: pytest.CaptureFixture[str], allowed: str, *paths: pathlib.Path) -> tuple[int, list[tuple[str, str]]]:
    """Returns the exit status, and rule and message of every finding."""
    file = paths[0].parent / "allow"
    file.write_text(allowed)
    status = cli.main(["--review", "--json", "--allow", str(file), *map(str, paths)])
    output = capsys.readouterr()
    assert output.err == ""
    found = json.loads(output.out)
    findings = [each for image in found["images"] for each in image["findings"]] + found["findings"]
    return status, [(each["rule"], each["message"].removeprefix(str(file))) for each in findings]


def test_a_line_allows_at_most_what_it_says(tmp_path: pathlib.Path, capsys):
    image = layout(tmp_path / "image", tar(("/x", BOTH, "file"), ("/su", None, "file", {"mode": 0o4755})))
    good = "/x cap_net_bind_service,cap_net_raw=ep\n/su set-user-ID=0\n"
    assert gate(capsys, good, image) == (0, [])
    assert gate(capsys, "\n# comment\n" + good.replace("\n", "   # because\n").replace("\n", "\r\n"), image) == (0, [])
    status, found = gate(capsys, "/x cap_net_raw=ep\n/su set-user-ID=0\n", image)
    assert status == 1
    assert found == [("RSC004", found[0][1])]
    assert found[0][1].endswith(":1 allows cap_net_raw=ep: cap_net_bind_service permitted, cap_net_bind_service effective")
    status, found = gate(capsys, good.replace("=ep", "=p"), image)
    assert [rule for rule, _ in found] == ["RSC004"] and found[0][1].endswith(": cap_net_bind_service,cap_net_raw effective")
    assert [rule for rule, _ in gate(capsys, good.replace("ID=0", "ID=7"), image)[1]] == ["RSC004", "RSC005"][:1]
    status, found = gate(capsys, "/x cap_net_bind_service,cap_net_raw=ep\n", image)
    assert (status, [rule for rule, _ in found]) == (1, ["RSC002"])


def test_what_no_image_has_is_stale(tmp_path: pathlib.Path, capsys):
    one = layout(tmp_path / "one", tar(("/x", NET, "file")))
    two = layout(tmp_path / "two", tar(("/x", NET, "file"), ("/python3", NET, "file")))
    lines = "/x cap_net_bind_service,cap_bpf=p set-user-ID=0\n/python3 cap_net_bind_service=p accept=RSC204,RSC201\n/y set-group-ID=5\n"
    status, found = gate(capsys, lines, one, two)
    assert status == 1
    assert found == [
        ("RSC005", ":1: allows cap_bpf, set-user-ID, which the file has in no image"),
        ("RSC005", ":2: accepts RSC201, which is found in no image"),
        ("RSC005", ':3: no image has "/y" with set-group-ID=5'),
    ]
    assert gate(capsys, "/x cap_net_bind_service=p\n/python3 cap_net_bind_service=p accept=RSC204\n", one, two) == (0, [])


def test_lines_of_one_path_are_alternatives(tmp_path: pathlib.Path, capsys):
    one = layout(tmp_path / "one", tar(("/x", NET, "file")))
    two = layout(tmp_path / "two", tar(("/x", BOTH, "file")))
    lines = "/x cap_net_bind_service=p\n/x cap_net_bind_service,cap_net_raw=ep\n"
    assert gate(capsys, lines, one, two) == (0, [])
    assert [rule for rule, _ in gate(capsys, lines, one)[1]] == ["RSC005"]


def test_what_becomes_dangerous_later_is_found(tmp_path: pathlib.Path, capsys):
    """A line that allows a file's capabilities does not allow others to write to it."""
    image = layout(tmp_path / "image", tar(("/x", NET, "file", {"mode": 0o777})))
    assert [rule for rule, _ in gate(capsys, "/x cap_net_bind_service=p\n", image)[1]] == ["RSC201"]
    assert gate(capsys, "/x cap_net_bind_service=p accept=RSC201\n", image) == (0, [])


def test_rootid(tmp_path: pathlib.Path, capsys):
    image = layout(tmp_path / "image", tar(("/x", NET._replace(rootid=1000), "file")))
    assert gate(capsys, "/x cap_net_bind_service=p [rootid=1000] accept=RSC105\n", image) == (0, [])
    assert gate(capsys, "/x cap_net_bind_service=p accept=RSC105\n", image) == (0, [])  # For any namespace: more.
    assert [rule for rule, _ in gate(capsys, "/x cap_net_bind_service=p [rootid=7] accept=RSC105\n", image)[1]] == ["RSC004"]


def test_what_getcap_prints_is_an_allowlist(tmp_path: pathlib.Path, capsys):
    image = layout(tmp_path / "image", tar(("/x", NET, "file"), ("/y", capabilities.from_text("=p cap_sys_admin-p"), "file")))
    assert cli.main([str(image)]) == 0
    printed = capsys.readouterr().out
    assert [rule for rule, _ in gate(capsys, printed, image)[1]] == ["RSC206"]


def test_reasons_are_kept(tmp_path: pathlib.Path, capsys):
    image = layout(tmp_path / "image", tar(("/x", NET, "file"), ("/y", BOTH, "file")))
    file = tmp_path / "allow"
    file.write_text("/x cap_net_bind_service=p # port 80\n/y cap_net_raw=p # ping\n")
    assert cli.main(["--review", "--print-allow", "--allow", str(file), str(image)]) == 0
    assert capsys.readouterr().out == "/x cap_net_bind_service=p  # port 80\n/y cap_net_bind_service,cap_net_raw=ep\n"


WRONG = {
    "x cap_bpf=p": "absolute path",
    "/a b cap_bpf=p": '"b"',
    "/x cap_bpf=p\\": "unknown flag",
    "/x cap_bfp=p": 'did you mean "cap_bpf"?',
    "/x cap_bpf=p cap_chown=e": "effective",
    "/x": "allows no privilege",
    "/x # only a reason": "allows no privilege",
    '"/x': "not a valid JSON string",
    "problem x": "not a valid JSON string",
    "/x [rootid=5]": "must follow capabilities",
    "/x cap_bpf=p accept=RSC999": "RSC999",
    "/x cap_bpf=p accept=RSC001": "RSC001",
    "/x set-user-ID=root": '"set-user-ID=root"',
}


def test_wrong_lines_are_all_reported():
    with pytest.raises(InputError) as refused:
        parse_allowlist("\n".join(WRONG).encode(), "allow.txt")
    assert len(refused.value.problems) == len(WRONG)
    for number, (problem, what) in enumerate(zip(refused.value.problems, WRONG.values()), 1):
        assert problem.startswith(f"allow.txt:{number}: ") and what in problem, problem


@pytest.mark.parametrize("data", [b"\xff", b"\0" * (5 << 20)])
def test_what_is_not_text_is_refused(data: bytes):
    with pytest.raises(InputError):
        parse_allowlist(data, "allow.txt")


MASKS = st.integers(0, (1 << 64) - 1) | st.sampled_from([0, 1 << 10, 1 << 21, (1 << 41) - 1])
RECORDS = st.builds(
    lambda permitted, inheritable, effective, rootid: FileCapabilities(
        permitted, inheritable, (permitted | inheritable) * effective, rootid
    ),
    MASKS,
    MASKS,
    st.integers(0, 1),
    st.sampled_from([0, 0, 1000]),
)
ENTRIES = st.tuples(
    st.text('ab "#\\\u00e4\u202e\n\t=[]', min_size=1, max_size=6).filter(str.strip),
    st.none() | RECORDS | st.binary(max_size=24),
    st.sampled_from(["file", "file", "directory", "#!/bin/sh\n"]),
    st.fixed_dictionaries({"mode": st.integers(0, 0o7777), "uid": st.sampled_from([0, 1000]), "gid": st.sampled_from([0, 42])}),
)


@settings(deadline=None, max_examples=150)
@given(st.lists(ENTRIES, max_size=6, unique_by=lambda entry: entry[0]))
def test_the_allowlist_of_an_image_makes_its_review_empty(entries):
    with tempfile.TemporaryDirectory() as directory:
        path = layout(pathlib.Path(directory) / "image", tar(*[("/" + name, *rest) for name, *rest in entries]))
        (image,) = image_reader.read(str(path))
    found = review_image(image, [Runtime("docker")])
    text = format_allowlist([found], Allowlist())
    known = parse_allowlist(text.encode(), "allow.txt")
    assert known.filter_findings(found) == []
    assert list(known.find_stale_lines()) == []
    assert format_allowlist([found], known) == text
    # Each line is needed.
    for at in range(len(known.lines)):
        less = Allowlist(known.lines[:at] + known.lines[at + 1 :])
        assert less.filter_findings(found)
    assert bool(found.findings) == bool(text)

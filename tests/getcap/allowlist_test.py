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
from rules_setcap.containers.engines import Engine
from rules_setcap.diagnostics.errors import InputError, escape
from rules_setcap.getcap import cli
from rules_setcap.getcap.allowlist import Allowlist
from rules_setcap.getcap.allowlist_format import format_allowlist, parse_allowlist
from rules_setcap.getcap.review_image import review_image
from rules_setcap.oci import image_reader
from support.image import layout, tar

NET = capabilities.from_text("cap_net_bind_service=p")
BOTH = capabilities.from_text("cap_net_bind_service,cap_net_raw=ep")


def review_with_allowlist(
    capsys: pytest.CaptureFixture[str], allowlist: str, *paths: pathlib.Path
) -> tuple[int, list[tuple[str, str]]]:
    """Reviews images; returns the exit status, and rule and message of every finding."""
    file = paths[0].parent / "allow"
    file.write_text(allowlist)
    status = cli.main(["--review", "--json", "--allow", str(file), *map(str, paths)])
    output = capsys.readouterr()
    assert output.err == ""
    report = json.loads(output.out)
    findings = [finding for image in report["images"] for finding in image["findings"]] + report["findings"]
    return status, [(finding["rule"], finding["message"].removeprefix(str(file))) for finding in findings]


def test_a_line_allows_its_privileges_and_no_more(tmp_path: pathlib.Path, capsys):
    image = layout(tmp_path / "image", tar(("/x", BOTH, "file"), ("/su", None, "file", {"mode": 0o4755})))
    lines = "/x cap_net_bind_service,cap_net_raw=ep\n/su set-user-ID=0\n"
    assert review_with_allowlist(capsys, lines, image) == (0, [])
    assert review_with_allowlist(
        capsys, "\n# comment\n" + lines.replace("\n", "   # because\n").replace("\n", "\r\n"), image
    ) == (0, [])
    status, findings = review_with_allowlist(capsys, "/x cap_net_raw=ep\n/su set-user-ID=0\n", image)
    assert status == 1
    assert findings == [("RSC004", findings[0][1])]
    assert findings[0][1].endswith(":1 allows cap_net_raw=ep: cap_net_bind_service permitted, cap_net_bind_service effective")
    status, findings = review_with_allowlist(capsys, lines.replace("=ep", "=p"), image)
    assert [rule for rule, _ in findings] == ["RSC004"] and findings[0][1].endswith(
        ": cap_net_bind_service,cap_net_raw effective"
    )
    assert [rule for rule, _ in review_with_allowlist(capsys, lines.replace("ID=0", "ID=7"), image)[1]] == ["RSC004", "RSC005"][
        :1
    ]
    status, findings = review_with_allowlist(capsys, "/x cap_net_bind_service,cap_net_raw=ep\n", image)
    assert (status, [rule for rule, _ in findings]) == (1, ["RSC002"])


def test_lines_that_no_image_needs_are_stale(tmp_path: pathlib.Path, capsys):
    one = layout(tmp_path / "one", tar(("/x", NET, "file")))
    two = layout(tmp_path / "two", tar(("/x", NET, "file"), ("/python3", NET, "file")))
    lines = "/x cap_net_bind_service,cap_bpf=p set-user-ID=0\n/python3 cap_net_bind_service=p accept=RSC204,RSC201\n/y set-group-ID=5\n"
    status, findings = review_with_allowlist(capsys, lines, one, two)
    assert status == 1
    assert findings == [
        ("RSC005", ":1: allows cap_bpf, set-user-ID, which the file has in no image"),
        ("RSC005", ":2: accepts RSC201, which is found in no image"),
        ("RSC005", ':3: no image has "/y" with set-group-ID=5'),
    ]
    assert review_with_allowlist(
        capsys, "/x cap_net_bind_service=p\n/python3 cap_net_bind_service=p accept=RSC204\n", one, two
    ) == (0, [])


def test_lines_of_one_path_are_alternatives(tmp_path: pathlib.Path, capsys):
    one = layout(tmp_path / "one", tar(("/x", NET, "file")))
    two = layout(tmp_path / "two", tar(("/x", BOTH, "file")))
    lines = "/x cap_net_bind_service=p\n/x cap_net_bind_service,cap_net_raw=ep\n"
    assert review_with_allowlist(capsys, lines, one, two) == (0, [])
    assert [rule for rule, _ in review_with_allowlist(capsys, lines, one)[1]] == ["RSC005"]


def test_a_line_does_not_allow_others_to_write_to_the_file(tmp_path: pathlib.Path, capsys):
    image = layout(tmp_path / "image", tar(("/x", NET, "file", {"mode": 0o777})))
    assert [rule for rule, _ in review_with_allowlist(capsys, "/x cap_net_bind_service=p\n", image)[1]] == ["RSC201"]
    assert review_with_allowlist(capsys, "/x cap_net_bind_service=p accept=RSC201\n", image) == (0, [])


def test_a_rootid_limits_the_line_to_one_user_namespace(tmp_path: pathlib.Path, capsys):
    image = layout(tmp_path / "image", tar(("/x", NET._replace(rootid=1000), "file")))
    assert review_with_allowlist(capsys, "/x cap_net_bind_service=p [rootid=1000] accept=RSC105\n", image) == (0, [])
    assert review_with_allowlist(capsys, "/x cap_net_bind_service=p accept=RSC105\n", image) == (
        0,
        [],
    )  # Without a rootid it allows any namespace.
    assert [
        rule for rule, _ in review_with_allowlist(capsys, "/x cap_net_bind_service=p [rootid=7] accept=RSC105\n", image)[1]
    ] == ["RSC004"]


def test_the_output_of_getcap_is_an_allowlist(tmp_path: pathlib.Path, capsys):
    image = layout(tmp_path / "image", tar(("/x", NET, "file"), ("/y", capabilities.from_text("=p cap_sys_admin-p"), "file")))
    assert cli.main([str(image)]) == 0
    printed = capsys.readouterr().out
    assert [rule for rule, _ in review_with_allowlist(capsys, printed, image)[1]] == ["RSC206"]


def test_reasons_of_unchanged_lines_are_kept(tmp_path: pathlib.Path, capsys):
    image = layout(tmp_path / "image", tar(("/x", NET, "file"), ("/y", BOTH, "file")))
    file = tmp_path / "allow"
    file.write_text("/x cap_net_bind_service=p # port 80\n/y cap_net_raw=p # ping\n")
    assert cli.main(["--review", "--print-allow", "--allow", str(file), str(image)]) == 0
    assert capsys.readouterr().out == "/x cap_net_bind_service=p  # port 80\n/y cap_net_bind_service,cap_net_raw=ep\n"


INVALID_LINES = {
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
    "/x\\q cap_bpf=p": '"\\\\q": not a valid escape',
    "/x\\x41 cap_bpf=p": "not a valid escape",
    "/x\\": "absolute path",
}


def test_all_invalid_lines_are_reported():
    with pytest.raises(InputError) as error:
        parse_allowlist("\n".join(INVALID_LINES).encode(), "allow.txt")
    assert len(error.value.problems) == len(INVALID_LINES)
    for number, (problem, words) in enumerate(zip(error.value.problems, INVALID_LINES.values(), strict=True), 1):
        assert problem.startswith(f"allow.txt:{number}: ") and words in problem, problem


@pytest.mark.parametrize("data", [b"\xff", b"\0" * (5 << 20)])
def test_a_file_that_is_not_text_is_refused(data: bytes):
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


@pytest.mark.parametrize(
    "name", ["a b", "back\\slash", 'quote"', "#hash", "a #b", "ä", "\u202efdp", "a\nb", "\t", "\x7f", "\udcff", "\U000e0041"]
)
def test_paths_are_read_as_getcap_prints_them_and_as_json(tmp_path: pathlib.Path, capsys, name: str):
    image = layout(tmp_path / "image", tar((f"/{name}", NET, "file")))
    assert cli.main([str(image)]) == 0
    printed = capsys.readouterr().out
    for line in printed, f"{json.dumps('/' + name)} cap_net_bind_service=p\n":
        assert review_with_allowlist(capsys, line, image) == (0, [])
    assert cli.main(["--review", "--print-allow", str(image)]) == 0
    assert capsys.readouterr().out == printed


@given(st.text(st.characters() | st.sampled_from('\\ "#\n\udc80'), max_size=8).map("/{}".format))
def test_every_path_can_be_written_in_an_allowlist(path: str):
    (line,) = parse_allowlist(f"{escape(path)} cap_bpf=p  # a reason\n".encode(), "allow.txt").lines
    assert (line.path, line.reason) == (path, "a reason")


@settings(deadline=None, max_examples=150)
@given(st.lists(ENTRIES, max_size=6, unique_by=lambda entry: entry[0]))
def test_the_allowlist_of_an_image_allows_all_findings(entries):
    with tempfile.TemporaryDirectory() as directory:
        path = layout(pathlib.Path(directory) / "image", tar(*[("/" + name, *rest) for name, *rest in entries]))
        (image,) = image_reader.read_images(str(path))
    review = review_image(image, [Engine("docker")])
    text = format_allowlist([review], Allowlist())
    allowlist = parse_allowlist(text.encode(), "allow.txt")
    assert allowlist.filter_findings(review) == []
    assert list(allowlist.find_stale_lines()) == []
    assert format_allowlist([review], allowlist) == text
    # Each line is needed.
    for number in range(len(allowlist.lines)):
        shorter = Allowlist(allowlist.lines[:number] + allowlist.lines[number + 1 :])
        assert shorter.filter_findings(review)
    assert bool(review.findings) == bool(text)

"""The HTML report is one well-formed page that loads nothing; the SARIF report has the capabilities that differ, and only them."""

from __future__ import annotations

import copy
import html.parser
import json
import pathlib
import random
import re
import tarfile
from collections.abc import Callable
from typing import Any

import pytest
from drawn_images import Entry, Image, Layer, draw_image

from rules_setcap.diff import cli, report_sarif
from rules_setcap.diff.model import KINDS

_VOID = {"meta"}  # Elements of the report that have no end tag.


class _Page(html.parser.HTMLParser):
    """A page of HTML: its elements, its attributes and its text.

    Attributes:
      elements: the names of the elements, with their attributes.
      text: the text, without style.
      faults: what is not well-formed.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.faults: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        self.faults += [f"{name} is not closed" for name in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.faults.append(f"</{tag}> closes another element")

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ["style"]:
            self.text += data


def make_image(*entries: Entry, **config: Any) -> Image:
    return Image([Layer(list(entries))], {"config": config})


def make_file(path: str, capabilities: str = "", **fields: Any) -> Entry:
    entry = Entry(path, content=b"content", **fields)
    if capabilities:
        entry.set_capabilities(capabilities)
    return entry


@pytest.fixture
def report(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Returns a function that compares two images, and returns the exit status and the output."""

    def compare(before: Image, after: Image, *flags: str) -> tuple[int, str]:
        paths = [tmp_path / name for name in ("before", "after")]
        for path, image in zip(paths, (before, after), strict=True):
            if not path.exists():
                image.write_layout(path)
        status = cli.main([*flags, *map(str, paths)])
        captured = capsys.readouterr()
        assert captured.err == ""
        return status, captured.out

    return compare


def test_a_page_has_what_the_text_has(report):
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"SEED={seed}")
    rng = random.Random(seed)
    image = draw_image(rng)
    other = copy.deepcopy(image)
    for entry in [entry for layer in other.layers for entry in layer.entries if entry.kind == tarfile.REGTYPE]:
        entry.content += b"more"
        entry.mtime, entry.uid = 1, 1
        entry.set_capabilities("cap_sys_boot=p")
    status, output = report(image, other, "--html")
    page = _Page(output)
    assert status == 1 and not page.faults
    text = report(image, other, "--all")[1]
    kinds = set(KINDS) & set(re.findall(r"[a-z]+", text.partition("\n")[0]))
    assert kinds >= {"content", "capabilities"}
    for kind in kinds:
        assert kind in page.text
    assert text.partition("\n")[0] in page.text
    difference = json.loads(report(image, other, "--json")[1])
    changes = [change for one in difference["images"] for layer in one["layers"] for change in layer["changes"]]
    assert len(changes) > 10
    for change in changes:
        assert change["path"] in page.text
        for line in (change["content"] or {}).get("details", ()):
            assert line in page.text


def test_a_page_loads_nothing_and_runs_nothing(report):
    hostile = '/"><script>alert(1)</script><img src=http://registry.example/x onerror=alert(1)>&amp;'
    before = make_image(make_file(hostile + "1", "cap_bpf=p"), Env=[f"A={hostile}"])
    after = make_image(
        make_file(hostile + "1"), make_file("/javascript:x\u202e\x1b[31m"), Env=["A=<b>"], Labels={hostile: hostile}
    )
    status, output = report(before, after, "--html")
    page = _Page(output)
    assert status == 1 and not page.faults
    assert {name for name, _ in page.elements} <= set(
        "html head meta title style body header main section h1 h2 h3 dl dt dd ul li p table tr th td code pre span b em small "
        "details summary".split()
    )
    assert {attribute for _, attributes in page.elements for attribute in attributes} <= {
        "lang", "charset", "name", "content", "http-equiv", "class", "title"
    }  # fmt: skip
    assert "url(" not in output and "@import" not in output
    policy = next(attributes["content"] for _, attributes in page.elements if "http-equiv" in attributes)
    assert "default-src 'none'" in policy and "script" not in policy
    assert "<script>alert(1)</script>" in page.text  # As text.
    assert all(line.isprintable() for line in output.splitlines()), output


def test_a_page_about_the_same_images_says_so(report):
    image = make_image(make_file("/a"))
    status, output = report(image, image, "--html")
    page = _Page(output)
    assert status == 0 and not page.faults
    assert ("h1", {"class": "same"}) in page.elements


def test_long_lists_are_folded_on_a_page(report):
    before = make_image(*(make_file(f"/{number}") for number in range(300)))
    after = make_image(*(make_file(f"/{number}", uid=number + 1, mode=0o600) for number in range(300)))
    page = _Page(report(before, after, "--html")[1])
    assert not page.faults
    assert "290 more" in page.text and "/299" in page.text  # The owners, each with other values.
    assert "300 entries" in page.text and "and 250 more" in page.text  # The modes, which are the same change.


def read_results(output: str) -> dict[str, dict[str, Any]]:
    """Returns the results of a SARIF log by the path of the file, after checks of what the schema requires.

    The checks are of OASIS, SARIF 2.1.0, sarif-schema-2.1.0.json, and of what code scanning shows.
    """
    log = json.loads(output)
    assert log["version"] == "2.1.0" and log["$schema"].endswith("sarif-schema-2.1.0.json")
    (sarif_run,) = log["runs"]
    driver = sarif_run["tool"]["driver"]
    assert driver["name"] == "image_diff" and sarif_run["invocations"] == [{"executionSuccessful": True}]
    assert [rule["id"] for rule in driver["rules"]] == [rule.id for rule in report_sarif.RULES]
    results = {}
    for result in sarif_run["results"]:
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note") and result["message"]["text"]
        (location,) = result["locations"]
        assert re.fullmatch(r"[A-Za-z0-9._~/%-]+", location["physicalLocation"]["artifactLocation"]["uri"])
        assert re.fullmatch(r"[0-9a-f]{64}", result["partialFingerprints"]["image_diff/v1"])
        results[location["logicalLocations"][0]["name"]] = result
    assert len(results) == len(sarif_run["results"])
    return results


@pytest.mark.parametrize(
    ("before", "after", "rule", "level"),
    [
        ("", "cap_sys_admin=p", "RSC301", "error"),
        ("cap_net_bind_service=p", "cap_net_bind_service,cap_net_raw=p", "RSC301", "warning"),
        ("cap_sys_admin=p", "cap_net_bind_service=p", "RSC301", "note"),
        ("cap_net_raw=p", "cap_net_raw=ep", "RSC302", "warning"),
        ("cap_sys_admin=ep", "cap_sys_admin=ei", "RSC302", "error"),
        ("cap_sys_admin,cap_net_raw=p", "cap_net_raw=p", "RSC303", "note"),
        ("cap_sys_admin=p", "", "RSC303", "note"),
        ("", "=ep", "RSC301", "error"),
        ("", "=", "RSC302", "note"),
    ],
)
def test_a_change_of_capabilities_is_a_finding(before, after, rule, level, report):
    status, output = report(make_image(make_file("/a b", before)), make_image(make_file("/a b", after, mtime=5)), "--sarif")
    assert status == 1
    ((path, result),) = read_results(output).items()
    assert path == "/a b" and result["ruleId"] == rule and result["level"] == level
    assert result["message"]["text"].startswith("/a b: ") and " -> " in result["message"]["text"]


def test_a_rootid_and_a_file_that_is_gone_are_findings(report):
    before, after = make_file("/x", "cap_net_raw=p"), make_file("/x")
    after.set_capabilities("cap_net_raw=p", 1000)
    gone = make_file("/gone", "cap_bpf=p")
    results = read_results(report(make_image(before, gone), make_image(after), "--sarif")[1])
    assert results["/x"]["ruleId"] == "RSC302" and "rootid=1000" in results["/x"]["message"]["text"]
    assert results["/gone"]["message"]["text"] == "/gone: cap_bpf=p -> no such file"


def test_other_changes_are_no_findings(report):
    before = make_image(make_file("/a", "cap_bpf=p"), make_file("/b"), User="1")
    after = make_image(make_file("/a", "cap_bpf=p", mtime=5), make_file("/b", mode=0o600), Entry("/c", tarfile.DIRTYPE), User="2")
    status, output = report(before, after, "--sarif")
    assert status == 1 and read_results(output) == {}


def test_fingerprints_do_not_depend_on_the_place_of_the_image(tmp_path, capsys):
    fingerprints = set()
    for directory in ("one", "other"):
        paths = []
        for name, capabilities in (("before", ""), ("after", "cap_bpf=p")):
            paths.append(str(make_image(make_file("/a", capabilities)).write_layout(tmp_path / directory / name)))
        cli.main(["--sarif", *paths])
        (result,) = read_results(capsys.readouterr().out).values()
        fingerprints.add(result["partialFingerprints"]["image_diff/v1"])
    assert len(fingerprints) == 1


def test_the_page_lists_the_rules():
    rows = re.findall(r"^\| (RSC\d+) \| ([^|]+) \|", pathlib.Path("docs/image-diff.md").read_text(), re.MULTILINE)
    assert rows == [(rule.id, rule.summary) for rule in report_sarif.RULES]


def test_one_format_is_printed(capsys):
    for flags in (["--html", "--sarif"], ["--json", "--html"], ["--json", "--sarif"]):
        with pytest.raises(SystemExit) as exited:
            cli.main([*flags, "a", "b"])
        assert exited.value.code == 2 and "not allowed with" in capsys.readouterr().err

"""The findings of getcap --review, and its reports."""

from __future__ import annotations

import csv
import json
import pathlib
import re
from typing import TYPE_CHECKING, Any

import pytest

from rules_setcap.capabilities import FileCapabilities, from_text
from rules_setcap.capabilities.names import ALL, NAMES
from rules_setcap.containers.dangers import CRITICAL, DANGERS, HIGH, LOW, MEDIUM, SEVERITIES, find_program_kind
from rules_setcap.containers.engines import BEHAVIOURS, Engine
from rules_setcap.getcap import cli, review_rules
from rules_setcap.getcap.review_image import review_image
from rules_setcap.oci import image_reader
from support.image import layout, tar

if TYPE_CHECKING:
    from rules_setcap.getcap.privileges import Usability

NET = from_text("cap_net_bind_service=p")
RAW = from_text("cap_net_raw=ep")
ADMIN = from_text("cap_sys_admin=ep")
SCRIPT = "#!/bin/sh\n"
DOCS = pathlib.Path("docs/review.md")


def run_review(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Runs getcap --review; returns the exit status, and the text on stdout and stderr."""
    status = cli.main(["--review", *map(str, arguments)])
    output = capsys.readouterr()
    assert "Traceback" not in output.err
    return status, output.out, output.err


def run_json_review(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict[str, Any]]:
    """Runs getcap --review --json; returns the exit status and the report."""
    status, output, errors = run_review(capsys, "--json", *arguments)
    assert errors == ""
    return status, json.loads(output)


def make_image(path: pathlib.Path, *entries: tuple[Any, ...], **config: object) -> pathlib.Path:
    """Makes an image of one layer; returns its layout directory."""
    return layout(path / "image", tar(*entries), **config)


def test_every_capability_has_a_danger_and_its_source():
    assert tuple(DANGERS) == NAMES
    for name, danger in DANGERS.items():
        assert danger.severity in SEVERITIES, name
        assert danger.gives and not danger.gives.endswith("."), name
        assert danger.sources[0] == f'capabilities(7), "Capabilities list", {name.upper()}'
    for name in ["sys_admin", "setuid", "dac_override", "sys_ptrace", "sys_module", "setfcap"]:
        assert DANGERS["cap_" + name].severity == CRITICAL
    assert DANGERS["cap_net_bind_service"].severity == LOW


def test_an_image_without_privileges_has_no_findings(tmp_path: pathlib.Path, capsys):
    image = make_image(
        tmp_path, ("/a", None, "file"), ("/b", None, "directory", {"mode": 0o2777}), ("/c", None, "file", {"mode": 0o2644})
    )
    assert run_review(capsys, image) == (0, "", "")
    assert run_review(capsys, image, "--print-allow") == (0, "", "")
    status, report = run_json_review(capsys, image)
    assert (status, report["findings"], report["images"][0]["files"], report["images"][0]["findings"]) == (0, [], [], [])
    status, output, _ = run_review(capsys, image, "--sarif")
    assert status == 0 and json.loads(output)["runs"][0]["results"] == []


BIN = ("/bin", None, "directory")
CASES = {
    "capabilities": ([("/bin/server", NET, "file")], {("RSC001", LOW)}),
    "worst of several": ([("/bin/server", from_text("cap_net_bind_service,cap_net_admin=p"), "file")], {("RSC001", HIGH)}),
    "empty set": ([("/bin/server", FileCapabilities(0, 0, 0), "file")], {("RSC001", LOW)}),
    "set-user-ID root": ([("/bin/su", None, "file", {"mode": 0o4755})], {("RSC002", CRITICAL)}),
    "set-user-ID of another user": ([("/bin/at", None, "file", {"mode": 0o4755, "uid": 1})], {("RSC002", MEDIUM)}),
    "set-group-ID": ([("/bin/wall", None, "file", {"mode": 0o2755, "gid": 5})], {("RSC003", MEDIUM)}),
    "set-group-ID root": ([("/bin/wall", None, "file", {"mode": 0o2755})], {("RSC003", HIGH)}),
    "both set-ID bits": ([("/bin/x", None, "file", {"mode": 0o6755})], {("RSC002", CRITICAL), ("RSC003", HIGH)}),
    "directory": ([("/bin/d", NET, "directory")], {("RSC100", MEDIUM)}),
    "script": ([("/bin/run", NET, SCRIPT)], {("RSC001", LOW), ("RSC101", MEDIUM)}),
    "set-user-ID script": ([("/bin/run", None, SCRIPT, {"mode": 0o4755})], {("RSC002", CRITICAL), ("RSC101", MEDIUM)}),
    "invalid": ([("/bin/x", b"\1\0\0\2", "file")], {("RSC102", MEDIUM)}),
    "unknown": ([("/bin/x", FileCapabilities(1 << 10 | 1 << 50, 0, 0), "file")], {("RSC001", LOW), ("RSC103", MEDIUM)}),
    "inheritable only": ([("/bin/x", from_text("cap_net_bind_service=ei"), "file")], {("RSC001", LOW), ("RSC104", LOW)}),
    "rootid": ([("/bin/x", NET._replace(rootid=1000), "file")], {("RSC001", LOW), ("RSC105", LOW)}),
    "not executable": ([("/bin/x", NET, "file", {"mode": 0o644})], {("RSC001", LOW), ("RSC106", LOW)}),
    "writable by all": ([("/bin/x", RAW, "file", {"mode": 0o757})], {("RSC001", MEDIUM), ("RSC201", MEDIUM)}),
    "writable by the group": ([("/bin/x", NET, "file", {"mode": 0o775})], {("RSC001", LOW), ("RSC201", MEDIUM)}),
    "writable set-user-ID root": ([("/bin/x", None, "file", {"mode": 0o4777})], {("RSC002", CRITICAL), ("RSC201", CRITICAL)}),
    "directory of others": (
        [("/o", None, "directory", {"mode": 0o777}), ("/o/x", NET, "file")],
        {("RSC001", LOW), ("RSC202", HIGH)},
    ),
    "directory of others above": (
        [("/o", None, "directory", {"mode": 0o775}), ("/o/d", None, "directory"), ("/o/d/x", NET, "file")],
        {("RSC001", LOW), ("RSC202", MEDIUM)},
    ),
    "sticky directory": ([("/o", None, "directory", {"mode": 0o1777}), ("/o/x", NET, "file")], {("RSC001", LOW)}),
    "owner": ([("/bin/x", NET, "file", {"uid": 1000})], {("RSC001", LOW), ("RSC203", MEDIUM)}),
    "interpreter": ([("/bin/python3.13", NET, "file")], {("RSC001", LOW), ("RSC204", MEDIUM)}),
    "set-user-ID shell": ([("/bin/bash", None, "file", {"mode": 0o4755})], {("RSC002", CRITICAL), ("RSC204", CRITICAL)}),
    "runner with capabilities": ([("/bin/nice", NET, "file")], {("RSC001", LOW)}),
    "set-user-ID runner": ([("/bin/env", None, "file", {"mode": 0o4755})], {("RSC002", CRITICAL), ("RSC204", CRITICAL)}),
    "everything": ([("/bin/x", FileCapabilities(ALL, 0, ALL), "file")], {("RSC001", CRITICAL), ("RSC205", CRITICAL)}),
    "equals root": ([("/bin/x", ADMIN, "file")], {("RSC001", CRITICAL), ("RSC206", CRITICAL)}),
    "set-user-ID and capabilities": (
        [("/bin/x", NET, "file", {"mode": 0o4755})],
        {("RSC001", LOW), ("RSC002", CRITICAL), ("RSC207", MEDIUM)},
    ),
    "hard link": ([("/bin/x", NET, "file"), ("/bin/y", NET, "=/bin/x")], {("RSC001", LOW), ("RSC208", LOW)}),
}


@pytest.mark.parametrize("name", CASES)
def test_each_case_has_its_findings_and_an_allowlist(tmp_path: pathlib.Path, capsys, name: str):
    entries, expected = CASES[name]
    image = make_image(tmp_path, BIN, *entries, User="65532")
    status, report = run_json_review(capsys, image)
    findings = report["images"][0]["findings"]
    assert {(finding["rule"], finding["severity"]) for finding in findings} == expected
    assert status == 1
    # The printed allowlist allows all of them.
    _, allowed, _ = run_review(capsys, image, "--print-allow")
    (tmp_path / "allow").write_text(allowed)
    assert run_review(capsys, image, "--allow", tmp_path / "allow") == (0, "", "")


# The findings about files of known images, other than RSC001.
REAL_FINDINGS = {
    "/components/heartbeat": "RSC206",  # cap_setuid
    "/dtle": "RSC206",
    "/elastic-agent": "RSC205",
    "/path/to/alloy": "RSC206",
    "/pihole-FTL": "RSC206",  # cap_chown
    "/usr/bin/newuidmap": "RSC206",
    "/usr/bin/unshare": "RSC204",
    "/usr/local/bin/envoy": "RSC104",  # =ei
    "/usr/local/bin/python3.13": "RSC204",
}


def test_files_of_known_images_have_their_findings(tmp_path: pathlib.Path):
    with open("tests/unit/capabilities/real_cases.tsv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    entries, expected = [], {}
    for number, row in enumerate(rows):
        for path in row["path"].split(", "):
            name = "/" + path.lstrip("/").replace("python3.NN", "python3.13")
            entries.append((f"/row{number}{name}", bytes.fromhex(row["xattr_hex"]), "file"))
            expected[f"/row{number}{name}"] = {"RSC001", *([REAL_FINDINGS[name]] if name in REAL_FINDINGS else [])}
    (image,) = image_reader.read_images(str(make_image(tmp_path, *entries, User="65532")))
    assert not image.problems
    rules_by_path: dict[str, set[str]] = {}
    for finding in review_image(image, [Engine("docker")]).findings:
        rules_by_path.setdefault(finding.path, set()).add(finding.rule.id)
    assert rules_by_path == expected


@pytest.mark.parametrize(
    "config", [{"Labels": ["x"]}, {"User": 5}, {"User": ["x"]}, {"Labels": {"io.containers.capabilities": 7}}]
)
def test_hostile_configs_are_no_internal_errors(tmp_path: pathlib.Path, capsys, config: dict[str, Any]):
    assert run_review(capsys, make_image(tmp_path, ("/x", NET, "file"), **config))[0] in (1, 2)


def test_every_rule_has_a_case_and_is_documented():
    text = DOCS.read_text()
    tested_ids = {rule for _, expected in CASES.values() for rule, _ in expected}
    for rule in review_rules.RULES:
        assert rule.id in tested_ids or rule in (review_rules.MORE_THAN_ALLOWED, review_rules.STALE_ALLOWLIST), rule.name
        assert f"\n| `{rule.id}` | {rule.name} | {rule.summary} {rule.help} |\n" in text, rule.id
    assert len({rule.id for rule in review_rules.RULES}) == len(review_rules.RULES)


def test_the_documented_dangers_are_those_of_the_program():
    text = DOCS.read_text()
    for name, danger in DANGERS.items():
        more = "; ".join(danger.sources[1:])
        assert f"| `{name}` | {danger.severity} | {danger.gives} | {more} |\n" in text, name


@pytest.mark.parametrize(
    "name, kind",
    [
        ("python3.14t", "an interpreter"),
        ("perl5.40.1", "an interpreter"),
        ("node", "an interpreter"),
        ("lua-5.4", "an interpreter"),
        ("busybox", "a shell"),
        ("gdb", "a debugger"),
        ("server", ""),
        ("passwd", ""),
        ("7", ""),
        ("", ""),
    ],
)
def test_programs_are_recognized_by_name_and_version(name: str, kind: str):
    assert find_program_kind(name) == kind


def review_usability(path: pathlib.Path, *entries: tuple[Any, ...], **config: object) -> dict[str, dict[str, Usability]]:
    """Reviews an image; returns the usability of its files by path and runtime."""
    (image,) = image_reader.read_images(str(make_image(path, *entries, **config)))
    return {
        file.path: file.usability
        for file in review_image(image, [Engine(name) for name in BEHAVIOURS if name != "nerdctl"]).files
    }


def test_usability_depends_on_the_file_and_the_runtime(tmp_path: pathlib.Path):
    usability = review_usability(
        tmp_path,
        ("/ping", from_text("cap_net_raw=p"), "file"),
        ("/pinge", RAW, "file"),
        ("/both", from_text("cap_net_raw,cap_bpf=p"), "file"),
        ("/su", None, "file", {"mode": 0o4755}),
        ("/mine", NET, "file", {"uid": 65532, "mode": 0o700}),
        ("/theirs", NET, "file", {"mode": 0o700}),
        ("/group", NET, "file", {"mode": 0o750, "gid": 7}),
        ("/closed", None, "directory", {"mode": 0o700}),
        ("/closed/x", NET, "file"),
        ("/other", NET._replace(rootid=7), "file"),
        ("/run", NET, SCRIPT),
        User="65532",
    )
    answers = {path: [by_runtime[runtime].answer for runtime in by_runtime] for path, by_runtime in usability.items()}
    assert list(usability["/su"]) == ["docker", "podman", "containerd", "cri-o"]
    assert answers == {
        "/ping": ["yes", "no", "yes", "no"],
        "/pinge": ["yes", "no", "yes", "no"],
        "/both": ["partly", "no", "partly", "no"],
        "/su": ["yes"] * 4,
        "/mine": ["yes"] * 4,
        "/theirs": ["no"] * 4,
        "/group": ["unknown"] * 4,
        "/closed/x": ["no"] * 4,
        "/other": ["no"] * 4,
        "/run": ["no"] * 4,
    }
    assert (
        "does not start" in usability["/pinge"]["podman"].reason and "does not start" not in usability["/ping"]["podman"].reason
    )
    assert usability["/closed/x"]["docker"].reason == "uid 65532 may not enter /closed"
    assert usability["/su"]["cri-o"].capabilities == BEHAVIOURS["cri-o"][-1].default_capabilities


def test_usability_depends_on_the_user(tmp_path: pathlib.Path, capsys):
    (tmp_path / "root").mkdir()
    assert review_usability(tmp_path / "root", ("/x", NET, "file", {"mode": 0o700}))["/x"]["docker"].answer == "yes"
    image = make_image(tmp_path, ("/x", NET, "file"), User="nobody-here")
    status, report = run_json_review(capsys, image)
    assert status == 1 and "nobody-here" in report["images"][0]["user"]
    assert {use["answer"] for use in report["images"][0]["files"][0]["usable"].values()} == {"unknown"}


def test_runtime_selects_the_version(tmp_path: pathlib.Path, capsys):
    image = make_image(tmp_path, ("/x", from_text("cap_sys_chroot=p"), "file"), User="1")
    for version, answer in (("podman@4.4.0", "no"), ("podman@4.4.3", "yes")):
        _, report = run_json_review(capsys, image, "--runtime", version)
        usable = report["images"][0]["files"][0]["usable"]
        assert {name: use["answer"] for name, use in usable.items()} == {version: answer}


def test_explain_without_settings_uses_the_defaults_of_the_runtime(tmp_path: pathlib.Path, capsys):
    image = str(make_image(tmp_path, ("/x", from_text("cap_net_raw=p"), "file"), User="1", Entrypoint=["/x"]))

    def explain(*arguments: str) -> tuple[int, str]:
        status = cli.main(["explain", image, *arguments])
        return status, capsys.readouterr().out

    assert explain() == explain("--docker-run", "docker run app") and explain()[0] == 0
    assert explain("--runtime", "podman") == explain("--docker-run", "podman run app") and explain("--runtime", "podman")[0] == 1
    assert explain("--runtime", "containerd")[0] == 0
    assert explain("--runtime", "cri-o")[0] == 1


def test_the_text_is_a_table_in_120_columns(tmp_path: pathlib.Path, capsys, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    names = ["su", "passwd", "mount", "umount", "chsh", "chfn", "newgrp", "gpasswd"]
    entries = [(f"/usr/bin/{name}", None, "file", {"mode": 0o4755}) for name in names]
    make_image(tmp_path, *entries, ("/usr/bin/ping", from_text("cap_net_raw=p"), "file"), User="65532")
    status, output, _ = run_review(capsys, "image")
    lines = output.splitlines()
    assert status == 1 and len(lines) < 24 and max(map(len, lines)) <= 120
    assert "  critical  /usr/bin/su       set-user-ID=0  yes" in lines
    assert "  medium    /usr/bin/ping     cap_net_raw=p  docker, containerd" in lines
    assert "  not usable in podman, cri-o: /usr/bin/ping: cap_net_raw is not granted" in lines
    assert lines[-1] == "9 findings: 8 critical, 1 medium"


def test_long_paths_and_sets_are_wrapped(tmp_path: pathlib.Path, capsys):
    image = make_image(tmp_path, ("/" + "d" * 90 + "/" + "x" * 200, FileCapabilities(ALL ^ 0b1010101, 5, 0), "file"))
    status, output, _ = run_review(capsys, image)
    assert status == 1 and max(map(len, output.splitlines())) <= 120 + len(str(image))


@pytest.mark.parametrize("name", ["\x1b[31mred", "a\nb", "\u202efdp", 'quote"', "a b", "#hash", "back\\slash", "\udcff"])
def test_hostile_names_are_escaped_in_every_format(tmp_path: pathlib.Path, capsys, name: str):
    image = make_image(tmp_path, ("/" + name, ADMIN, "file", {"mode": 0o4777}), ("/d" + name, NET, "directory"))
    for flags in ([], ["--sarif"], ["--json"], ["--print-allow"]):
        status, output, errors = run_review(capsys, image, *flags)
        assert status == (0 if flags == ["--print-allow"] else 1)
        assert errors == "" and all(line.isprintable() for line in output.splitlines()), output
    (tmp_path / "allow").write_text(output)
    assert run_review(capsys, image, "--allow", tmp_path / "allow") == (0, "", "")
    assert run_json_review(capsys, image)[1]["images"][0]["files"][0]["path"] == "/" + name


def test_sarif_has_the_required_properties(tmp_path: pathlib.Path, capsys):
    """Checks the properties that the schema requires (OASIS, SARIF 2.1.0, sarif-schema-2.1.0.json), and those that code scanning shows."""
    image = make_image(tmp_path, ("/a b", ADMIN, "file"), ("/python3", NET, "file"), ("/d", NET, "directory"))
    (tmp_path / "allow").write_text("/gone cap_bpf=p\n")
    status, output, _ = run_review(capsys, image, "--sarif", "--allow", tmp_path / "allow")
    log = json.loads(output)
    assert status == 1 and log["version"] == "2.1.0" and log["$schema"].endswith("sarif-schema-2.1.0.json")
    (sarif_run,) = log["runs"]
    driver = sarif_run["tool"]["driver"]
    assert driver["name"] == "getcap" and sarif_run["invocations"] == [{"executionSuccessful": True}]
    assert [rule["id"] for rule in driver["rules"]] == [rule.id for rule in review_rules.RULES]
    for rule in driver["rules"]:
        assert rule["shortDescription"]["text"] and rule["help"]["text"] and "helpUri" not in rule
    for result in sarif_run["results"]:
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note") and result["message"]["text"]
        (location,) = result["locations"]
        assert re.fullmatch(r"[A-Za-z0-9._~/%-]+", location["physicalLocation"]["artifactLocation"]["uri"])
        assert re.fullmatch(r"[0-9a-f]{64}", result["partialFingerprints"]["getcap/v1"])
    by_rule = {result["ruleId"]: result for result in sarif_run["results"]}
    assert by_rule["RSC206"]["level"] == "error"
    assert by_rule["RSC206"]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == f"{image}/a%20b"
    assert by_rule["RSC206"]["locations"][0]["logicalLocations"][0]["name"] == "/a b"
    assert by_rule["RSC005"]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == f"{tmp_path}/allow"
    fingerprints = [result["partialFingerprints"]["getcap/v1"] for result in sarif_run["results"]]
    assert len(set(fingerprints)) == len(fingerprints)
    # The same image other_directory has the same fingerprints.
    other_directory = tmp_path / "other_directory"
    other_directory.mkdir()
    image.rename(other_directory / "image")
    _, output, _ = run_review(capsys, other_directory / "image", "--sarif")
    other_fingerprints = [result["partialFingerprints"]["getcap/v1"] for result in json.loads(output)["runs"][0]["results"]]
    assert set(other_fingerprints) < set(fingerprints)


def test_exit_statuses_are_as_documented(tmp_path: pathlib.Path, capsys):
    image = make_image(tmp_path, ("/x", NET, "file"))
    (tmp_path / "stale").write_text("/y cap_bpf=p\n")
    status, output, errors = run_review(capsys, image, tmp_path / "missing", "--allow", tmp_path / "stale")
    assert status == 2 and "/x" in output and "RSC005" not in output and str(tmp_path / "missing") in errors
    for flag in "--json", "--sarif":
        status, output, errors = run_review(capsys, flag, image, tmp_path / "missing")
        assert status == 2 and len(errors.splitlines()) == 1
        if flag == "--json":
            assert json.loads(output)["errors"] == [errors.removeprefix("getcap: ").strip()]
        else:
            (invocation,) = json.loads(output)["runs"][0]["invocations"]
            assert not invocation["executionSuccessful"] and len(invocation["toolExecutionNotifications"]) == 1
    status, output, errors = run_review(capsys, image, "--allow", tmp_path / "missing")
    assert status == 2 and output == "" and len(errors.splitlines()) == 1
    status, output, errors = run_review(capsys, image, "--allow", tmp_path)
    assert status == 2 and output == "" and len(errors.splitlines()) == 1
    assert run_review(capsys, image, "--runtime", "dokcer")[0] == 2
    for flags in (["--no-such-flag"], ["--json", "--sarif"], []):
        with pytest.raises(SystemExit) as exited:
            cli.main(["--review", *flags, *([str(image)] if flags else [])])
        assert exited.value.code == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
    with pytest.raises(SystemExit) as exited:
        cli.main(["--review", "--help"])
    assert exited.value.code == 0
    help_text = " ".join(capsys.readouterr().out.split())
    assert (
        "exit status: 0 there are no findings; with --allow, the images match the allowlist 1 there are findings 2 " in help_text
    )


def test_a_file_named_like_the_flag_is_an_image(tmp_path: pathlib.Path, capsys, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("--review").write_bytes(tar(("/x", NET, "file")))
    assert cli.main(["--", "--review"]) == 0
    assert capsys.readouterr().out == "/x cap_net_bind_service=p\n"


def test_images_with_the_same_report_share_it(tmp_path: pathlib.Path, capsys):
    entries = ("/x", NET, "file")
    first, second = make_image(tmp_path, entries), layout(tmp_path / "other", tar(entries))
    status, output, _ = run_review(capsys, first, second)
    assert status == 1 and output.count("SEVERITY") == 1 and output.endswith("\n2 findings: 2 low\n")

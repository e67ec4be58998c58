"""The command line of image_diff: its flags, its help, mistakes, and how long its report is."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess

import pytest
from diff_runs import BASE, NET, run, write_file  # noqa: F401 (run is a fixture)

from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.program_names import IMAGE_DIFF
from rules_setcap.diff import diff_command
from rules_setcap.diff.model import KINDS
from support.image import layout, tar


def test_the_program_runs_from_bazel():
    image = "examples/netbind/image"
    done = subprocess.run(["tools/image_diff/image_diff", image, image], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout.partition("\n")[0], done.stderr) == (0, "same", "")


def test_ignored_changes_are_counted(tmp_path, run):
    first, second = (
        layout(tmp_path / name, tar(("/a", capabilities, "x", {"mtime": number})))
        for number, (name, capabilities) in enumerate([("a", None), ("b", NET)])
    )
    assert run(first, second).verdict == "differs: mtime and capabilities, in layer 1 of 1"
    result = run("--ignore", "mtime", first, second)
    assert (result.status, result.verdict) == (1, "differs: capabilities, in layer 1 of 1 (ignored: 1 mtime)")
    result = run("--ignore=mtime", "--ignore=capabilities", first, second)
    assert (result.status, result.verdict) == (0, "same apart from what is ignored (ignored: 1 mtime, 2 capabilities)")
    assert json.loads(run("--json", "--ignore=mtime", first, second).output)["ignored"] == {"mtime": 1}


def test_long_lists_are_cut(tmp_path, run):
    before, after = (
        write_file(
            tmp_path / f"{mtime}.tar",
            tar(*((f"/{number}", None, f"{number + mtime}", {"mtime": mtime}) for number in range(30))),
        )
        for mtime in (0, 100)
    )
    result = run(before, after)
    assert "1970-01-01T00:00:00Z -> 1970-01-01T00:01:40Z: 30 entries: /0, /1, /10 and 27 more" in result.output
    assert "and 20 more; --all shows them" in result.output
    assert all(f"/{number}" in run("--all", before, after).output for number in range(30))


def test_changes_beyond_the_limit_are_counted(tmp_path, run, monkeypatch):
    monkeypatch.setattr(limits, "CHANGES", 5)
    before, after = (
        write_file(tmp_path / f"{mode}.tar", tar(*((f"/{number}", None, "file", {"mode": mode}) for number in range(30))))
        for mode in (0o644, 0o755)
    )
    result = run(before, after)
    assert result.status == 1 and "mode: 25 more changes, which were counted only" in result.output
    assert json.loads(run("--json", before, after).output)["images"][0]["layers"][0]["omitted"] == {"mode": 25}


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((), "the following arguments are required: A, B"),
        (("a",), "the following arguments are required: B"),
        (("--ignore", "times", "a", "b"), "argument --ignore: invalid choice: 'times'"),
        (("--platfrom=linux/amd64", "a", "b"), "did you mean"),
        (("--json", "--al", "a", "b"), "unrecognized arguments: --al"),
        (("--platform=amd64", "image", "image"), 'platform: "amd64": not a valid platform'),
        (("oci:image", "image"), "must be a path, without the transport oci:; write image"),
        (("docker-daemon:app:dev", "image"), "skopeo copy docker-daemon:app:dev oci:app"),
        (("directory", "image"), "tar --xattrs --xattrs-include=security.capability -cC directory . | image_diff - B"),
    ],
)
def test_mistakes_on_the_command_line_have_a_message(tmp_path, run, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    layout(tmp_path / "image", BASE)
    (tmp_path / "directory").mkdir()
    result = run(*arguments)
    assert (result.status, result.output) == (2, "")
    assert message in result.errors and len(result.errors.splitlines()) == 1


def test_the_help_explains_every_kind(run):
    result = run("--help")
    assert result.status == 0
    assert all(f"  {kind}: {what}"[:60] in result.output for kind, what in KINDS.items())
    assert run("--version").output.startswith("image_diff (rules_setcap) ")


def test_the_page_has_every_kind_every_status_and_every_key():
    text = pathlib.Path("docs/image-diff.md").read_text()
    rows = dict(re.findall(r"^\| (`?[\w-]+`?) \| (.*) \|$", text, re.MULTILINE))
    assert {int(status): meaning for status, meaning in rows.items() if status.isdecimal()} == diff_command.STATUSES
    kinds = re.findall(r"^\| `(\w+)` \| ", text.partition("| kind | ")[2].partition("\n\n")[0], re.MULTILINE)
    assert kinds == list(KINDS)
    flags = {
        flag
        for action in diff_command.make_parser(IMAGE_DIFF)._actions
        for flag in action.option_strings
        if flag.startswith("--")
    }
    assert [flag for flag in flags - {"--help", "--version"} if f"{flag}" not in text] == []

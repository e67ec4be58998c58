"""reproduce names the class, the entry and the action of every mistake, in a workspace with an image for each."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from rules_setcap.reproduce.execution_log import ExecutionLog, read_log
from support.bazel import Workspace

_CONSUMER = pathlib.Path("tests/reproduce/consumer")
_FETCHED = """
fetched = use_repo_rule("//broken:broken.bzl", "fetched")

fetched(name = "fetched")
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    made = Workspace(tmp_path_factory.mktemp("reproduce"))
    for directory in ("good", "broken"):
        made.write(f"{directory}/BUILD.bazel", (_CONSUMER / f"BUILD.{directory}").read_text())
    made.write("broken/broken.bzl", (_CONSUMER / "broken.bzl").read_text())
    made.write("good/hello.c", "int main(void) { return 0; }\n")
    module = made.directory / "MODULE.bazel"
    module.write_text(module.read_text() + _FETCHED)
    yield made
    made.stop()


def _reproduce(workspace: Workspace, *arguments: str, status: int) -> str:
    """Runs reproduce and returns its stdout."""
    flags = ["--bazel-flag=--lockfile_mode=off"]
    done = workspace.run("run", "@rules_setcap//tools/reproduce", "--", *flags, *arguments, check=False, timeout=1500)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def report(workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Returns the report on all images, with the text and the statement under the keys `text` and `statement`."""
    directory = tmp_path_factory.mktemp("report")
    files = ["--report", f"{directory}/report.txt", "--provenance", f"{directory}/statement.json"]
    made = json.loads(_reproduce(workspace, "--json", *files, "//good/...", "//broken/...", status=1))
    made["text"] = (directory / "report.txt").read_text()
    made["statement"] = json.loads((directory / "statement.json").read_text())
    return made


def _find_image(report: dict[str, Any], label: str) -> dict[str, Any]:
    (image,) = (image for image in report["images"] if image["label"] == label)
    return image


def _list_changes(image: dict[str, Any]) -> list[tuple[str, str]]:
    """Returns the kind and the path of each change in the layers of an image."""
    (difference,) = image["difference"]["images"]
    return [(change["kind"], change["path"]) for layer in difference["layers"] for change in layer["changes"]]


def _is_varied(report: dict[str, Any], name: str) -> bool:
    return name in [varied["name"] for varied in report["varied"]]


def test_good_images_are_the_same(report):
    for label in ("//good:image", "//good:index"):
        image = _find_image(report, label)
        assert image["same"]
        assert image["digests"][0] == image["digests"][1]
        assert f"same     {label}  {image['digests'][0]}" in report["text"]


# For each image: the class of the change, the entry, the mnemonic and the label of the action, a file that it made, and a
# cause that the comparison of contents names.
BROKEN = {
    "timestamp": ("content", "etc/version", "Genrule", "//broken:version", "version.txt", "timestamp"),
    "timestamp_too": ("content", "etc/version", "Genrule", "//broken:version", "version.txt", "timestamp"),
    "year": ("content", "etc/copyright", "Genrule", "//broken:copyright", "copyright.txt", ""),
    "unsorted": ("order", "", "Genrule", "//broken:unsorted_tar", "unsorted.tar", ""),
    "unsorted_directory": (
        "content",
        "etc/listing/listing",
        "ListFiles",
        "//broken:listing",
        "listing/listing",
        "order of lines",
    ),
    "embedded_path": ("content", "app/debug", "Genrule", "//broken:debug_program", "debug", "embedded path"),
    "build_id": ("content", "app/uuid", "Genrule", "//broken:uuid_program", "uuid", "build-id"),
    "capability": ("capabilities", "app/hello", "Genrule", "//broken:capabilities", "capabilities.json", ""),
    "machine": ("mtime", "tool", "Genrule", "//broken:machine_tar", "machine.tar", ""),
}
# What an image needs to differ, if the host offers it.
NEEDS = {"year": "clock", "unsorted": "file-order", "unsorted_directory": "file-order", "capability": "cpus"}


@pytest.mark.parametrize("name", BROKEN)
def test_the_class_the_entry_and_the_action_are_named(name, report):
    if name in NEEDS and not _is_varied(report, NEEDS[name]):
        assert _find_image(report, f"//broken:{name}")["same"]
        return
    kind, path, mnemonic, label, file, cause = BROKEN[name]
    image = _find_image(report, f"//broken:{name}")
    assert not image["same"]
    changes = _list_changes(image)
    assert any(kind == each and (not path or path == where.lstrip("/")) for each, where in changes), changes
    (found,) = (each for each in report["causes"] if f"//broken:{name}" in each["images"])
    assert (found["reason"], found["mnemonic"], found["label"]) == ("equal", mnemonic, label)
    assert found["files"][0].endswith(f"bin/broken/{file}")
    assert any(each.startswith(cause) for each in found["content"]["causes"]) or not cause
    assert f"action {mnemonic} of {label}: equal inputs, the same command, other outputs\n" in report["text"]


def test_a_cause_names_all_images_that_it_reaches(report):
    first = report["causes"][0]
    assert (first["label"], first["images"]) == ("//broken:version", ["//broken:timestamp", "//broken:timestamp_too"])
    assert "reaches     //broken:timestamp, //broken:timestamp_too (2 of 12 images)" in report["text"]


def test_the_json_is_as_its_schema_describes_it(report):
    schema = json.loads(pathlib.Path("docs/reference/schemas/reproduce.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(report)


def test_the_capability_is_named_as_text(report):
    if _is_varied(report, "cpus"):
        assert "/app/hello  cap_net_bind_service=p -> cap_net_bind_service,cap_sys_admin=p" in report["text"]


def test_a_repository_that_differs_is_named(report):
    (cause,) = (each for each in report["causes"] if "//broken:fetched" in each["images"])
    assert cause["reason"] == "file"
    assert cause["files"][0].endswith("fetched/home.txt")
    assert [trace["variation"] for trace in cause["traces"]] == ["home"]
    assert "which differs from fetch to fetch" in report["text"]


def test_the_variations_and_the_rest_are_named(report):
    names = {each["name"] for each in report["varied"]} | {each["name"] for each in report["not_varied"]}
    assert {"output-base", "workspace", "user", "clock", "file-order", "cache"} <= names
    assert all(each["reason"] for each in report["not_varied"])
    assert {"output-base", "workspace", "home", "cache", "jobs"} <= {each["name"] for each in report["varied"]}
    # The actions really ran, and not the same way.
    first, second = report["runners"]
    assert sum(first.values()) == sum(second.values()) > 50
    assert "worker" in first
    assert "worker" not in second


def test_the_statement_has_the_digests_and_the_variations(report):
    statement = report["statement"]
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    subjects = {(subject["name"], "sha256:" + subject["digest"]["sha256"]) for subject in statement["subject"]}
    assert subjects == {(image["label"], digest) for image in report["images"] for digest in image["digests"]}
    definition = statement["predicate"]["buildDefinition"]
    assert definition["externalParameters"] == {"targets": ["//good/...", "//broken/..."]}
    assert definition["internalParameters"]["varied"] == report["varied"]


def test_the_printed_command_prints_the_action(report, workspace):
    line = next(line for line in report["text"].splitlines() if "aquery" in line and "version.txt" in line)
    expression = line.partition("'")[2].rstrip("'")
    done = workspace.run("aquery", "--include_param_files", expression)
    assert "Target: //broken:version" in done.stdout


def test_nothing_is_left_behind(report, workspace):
    (output_base,) = (varied["values"][0] for varied in report["varied"] if varied["name"] == "output-base")
    directory = pathlib.Path(output_base).parents[1]
    assert directory.name.startswith("rules_setcap_reproduce_")
    assert not directory.exists()
    assert not (pathlib.Path("/dev/shm") / directory.name).exists()
    assert not list(workspace.directory.glob("MODULE.bazel.lock"))


def test_variations_can_be_kept(workspace):
    """What depends on the directory alone is the same if the directory is kept."""
    keep = [word for name in ("workspace", "user", "output-base", "sandbox", "workers", "cpus") for word in ("--keep", name)]
    # Sandboxes have numbers, so that the action runs without one.
    text = _reproduce(workspace, *keep, "--bazel-flag=--spawn_strategy=local", "//broken:embedded_path", status=0)
    assert text.startswith("reproducible: 1 image, built twice with ")
    assert "  output-base kept, as --keep says\n" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["//good:hello"], '"//good:hello": none of its outputs (1) is an OCI layout or archive'),
        (["--keep", "hom", "//good:image"], 'reproduce: --keep: "hom": unknown variation; did you mean "home"?'),
        (["--report", "/missing/r", "//good:image"], '--report: "/missing/r": its directory does not exist; write a path in'),
        (["//missing:image"], "reproduce: first build: bazel build failed with exit status"),
        (["--bazel", "/missing", "//good:image"], 'reproduce: --bazel: "/missing": no such program; write the path of a Bazel'),
    ],
)
def test_what_cannot_be_compared_is_an_error(arguments, message, workspace):
    done = workspace.run("run", "@rules_setcap//tools/reproduce", "--", *arguments, check=False, timeout=600)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def _test_reproducibility(workspace: Workspace, package: str, status: int) -> dict[str, str]:
    """Runs a reproducibility_test; returns its log and its undeclared outputs by name."""
    flags = ["--nozip_undeclared_test_outputs", f"--test_env=PATH={os.environ['PATH']}"]
    done = workspace.run("test", *flags, f"//{package}:reproducibility_test", check=False, timeout=1500)
    logs = workspace.directory / "bazel-testlogs" / package / "reproducibility_test"
    texts = {path.name: path.read_text() for path in (logs / "test.outputs").iterdir()} if logs.exists() else {}
    assert done.returncode == status, done.stdout + done.stderr
    return {**texts, "log": (logs / "test.log").read_text()}


def test_a_reproducibility_test_passes_with_a_good_image(workspace):
    texts = _test_reproducibility(workspace, "good", 0)
    report = json.loads(texts["reproduce.json"])
    assert report["targets"] == ["//good:index"]
    assert "cpus" in [left["name"] for left in report["not_varied"]]
    assert texts["reproduce.txt"].startswith("reproducible: 1 image")
    assert texts["reproduce.txt"] in texts["log"]
    assert json.loads(texts["provenance.json"])["subject"][0]["name"] == "//good:index"


def test_a_reproducibility_test_fails_with_the_action(workspace):
    texts = _test_reproducibility(workspace, "broken", 3)
    assert "cause 1: action Genrule of //broken:version: equal inputs, the same command, other outputs\n" in texts["log"]


def test_the_log_has_what_bazel_says_of_the_same_build(workspace, tmp_path):
    """Bazel's own JSON log of the same actions is the oracle."""
    compact, text = tmp_path / "log.zst", tmp_path / "log.json"
    options = ["--disk_cache=", "//good:index"]
    workspace.run("clean")
    workspace.run("build", f"--execution_log_compact_file={compact}", *options)
    workspace.run("clean")
    workspace.run("build", f"--execution_log_json_file={text}", *options)
    log = read_log(str(compact), {})
    spawns = {tuple(sorted(spawn["listedOutputs"])): spawn for spawn in _read_json_log(text)}
    actions = {tuple(sorted(item.path for item in action.outputs)): action for action in log.actions if action.runner}
    assert actions.keys() == spawns.keys()
    for paths, action in actions.items():
        spawn = spawns[paths]
        assert (action.label, action.mnemonic, action.runner) == (spawn["targetLabel"], spawn["mnemonic"], spawn["runner"])
        expected = {(file["path"], file.get("digest", {}).get("hash", "")) for file in spawn.get("inputs", [])}
        assert _list_inputs(log, action.inputs) == expected
        outputs = {(file["path"], file["digest"]["hash"]) for file in spawn["actualOutputs"]}
        assert {pair for item in action.outputs for pair in _expand(item)} == outputs


def _expand(item: Any) -> set[tuple[str, str]]:
    return {(f"{item.path}/{name}", digest) for name, digest in item.files} or {(item.path, item.digest)}


def _list_inputs(log: ExecutionLog, root: int) -> set[tuple[str, str]]:
    inputs, stack = set(), [root]
    while stack:
        each = log.sets.get(stack.pop())
        if each:
            stack += [*each.sets, *(item for item in each.items if item in log.sets)]
            inputs |= {pair for item in each.items if item in log.items for pair in _expand(log.items[item])}
    return inputs


def _read_json_log(path: pathlib.Path) -> list[dict[str, Any]]:
    spawns, decoder, rest = [], json.JSONDecoder(), path.read_text()
    while rest := rest.lstrip():
        spawn, end = decoder.raw_decode(rest)
        spawns.append(spawn)
        rest = rest[end:]
    return spawns

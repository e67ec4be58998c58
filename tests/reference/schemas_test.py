"""The JSON Schemas of docs/reference/schemas describe what the rules and programs write."""

from __future__ import annotations

import json
import pathlib
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from rules_setcap.capabilities import from_text
from rules_setcap.delivery.release.model import ImagePlan, PlatformImage, ReleaseImage
from rules_setcap.delivery.release.report import build_digests, encode_digests
from rules_setcap.diff import cli as diff_cli
from rules_setcap.diff.model import ContentDifference, Difference, Input
from rules_setcap.getcap import cli
from rules_setcap.imagecap import cli as imagecap_cli
from rules_setcap.oci import media_types
from rules_setcap.reproduce.execution_log import Action, Item
from rules_setcap.reproduce.faults import Fault
from rules_setcap.reproduce.outcome import CommandChange, ComparedImage, ExplainedFault, Outcome
from rules_setcap.reproduce.report_json import format_json_report
from rules_setcap.reproduce.variations import NotVaried, Varied
from support import archives
from support.image import layout as make_layout
from support.image import tar

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = pathlib.Path("tests/reference")
SCHEMAS = {
    path.name.removesuffix(".schema.json"): json.loads(path.read_text())
    for path in pathlib.Path("docs/reference/schemas").glob("*.schema.json")
}
NET = from_text("cap_net_bind_service=p")
SCRIPT = "#!/bin/sh\n. /etc/profile\n"
POD = """
apiVersion: v1
kind: Pod
metadata: {name: web}
spec: {containers: [{name: app, image: app, securityContext: {runAsNonRoot: true}}]}
"""


def forbid_other_keys(schema: Any) -> Any:
    """Returns the schema with the condition that objects have only the keys that it names."""
    if isinstance(schema, list):
        return [forbid_other_keys(value) for value in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {key: forbid_other_keys(value) for key, value in schema.items()}
    return strict | {"additionalProperties": False} if isinstance(schema.get("properties"), dict) else strict


def check(name: str, document: object) -> None:
    """Checks that a document is as its schema describes it, and has no key that the schema does not name."""
    jsonschema.Draft202012Validator(forbid_other_keys(SCHEMAS[name])).validate(document)


def list_properties(schema: Any) -> Iterator[str]:
    """Yields the keys that a schema names."""
    if isinstance(schema, list):
        schema = dict(enumerate(schema))
    if isinstance(schema, dict):
        if isinstance(properties := schema.get("properties"), dict):
            yield from properties
        for value in schema.values():
            yield from list_properties(value)


def list_keys(document: Any) -> set[str]:
    """Returns the keys of all objects in a document."""
    if isinstance(document, dict):
        return set(document).union(*map(list_keys, document.values()))
    return set().union(*map(list_keys, document)) if isinstance(document, list) else set()


def read_built(name: str) -> list[Any]:
    """Returns the documents that Bazel built."""
    return [json.loads(path.read_text()) for path in sorted(HERE.glob(name))]


def make_image(directory: pathlib.Path) -> pathlib.Path:
    """Makes an image with capabilities, a set-user-ID bit, a script, a file about which engines differ, and a signature."""
    lower = tar(
        ("/x", NET, "file"),
        ("/suid", None, "file", {"mode": 0o4755}),
        ("/run", None, SCRIPT),
        ("/bin/sh", None, "file"),
        ("/real", None, "directory"),
        ("/link", None, ">real"),
    )
    upper = tar(("/link/y", NET, "file"))
    made = archives.Layout(directory)
    config = archives.config(lower, upper, config={"Entrypoint": ["/x"]})
    image = made.manifest(config, [(lower, archives.LAYER), (upper, archives.LAYER)])
    return made.index(image, made.put(b"signature", "text/plain"))


def make_outcome() -> Any:
    """Returns the JSON of an outcome of reproduce that has every key; tests/reproduce compares real ones with the schema."""
    action = Action(1, "//app:file", "Genrule", 0, (Item("bazel-out/file", "1"),), "", runner="local")
    fault = Fault("command", ["bazel-out/file"], action, action, readers=[action], images=["//app:image"])
    explained = ExplainedFault(fault, [("home", "/root")], [CommandChange("argument", "a", None)], ContentDifference("text", "a"))
    sides = Input("first build", "sha256:1"), Input("second build", "sha256:2")
    image = ComparedImage("//app:image", "bazel-out/image", "sha256:1", "sha256:2", False, Difference(*sides), ["a problem"])
    return json.loads(
        format_json_report(
            Outcome(
                ["//app/..."],
                "release 7.7.1",
                [Varied("home", "/root", "/home")],
                [NotVaried("user", "kept")],
                [{"local": 1}, {"worker": 1}],
                [1.25, 2.0, 0.5],
                [0.0, 1.0],
                [image],
                ["//app:program"],
                [explained],
                ["a note"],
            )
        )
    )


def make_release() -> Any:
    """Returns a file of digests that has every key; tests/delivery/releases compares real ones with the schema."""
    digest = f"sha256:{'0' * 64}"
    descriptor = {"mediaType": media_types.MANIFEST, "digest": digest, "size": 7}
    documents = {digest: json.dumps({"config": {"digest": digest, "size": 2}, "layers": []}).encode()}
    platforms = [PlatformImage(digest, "linux/amd64", {"/x": "cap_bpf=p"}), PlatformImage(digest, "", None)]
    image = ReleaseImage(
        "//app:push", "//app", "registry.example/app", ["v1"], descriptor, documents, [descriptor], platforms, {}, []
    )
    failed = ImagePlan(image)
    failed.fail("a reason")
    return json.loads(encode_digests(build_digests([ImagePlan(image), failed], dry_run=True)))


def make_documents(name: str, directory: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> list[Any]:
    """Returns documents that the rules and programs write, for one schema."""
    if name == "layer-metadata":
        return read_built("*.layer.json")
    if name == "linux-capabilities-from":
        return read_built("ko_capabilities.json")
    if name == "reproduce":
        return [make_outcome()]
    if name == "release-digests":
        return [make_release()]
    image = str(make_image(directory / "image"))
    if name == "image-diff":
        return make_differences(directory, image, capsys)
    if name == "imagecap-set":
        return set_capabilities(directory, capsys)
    pod = directory / "pod.yaml"
    pod.write_text(POD)
    commands = {
        "getcap": [["--json", image], ["--json", "--all-layers", image]],
        "getcap-explain": [
            ["explain", "--json", image],
            ["explain", "--json", "--docker-run=docker run --entrypoint=/run app", image],
            ["explain", "--json", f"--kubernetes={pod}", image],
        ],
        "getcap-review": [["--review", "--json", image], ["--review", "--json", str(directory / "absent")]],
    }
    documents = []
    for command in commands[name]:
        cli.main(command)
        documents.append(json.loads(capsys.readouterr().out))
    return documents


def make_differences(directory: pathlib.Path, image: str, capsys: pytest.CaptureFixture[str]) -> list[Any]:
    """Returns differences from an image: to itself, to one with other contents and another layer, and to a tar of files."""
    other = make_layout(directory / "other", tar(("/x", None, "content")), Env=["A=1"])
    files = directory / "files.tar"
    files.write_bytes(tar(("/x", None, "other content", {"mtime": 7})))
    documents = []
    for arguments in ([image, image], [image, str(other)], ["--ignore=mtime", str(other), str(files)]):
        diff_cli.main(["--json", *arguments])
        documents.append(json.loads(capsys.readouterr().out))
    return documents


def set_capabilities(directory: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> list[Any]:
    """Returns the reports of capabilities that are set and taken away, in each way, and in an archive without manifests."""
    image = str(make_layout(directory / "set", tar(("/x", NET, "\x7fELF"), ("/y", None, "\x7fELF"))))
    archive = str(
        archives.write_archive(directory / "set.tar", archives.WRITERS["jib"](archives.image(tar(("/y", None, "\x7fELF")))))
    )
    documents = []
    for number, arguments in enumerate((["--rewrite", image], ["--compression=none", image], ["--rewrite", archive])):
        grants = ["/y=bpf"] if archive in arguments else ["/x=", "/y=bpf"]
        assert imagecap_cli.main(["set", "--json", *arguments, str(directory / f"new{number}"), *grants]) == 0
        documents.append(json.loads(capsys.readouterr().out))
    return documents


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas_are_valid(name: str):
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name])
    assert SCHEMAS[name]["$id"] == f"urn:rules_setcap:schemas:{name}:1"


@pytest.mark.parametrize("name", SCHEMAS)
def test_documents_are_as_the_schema_describes_them(tmp_path: pathlib.Path, capsys, name: str):
    documents = make_documents(name, tmp_path, capsys)
    assert documents
    for document in documents:
        check(name, document)


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_key_of_a_schema_occurs(tmp_path: pathlib.Path, capsys, name: str):
    occurring = list_keys(make_documents(name, tmp_path, capsys))
    assert not sorted(set(list_properties(SCHEMAS[name])) - occurring)


@pytest.mark.parametrize("name", [name for name in SCHEMAS if "version" in SCHEMAS[name]["properties"]])
def test_a_document_of_another_version_is_not_valid(tmp_path: pathlib.Path, capsys, name: str):
    document = make_documents(name, tmp_path, capsys)[0]
    with pytest.raises(jsonschema.ValidationError, match="1 was expected"):
        check(name, document | {"version": 2})

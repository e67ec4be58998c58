"""kubernetes_manifests works in a user's workspace, and its mistakes are build errors."""

from __future__ import annotations

import collections
import hashlib
import json
import pathlib
import re
import subprocess

import pytest

from support.bazel import Workspace, read_actions

DEPLOY = """\
# The Deployment of registry.example/app.
apiVersion: apps/v1
kind: Deployment
metadata: {name: app}
spec:
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec:
      containers:
        - name: app
          image: "registry.example/app:1.0"  # registry.example/app
          securityContext:
            capabilities:
              drop: [ALL]
              add: [NET_BIND_SERVICE]
"""
IMAGES = ["registry.example/archive", "registry.example/plain:latest", "ko://example.com/agent"]
CONTEXT = {"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "pod"},
    "spec": {
        "containers": [
            {"name": f"c{number}", "image": image, "securityContext": CONTEXT}
            for number, image in enumerate([*IMAGES, "registry.example/sidecar@sha256:" + "1" * 64])
        ]
    },
}
REFUSED = """\
apiVersion: v1
kind: Pod
metadata: {name: a}
spec:
  hostNetwork: true
  containers:
    - name: a
      image: registry.example/app
      securityContext: {capabilities: {drop: [ALL]}}
    - name: b
      image: registry.example/app:2
      securityContext: {capabilities: {drop: [ALL]}}
---
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: w}
spec: {templates: [{container: {image: registry.example/app}}]}
"""
STATUS = "--workspace_status_command=./status.sh"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    made = Workspace(tmp_path_factory.mktemp("manifests"))
    made.write("app/BUILD.bazel", pathlib.Path("tests/integration/consumer/BUILD.manifests").read_text())
    made.write("app/server.c", "int main(void) { return 0; }\n")
    made.write("app/deploy.yaml", DEPLOY)
    made.write("app/sub/pod.json", json.dumps(POD, indent=1))
    made.write("app/bad.yaml", "apiVersion: v1\nkind: Pud\n")
    made.write("app/refused.yaml", REFUSED)
    made.write("other/BUILD.bazel", 'exports_files(["deploy.yaml"])\n')
    made.write("other/deploy.yaml", DEPLOY)
    made.write("status.sh", "#!/bin/sh\necho STABLE_TEAM team\n")
    (made.directory / "status.sh").chmod(0o755)
    return made


def _read_digest(workspace: Workspace, target: str) -> str:
    """Returns the digest of the manifest or the index that an image has."""
    kind = "index" if target == "index" else "manifest"
    workspace.run("build", f"//app:{target}", f"--output_groups={kind}")
    return "sha256:" + hashlib.sha256(workspace.output(f"app/{target}.{kind}.json").read_bytes()).hexdigest()


def test_the_manifests_differ_only_in_their_images(workspace):
    digest, index_digest = _read_digest(workspace, "image"), _read_digest(workspace, "index")
    workspace.run("build", STATUS, "//app:deploy")
    deploy = DEPLOY.replace('"registry.example/app:1.0"', f'"registry.example/team/app@{digest}"')
    assert workspace.output("app/deploy/deploy.yaml").read_text() == deploy
    generated = workspace.output("app/generated/deploy.yaml").read_text()
    assert workspace.output("app/deploy/generated/deploy.yaml").read_text() == generated.replace(
        "registry.example/index:1.0", f"registry.example/index@{index_digest}"
    )
    pod = json.loads(workspace.output("app/deploy/sub/pod.json").read_text())
    archive_digest = pod["spec"]["containers"][0]["image"].partition("@")[2]
    expected = [f"registry.example/archive@{archive_digest}", f"registry.example/plain@{digest}"]
    expected.append(f"registry.example/archive@{archive_digest}")
    assert [container.pop("image") for container in pod["spec"]["containers"]] == [
        *expected,
        POD["spec"]["containers"][-1]["image"],
    ]
    assert [container["name"] for container in pod["spec"]["containers"]] == ["c0", "c1", "c2", "c3"]


def test_the_digest_of_another_rulesets_image_is_that_of_its_push(workspace):
    """The push of an archive unpacks it into a layout, whose index.json has the digest."""
    workspace.run("build", STATUS, "//app:deploy", "//app:push_archive")
    pod = json.loads(workspace.output("app/deploy/sub/pod.json").read_text())
    index = json.loads((workspace.output("app/push_archive.image") / "index.json").read_text())
    assert pod["spec"]["containers"][2]["image"] == f"registry.example/archive@{index['manifests'][0]['digest']}"


def test_run_prints_all_manifests_and_nothing_else(workspace):
    done = workspace.run("run", STATUS, "//app:deploy")
    parts = ("deploy.yaml", "sub/pod.json", "generated/deploy.yaml")
    texts = [workspace.output(f"app/deploy/{part}").read_text() for part in parts]
    assert done.stdout == "".join(f"---\n{text.rstrip()}\n" for text in texts)
    program = workspace.output("app/deploy.print")
    assert subprocess.run([program], cwd="/", capture_output=True, text=True, check=True).stdout == done.stdout
    helped = workspace.run("run", STATUS, "//app:deploy", "--", "--help")
    assert helped.stdout.startswith("usage: bazel run //app:deploy | kubectl apply -f -\n")
    with pathlib.Path("/dev/full").open("wb") as full:
        done = subprocess.run([program], stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1 and b"No space left on device" in done.stderr
    empty = workspace.run("run", "//app:values_only", check=False)
    assert (empty.returncode, empty.stdout) == (1, "")
    assert "//app:values_only: has no srcs, so there is nothing to print; " in empty.stderr
    refused = workspace.run("run", STATUS, "//app:deploy", "--", "--dry-run", check=False)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert '//app:deploy: "--dry-run": takes no arguments; it prints the manifests for kubectl apply -f -\n' in refused.stderr


def test_output_groups_are_for_helm_and_kustomize(workspace):
    digest, index_digest = _read_digest(workspace, "image"), _read_digest(workspace, "index")
    workspace.run("build", STATUS, "//app:deploy", "//app:values_only", "--output_groups=helm_values,kustomize_images")
    assert workspace.output("app/deploy.values.yaml").read_text() == (
        f'server:\n  image:\n    repository: "registry.example/team/app"\n    digest: "{digest}"\n'
    )
    kustomization = workspace.output("app/deploy.kustomize/kustomization.yaml").read_text()
    assert kustomization.count("  - name: ") == 5
    entry = f'  - name: "registry.example/app"\n    newName: "registry.example/team/app"\n    digest: "{digest}"\n'
    assert entry in kustomization
    assert index_digest in workspace.output("app/values_only.values.yaml").read_text()


def test_a_test_reads_the_manifests(workspace):
    workspace.run("test", STATUS, "//app:deploy_test")


def test_no_layer_is_an_input_of_the_action_that_writes(workspace):
    done = workspace.run("aquery", STATUS, 'mnemonic("SetcapManifests", //app:unchecked)')
    (line,) = [line for line in done.stdout.splitlines() if line.strip().startswith("Inputs: [")]
    inputs = [path for path in line.partition("[")[2].rstrip("]").split(", ") if "/app/" in path or path.startswith("app/")]
    assert [pathlib.PurePath(path).name for path in inputs] == ["refused.yaml", "image.descriptor.json", "unchecked.0.report.txt"]


def test_a_change_of_a_manifest_checks_only_the_images_that_it_names(workspace, tmp_path):
    workspace.run("build", STATUS, "//app:deploy")
    workspace.write("app/sub/pod.json", json.dumps(POD, indent=2))
    workspace.run("build", STATUS, "//app:deploy", f"--execution_log_json_file={tmp_path}/log")
    run = collections.Counter(action["mnemonic"] for action in read_actions(tmp_path / "log"))
    assert run == {"SetcapDivideManifests": 1, "SetcapImageTest": len(IMAGES), "SetcapManifests": 1}


def _build_failing(workspace: Workspace, target: str) -> list[str]:
    """Builds a target that must fail, and returns the lines about it without the label."""
    done = workspace.run("build", f"//app:{target}", check=False)
    assert done.returncode == 1
    prefix = f"//app:{target}: "
    assert not [path for path in workspace.output(f"app/{target}").rglob("*") if path.is_file()]
    return [line.removeprefix(prefix) for line in done.stderr.splitlines() if line.startswith(prefix)]


def test_mistakes_are_reported_at_once(workspace):
    lines = _build_failing(workspace, "mistakes")
    assert [re.sub("at byte [1-9][0-9]*;", "at byte N;", line) for line in lines] == [
        'disabled_checks: "capability": not a check; the checks are capabilities, custom_resources',
        'programs: "registry.example/other": not a key of images',
        'srcs: "//other:deploy.yaml": has the same path in its package as //app:deploy.yaml; write a target for each',
        'images: "registry.example/app:v1": names images that "registry.example/app" names too; give both a tag, or leave one out',
        'images: "registry.example/app": //app:push_nowhere has no repository; set its attribute repository',
        'images: "//app:server": the header at byte 0: the checksum is wrong: the archive is damaged, or not a tar; '
        "give an OCI layout directory, an OCI archive, or an archive as docker save writes it",
        'images: "//app:load": ends within a header, at byte N; '
        "give an OCI layout directory, an OCI archive, or an archive as docker save writes it",
        'app/bad.yaml:2: kind: "Pud": unknown kind; did you mean "Pod"?',
        'helm_values: "registry.example/ap": not a key of images; did you mean "registry.example/app"?',
    ]


FINDING = '"/app/server" does not start ("operation not permitted"): '


def test_findings_stop_the_build_with_file_and_line(workspace):
    lines = _build_failing(workspace, "unchecked")
    assert [line.split(": ")[:2] for line in lines] == [
        ["app/refused.yaml:17", "spec.templates[0].container.image"],
        ["app/refused.yaml:7", "spec.containers[0]"],
        ["app/refused.yaml:10", "spec.containers[1]"],
        ["app/refused.yaml:5", "spec.hostNetwork"],
    ]
    assert lines[0].endswith('; add "custom_resources" to disabled_checks if it may stay unchecked')
    assert FINDING in lines[1] and FINDING in lines[2]


def test_custom_resources_may_stay_unchecked(workspace):
    lines = _build_failing(workspace, "unchecked_custom_resources")
    assert [line.partition(": ")[0] for line in lines] == ["app/refused.yaml:7", "app/refused.yaml:10", "app/refused.yaml:5"]


def test_without_the_check_the_manifests_are_written(workspace):
    digest = _read_digest(workspace, "image")
    workspace.run("build", "//app:unchecked_capabilities")
    expected = REFUSED.replace("app:2", "app").replace("registry.example/app", f"registry.example/app@{digest}")
    assert workspace.output("app/unchecked_capabilities/refused.yaml").read_text() == expected


def test_a_change_of_the_image_changes_the_manifest(workspace):
    workspace.run("build", STATUS, "//app:deploy")
    before = workspace.output("app/deploy/deploy.yaml").read_text()
    workspace.write("app/server.c", "int main(void) { return 1; }\n")
    workspace.run("build", STATUS, "//app:deploy")
    assert workspace.output("app/deploy/deploy.yaml").read_text() != before
    assert _read_digest(workspace, "image") in workspace.output("app/deploy/deploy.yaml").read_text()

"""The fixes of getcap explain and kubernetes_test: each is applied here to settings or image, and judged again."""

from __future__ import annotations

import json
import pathlib

import pytest

from rules_setcap import capabilities
from rules_setcap.getcap import cli
from rules_setcap.image_tests.manifests import check, parse_attributes
from rules_setcap.oci import image_reader
from support.image import layout, tar

ELF = "\x7fELF"
POD = """\
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  securityContext: {runAsNonRoot: %s, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: web
      image: registry.example/web:1
      command: [%s]
      securityContext: {allowPrivilegeEscalation: %s, capabilities: {drop: [ALL], add: [%s]}}
"""


def _image(directory: pathlib.Path, files: dict[str, str], **config: object) -> str:
    """Makes an image with programs and their capabilities, "" for none."""
    entries = [(path, capabilities.from_text(text) if text else None, ELF) for path, text in files.items()]
    entries.append(("/etc/passwd", None, "root:x:0:0::/:/bin/sh\napp:x:1000:1000::/:/bin/sh\n"))
    return str(layout(directory / "image", tar(*entries), **{"Entrypoint": ["/app"], "User": "1000", **config}))


def _fix(capsys: pytest.CaptureFixture[str], image: str, *arguments: str) -> list[str]:
    """Returns the fixes of a container that does not get what it asks for."""
    assert cli.main(["explain", "--json", image, *arguments]) == 1
    return json.loads(capsys.readouterr().out)["fix"]


def _good(capsys: pytest.CaptureFixture[str], image: str, *arguments: str) -> bool:
    status = cli.main(["explain", "--json", image, *arguments])
    capsys.readouterr()
    return status == 0


@pytest.mark.parametrize(
    "text, line, fix, fixed",
    [
        # Docker ignores single additions beside all, podman refuses to add and drop one capability.
        ("cap_sys_resource=ep", "docker run --cap-add=all --cap-drop sys_resource app", "remove --cap-drop=SYS_RESOURCE", "docker run --cap-add=all app"),
        ("cap_chown=ep", "podman run --cap-drop chown app", "remove --cap-drop=CHOWN", "podman run app"),
        ("cap_chown=ep", "docker run --cap-drop=CHOWN app", "remove --cap-drop=CHOWN", "docker run app"),
        ("cap_bpf=ep", "docker run --cap-drop=ALL app", "add --cap-add=BPF", "docker run --cap-drop=ALL --cap-add=BPF app"),
        ("cap_bpf=ep", "nerdctl run --cap-drop=ALL app", "add --cap-add=BPF", "nerdctl run --cap-drop=ALL --cap-add=BPF app"),
    ],
)
def test_capabilities_that_are_not_granted(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], text: str, line: str, fix: str, fixed: str):
    image = _image(tmp_path, {"/app": text})
    assert _fix(capsys, image, "--docker-run", line) == [fix]
    assert _good(capsys, image, "--docker-run", fixed)


def test_a_capability_that_podman_does_not_grant_and_drops(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]):
    image = _image(tmp_path, {"/app": "cap_bpf=ep"})
    assert _fix(capsys, image, "--docker-run", "podman run --cap-drop=BPF app") == ["remove --cap-drop=BPF", "add --cap-add=BPF"]


def test_podman_makes_permitted_what_is_added(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]):
    """Which is less than to leave out no-new-privileges."""
    image = _image(tmp_path, {"/app": "cap_chown=p"})
    assert _fix(capsys, image, "--docker-run", "podman run --security-opt=no-new-privileges app") == ["add --cap-add=CHOWN"]
    assert _good(capsys, image, "--docker-run", "podman run --security-opt=no-new-privileges --cap-add=CHOWN app")


def test_a_program_that_is_not_known_to_raise_capabilities(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]):
    line = "docker run --cap-add=NET_RAW app"
    (fix,) = _fix(capsys, _image(tmp_path, {"/app": ""}), "--docker-run", line)
    start = 'give /app the capabilities: file_capabilities = {"/app": "cap_net_raw=ep"}; effective, because the program is not known to raise'
    assert fix.startswith(start)


def test_many_capabilities(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]):
    """The first advice is to ask for fewer."""
    image = _image(tmp_path, {"/app": "=ep"})
    (fix,) = _fix(capsys, image, "--docker-run", "docker run --cap-drop=ALL --cap-add=BPF app")
    assert fix == 'let /app ask for fewer: of the 41 capabilities that it asks for, these are granted: file_capabilities = {"/app": "cap_bpf=ep"}'
    advice, fix = _fix(capsys, image, "--docker-run", "docker run --cap-drop=ALL app")
    assert advice.startswith("let /app ask for fewer: it asks for 41 capabilities") and fix.count("--cap-add=") == 41


def test_an_effective_file_that_runs_before_stays_effective(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]):
    image = _image(tmp_path, {"/app": "cap_net_raw=p", "/bin/tini": "cap_chown=ep"}, Entrypoint=["/bin/tini", "--", "/app"])
    (fix,) = _fix(capsys, image, "--docker-run", "docker run --security-opt=no-new-privileges app")
    assert fix == 'give /bin/tini, which runs before, the same: file_capabilities = {"/bin/tini": "cap_chown,cap_net_raw=ep"}'


def test_a_shell_gets_no_capabilities_where_another_fix_is_known(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]):
    image = _image(tmp_path, {"/app": "cap_net_raw=p", "/bin/sh": ""}, Entrypoint=["/bin/sh", "-c", "exec /app"])
    (fix,) = _fix(capsys, image, "--docker-run", "docker run --security-opt=no-new-privileges app")
    assert fix.startswith("leave out no-new-privileges")


def _pod(directory: pathlib.Path, non_root: str = "true", command: str = "/app", escalation: str = "false", add: str = "") -> str:
    path = directory / "pod.yaml"
    path.write_text(POD % (non_root, command, escalation, add))
    return str(path)


@pytest.mark.parametrize("user, text", [("0", "set runAsUser to a uid that is not 0, such as 1000"), ("app", "set runAsUser: 1000")])
def test_a_container_that_must_not_run_as_root(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], user: str, text: str):
    """Another uid is not enough if the capability is not granted either."""
    image = _image(tmp_path, {"/app": "cap_bpf=ep"}, User=user)
    fixes = [text, "add to securityContext.capabilities: add: [BPF]"]
    assert _fix(capsys, image, "--kubernetes", _pod(tmp_path)) == fixes
    findings = check(image_reader.read_images(image), [_pod(tmp_path)], parse_attributes("registry.example/web", "containerd", "privileged"))
    assert len(findings) == 1 and findings[0].endswith("; fix: " + ", and ".join(fixes))


def _findings(directory: pathlib.Path, image: str, level: str, **pod: str) -> list[str]:
    return check(image_reader.read_images(image), [_pod(directory, **pod)], parse_attributes("registry.example/web", "containerd", level))


@pytest.mark.parametrize("level", ["privileged", "restricted"])
def test_an_init_before_the_program(tmp_path: pathlib.Path, level: str):
    """With its own capabilities no_new_privs does not matter, and so "restricted" is satisfied as well."""
    image = _image(tmp_path, {"/app": "cap_net_bind_service=ep", "/bin/tini": ""})
    pod = {"command": '/bin/tini, "--", /app', "add": "NET_BIND_SERVICE"}
    (finding,) = _findings(tmp_path, image, level, **pod)
    fix = 'give /bin/tini, which runs before, the same: file_capabilities = {"/bin/tini": "cap_net_bind_service=p"}'
    assert finding.endswith("; fix: " + fix)
    (tmp_path / "fixed").mkdir()
    fixed = _image(tmp_path / "fixed", {"/app": "cap_net_bind_service=ep", "/bin/tini": "cap_net_bind_service=p"})
    assert _findings(tmp_path, fixed, level, **pod) == []


def test_a_capability_that_the_level_does_not_allow(tmp_path: pathlib.Path):
    image = _image(tmp_path, {"/app": "cap_bpf=ep"})
    (finding,) = _findings(tmp_path, image, "restricted")
    expected = 'no fix is known within the level restricted; with level = "privileged": add to securityContext.capabilities: add: [BPF]'
    assert finding.endswith(expected) and "; fix: " not in finding


def test_a_fix_is_judged_as_the_level_demands(tmp_path: pathlib.Path):
    """The level's own finding, which is allowPrivilegeEscalation: false, and the fix work together."""
    image = _image(tmp_path, {"/app": "cap_net_bind_service=ep", "/bin/tini": ""})
    findings = _findings(tmp_path, image, "restricted", command='/bin/tini, "--", /app', escalation="true")
    assert len(findings) == 2 and "(Privilege Escalation)" in findings[1]
    assert "add: [NET_BIND_SERVICE], and give /bin/tini, which runs before, the same" in findings[0]

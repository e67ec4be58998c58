"""The fixes of `getcap explain` and kubernetes_test give a container what its program's file asks for.

Most tests apply the fix to the settings or the image, and judge the container again.
"""

from __future__ import annotations

import json
import pathlib

import pytest

from rules_setcap import capabilities
from rules_setcap.getcap import cli
from rules_setcap.image_tests.kubernetes_manifests import check_manifests, parse_test_attributes
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


def _make_image(directory: pathlib.Path, files: dict[str, str], **config: object) -> str:
    """Makes an image of programs, and returns its path.

    Args:
      directory: where the image is made.
      files: the capabilities of each program by its path; "" for none.
      config: keys of the image's config.
    """
    entries = [(path, capabilities.from_text(text) if text else None, ELF) for path, text in files.items()]
    entries.append(("/etc/passwd", None, "root:x:0:0::/:/bin/sh\napp:x:1000:1000::/:/bin/sh\n"))
    return str(layout(directory / "image", tar(*entries), **{"Entrypoint": ["/app"], "User": "1000", **config}))


def _read_fixes(capsys: pytest.CaptureFixture[str], image: str, *arguments: str) -> list[str]:
    """Returns the fixes of a container whose verdict is not good."""
    assert cli.main(["explain", "--json", image, *arguments]) == 1
    return json.loads(capsys.readouterr().out)["fix"]


def _is_good(capsys: pytest.CaptureFixture[str], image: str, *arguments: str) -> bool:
    """Returns whether the verdict on a container is good."""
    status = cli.main(["explain", "--json", image, *arguments])
    capsys.readouterr()
    return status == 0


@pytest.mark.parametrize(
    "text, line, fix, fixed",
    [
        # Docker ignores single additions beside ALL; podman refuses to add and drop the same capability.
        (
            "cap_sys_resource=ep",
            "docker run --cap-add=all --cap-drop sys_resource app",
            "remove --cap-drop=SYS_RESOURCE",
            "docker run --cap-add=all app",
        ),
        ("cap_chown=ep", "podman run --cap-drop chown app", "remove --cap-drop=CHOWN", "podman run app"),
        ("cap_chown=ep", "docker run --cap-drop=CHOWN app", "remove --cap-drop=CHOWN", "docker run app"),
        ("cap_bpf=ep", "docker run --cap-drop=ALL app", "add --cap-add=BPF", "docker run --cap-drop=ALL --cap-add=BPF app"),
        ("cap_bpf=ep", "nerdctl run --cap-drop=ALL app", "add --cap-add=BPF", "nerdctl run --cap-drop=ALL --cap-add=BPF app"),
    ],
)
def test_a_capability_that_is_not_granted_is_granted(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], text: str, line: str, fix: str, fixed: str
):
    image = _make_image(tmp_path, {"/app": text})
    assert _read_fixes(capsys, image, "--docker-run", line) == [fix]
    assert _is_good(capsys, image, "--docker-run", fixed)


def test_podman_gets_two_fixes_for_a_capability_that_is_dropped_and_not_granted_by_default(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
):
    image = _make_image(tmp_path, {"/app": "cap_bpf=ep"})
    assert _read_fixes(capsys, image, "--docker-run", "podman run --cap-drop=BPF app") == [
        "remove --cap-drop=BPF",
        "add --cap-add=BPF",
    ]


def test_cap_add_is_enough_for_podman_under_no_new_privs(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]):
    """podman makes added capabilities permitted, so no-new-privileges can stay."""
    image = _make_image(tmp_path, {"/app": "cap_chown=p"})
    assert _read_fixes(capsys, image, "--docker-run", "podman run --security-opt=no-new-privileges app") == [
        "add --cap-add=CHOWN"
    ]
    assert _is_good(capsys, image, "--docker-run", "podman run --security-opt=no-new-privileges --cap-add=CHOWN app")


def test_a_program_without_capabilities_gets_them_effective(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]):
    line = "docker run --cap-add=NET_RAW app"
    (fix,) = _read_fixes(capsys, _make_image(tmp_path, {"/app": ""}), "--docker-run", line)
    start = 'assign the capabilities to /app: file_capabilities = {"/app": "cap_net_raw=ep"}; effective, because the program is not known to raise'
    assert fix.startswith(start)


def test_a_file_with_many_capabilities_is_to_ask_for_fewer(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]):
    image = _make_image(tmp_path, {"/app": "=ep"})
    (fix,) = _read_fixes(capsys, image, "--docker-run", "docker run --cap-drop=ALL --cap-add=BPF app")
    assert (
        fix
        == 'assign fewer capabilities to /app: of the 41 that it asks for, these are granted: file_capabilities = {"/app": "cap_bpf=ep"}'
    )
    advice, fix = _read_fixes(capsys, image, "--docker-run", "docker run --cap-drop=ALL app")
    assert advice.startswith("assign fewer capabilities to /app: it asks for 41, and all") and fix.count("--cap-add=") == 41


def test_a_program_before_keeps_its_effective_bit(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]):
    image = _make_image(tmp_path, {"/app": "cap_net_raw=p", "/bin/tini": "cap_chown=ep"}, Entrypoint=["/bin/tini", "--", "/app"])
    (fix,) = _read_fixes(capsys, image, "--docker-run", "docker run --security-opt=no-new-privileges app")
    assert (
        fix
        == 'assign the same capabilities to /bin/tini, which runs before: file_capabilities = {"/bin/tini": "cap_chown,cap_net_raw=ep"}'
    )


def test_a_shell_gets_no_capabilities_if_another_fix_is_known(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]):
    image = _make_image(tmp_path, {"/app": "cap_net_raw=p", "/bin/sh": ""}, Entrypoint=["/bin/sh", "-c", "exec /app"])
    (fix,) = _read_fixes(capsys, image, "--docker-run", "docker run --security-opt=no-new-privileges app")
    assert fix.startswith("leave out no-new-privileges")


def _write_pod(
    directory: pathlib.Path, non_root: str = "true", command: str = "/app", escalation: str = "false", add: str = ""
) -> str:
    """Writes a pod manifest with runAsNonRoot, command, allowPrivilegeEscalation and capabilities.add; returns its path."""
    path = directory / "pod.yaml"
    path.write_text(POD % (non_root, command, escalation, add))
    return str(path)


@pytest.mark.parametrize(
    "user, text", [("0", "set runAsUser to a uid that is not 0, such as 1000"), ("app", "set runAsUser: 1000")]
)
def test_a_container_that_must_not_run_as_root_gets_a_uid(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], user: str, text: str
):
    """The capability is not granted either, so the uid alone is not enough."""
    image = _make_image(tmp_path, {"/app": "cap_bpf=ep"}, User=user)
    fixes = [text, "add to securityContext.capabilities: add: [BPF]"]
    assert _read_fixes(capsys, image, "--kubernetes", _write_pod(tmp_path)) == fixes
    findings = check_manifests(
        image_reader.read_images(image),
        [_write_pod(tmp_path)],
        parse_test_attributes("registry.example/web", "containerd", "privileged"),
    )
    assert len(findings) == 1 and findings[0].endswith("; fix: " + ", and ".join(fixes))


def _check_pod(directory: pathlib.Path, image: str, level: str, **pod: str) -> list[str]:
    """Returns the findings of kubernetes_test about a pod of _write_pod()."""
    return check_manifests(
        image_reader.read_images(image),
        [_write_pod(directory, **pod)],
        parse_test_attributes("registry.example/web", "containerd", level),
    )


@pytest.mark.parametrize("level", ["privileged", "restricted"])
def test_an_init_before_the_program_gets_the_same_capabilities(tmp_path: pathlib.Path, level: str):
    """With capabilities of its own, the init keeps them under no_new_privs, so the level "restricted" is satisfied as well."""
    image = _make_image(tmp_path, {"/app": "cap_net_bind_service=ep", "/bin/tini": ""})
    pod = {"command": '/bin/tini, "--", /app', "add": "NET_BIND_SERVICE"}
    (finding,) = _check_pod(tmp_path, image, level, **pod)
    fix = 'assign the same capabilities to /bin/tini, which runs before: file_capabilities = {"/bin/tini": "cap_net_bind_service=p"}'
    assert finding.endswith("; fix: " + fix)
    (tmp_path / "fixed").mkdir()
    fixed = _make_image(tmp_path / "fixed", {"/app": "cap_net_bind_service=ep", "/bin/tini": "cap_net_bind_service=p"})
    assert _check_pod(tmp_path, fixed, level, **pod) == []


def test_a_capability_that_the_level_forbids_has_no_fix(tmp_path: pathlib.Path):
    image = _make_image(tmp_path, {"/app": "cap_bpf=ep"})
    (finding,) = _check_pod(tmp_path, image, "restricted")
    expected = 'no fix is known within the level restricted; with pod_security = "privileged": add to securityContext.capabilities: add: [BPF]'
    assert finding.endswith(expected) and "; fix: " not in finding


def test_a_fix_works_together_with_the_finding_of_the_level(tmp_path: pathlib.Path):
    """The level demands allowPrivilegeEscalation: false, and the fix is one under this setting."""
    image = _make_image(tmp_path, {"/app": "cap_net_bind_service=ep", "/bin/tini": ""})
    findings = _check_pod(tmp_path, image, "restricted", command='/bin/tini, "--", /app', escalation="true")
    assert len(findings) == 2 and "(Privilege Escalation)" in findings[1]
    assert "add: [NET_BIND_SERVICE], and assign the same capabilities to /bin/tini, which runs before" in findings[0]

"""Notes name the capabilities that are not needed because of sysctls.

docs/capabilities.md lists the sysctls that engines set.
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

PORTS, PING = "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range"
POD = """\
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  hostNetwork: %s
  hostUsers: %s
  securityContext: {sysctls: [%s]}
  containers:
    - name: web
      image: registry.example/web:1
      securityContext: {capabilities: {drop: [ALL]}}
"""


def _make_image(directory: pathlib.Path, user: str = "1000:1000") -> str:
    """Makes an image whose program has cap_net_bind_service and cap_net_raw; returns its path."""
    app = ("/app", capabilities.from_text("cap_net_bind_service,cap_net_raw=ep"), "\x7fELF")
    return str(layout(directory / "image", tar(app), Entrypoint=["/app"], User=user))


def _read_unneeded(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Returns which of "ports" and "ping" need no capability, as `getcap explain` says, with a space between."""
    cli.main(["explain", "--json", *arguments])
    notes = json.loads(capsys.readouterr().out)["notes"]
    return " ".join(word for word in ("ports", "ping") if any("is not needed" in note and word in note for note in notes))


@pytest.mark.parametrize(
    "line, runtime, unneeded",
    [
        ("docker run app", "docker", "ports ping"),
        ("docker run app", "docker@20.10.24", "ports ping"),
        ("docker run app", "docker@19.03", ""),
        ("docker run --network=none app", "docker", "ports ping"),
        ("docker run --net host app", "docker", ""),
        ("docker run --network=container:web app", "docker", ""),
        (f"docker run --sysctl {PORTS}=1024 app", "docker", "ping"),
        (f"docker run --sysctl={PORTS}=80 --sysctl={PING.replace('.', '/')}='1 0' app", "docker", "ports"),
        ("podman run app", "podman", ""),
        (f"podman run --sysctl {PORTS}=0 app", "podman", "ports"),
        ("podman run --user=1000:0 app", "podman", ""),
        (f"podman run --sysctl {PING}='500 2000' app", "podman", "ping"),
        (f"podman run --sysctl {PING}='500 999' app", "podman", ""),
        ("nerdctl run app", "nerdctl", ""),
    ],
)
def test_notes_on_command_lines(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], line: str, runtime: str, unneeded: str
):
    assert _read_unneeded(capsys, _make_image(tmp_path), "--docker-run", line, "--runtime", runtime) == unneeded


@pytest.mark.parametrize(
    "service, unneeded",
    [
        ("", "ports ping"),
        (", network_mode: host", ""),
        (", network_mode: 'service:db'", ""),
        (f", sysctls: {{{PORTS}: 1024}}", "ping"),
        (f", sysctls: ['{PORTS}=1024', '{PING}=1 0']", ""),
    ],
)
def test_notes_on_compose_services(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], service: str, unneeded: str):
    (tmp_path / "compose.yaml").write_text(f"services: {{web: {{image: app{service}}}}}")
    arguments = "--compose", str(tmp_path / "compose.yaml"), "--service=web"
    assert _read_unneeded(capsys, _make_image(tmp_path), *arguments) == unneeded


SYSCTL = '{name: %s, value: "%s"}'


@pytest.mark.parametrize(
    "pod, runtime, unneeded",
    [
        (("false", "true", ""), "containerd", "ports ping"),
        (("false", "true", ""), "containerd@1.7", ""),
        (("false", "true", ""), "cri-o", ""),
        (("false", "false", ""), "containerd", "ports"),
        (("true", "true", ""), "containerd", ""),
        (("false", "true", SYSCTL % (PORTS, "0")), "cri-o", "ports"),
        (("false", "true", SYSCTL % (PORTS, "0")), "containerd@1.7", "ports"),
        (("false", "true", SYSCTL % (PING, "0 2147483647")), "containerd@1.7", "ping"),
    ],
)
def test_notes_on_pods(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], pod: tuple[str, ...], runtime: str, unneeded: str
):
    path = tmp_path / "pod.yaml"
    path.write_text(POD % pod)
    image = _make_image(tmp_path)
    assert _read_unneeded(capsys, image, "--kubernetes", str(path), "--runtime", runtime) == unneeded
    (finding,) = check_manifests(
        image_reader.read_images(image), [str(path)], parse_test_attributes("registry.example/web", runtime, "privileged")
    )
    assert ("cap_net_bind_service is not needed for ports" in finding) == ("ports" in unneeded)

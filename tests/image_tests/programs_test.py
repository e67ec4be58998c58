"""kubernetes_test judges the programs that the containers execute, or those that `programs` names."""

from __future__ import annotations

import pathlib

import pytest

from rules_setcap import capabilities
from rules_setcap.image_tests.kubernetes_manifests import check_manifests, parse_test_attributes
from rules_setcap.oci import image_reader
from support.image import layout, tar

ELF = "\x7fELF"
MANIFEST = """\
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers:
    - name: web
      image: registry.example/web:1
      args: [%s]
      securityContext: {allowPrivilegeEscalation: %s, runAsUser: %d, capabilities: {drop: [ALL], add: [%s]}}
"""
ENTRY = {
    "exec": '#!/bin/sh\nset -e\nexec "$@"\n',
    "lost": '#!/bin/sh\n. /etc/profile.d/app.sh\nexec "$@"\n',
    "drop": '#!/bin/sh\nif [ "$(id -u)" = 0 ]; then\n  exec su-exec app "$0" "$@"\nfi\nexec "$@"\n',
}


def _check(directory: pathlib.Path, entry: str, manifest: tuple[object, ...], programs: tuple[str, ...] = ()) -> list[str]:
    """Returns the findings about an image.

    Args:
      directory: an empty directory.
      entry: the entrypoint, a key of ENTRY.
      manifest: the values of MANIFEST.
      programs: the attribute programs of the test.
    """
    net, raw = capabilities.from_text("cap_net_bind_service=p"), capabilities.from_text("cap_net_raw=ep")
    layer = tar(
        ("/entry.sh", None, ENTRY[entry]),
        ("/bin/sh", None, ELF),
        ("/bin/su-exec", None, ELF),
        ("/etc/passwd", None, "root:x:0:0::/:/bin/sh\napp:x:1000:1000::/:/bin/sh\n"),
        ("/bin/server", net, ELF),
        ("/bin/ping", raw, ELF),
    )
    image = layout(directory / "image", layer, Entrypoint=["/entry.sh"], Cmd=["server"], User="1000")
    path = directory / "pod.yaml"
    path.write_text(MANIFEST % manifest)
    return check_manifests(
        image_reader.read_images(str(image)),
        [str(path)],
        parse_test_attributes("registry.example/web", "containerd", "privileged", programs),
    )


def test_a_script_is_followed_to_its_program(tmp_path: pathlib.Path):
    """The capabilities of files that the container does not execute are not needed."""
    assert _check(tmp_path, "exec", ("server", "true", 1000, "NET_BIND_SERVICE")) == []


def test_a_program_that_is_not_known_can_be_named(tmp_path: pathlib.Path):
    manifest = ("server", "true", 1000, "NET_BIND_SERVICE")
    (tmp_path / "unnamed").mkdir()
    (finding,) = _check(tmp_path / "unnamed", "lost", manifest)
    assert '"/bin/ping" does not start' in finding
    assert "the program is not known: /entry.sh reads /etc/profile.d/app.sh (line 2)" in finding
    assert finding.endswith('; if it does not execute "/bin/ping", name the programs that it does execute: programs = [...]')
    (tmp_path / "named").mkdir()
    assert _check(tmp_path / "named", "lost", manifest, ("/bin/server",)) == []


def test_a_named_program_that_the_image_does_not_have_is_a_finding(tmp_path: pathlib.Path):
    findings = _check(tmp_path, "exec", ("server", "true", 1000, "NET_BIND_SERVICE"), ("/bin/serve",))
    assert findings == ['programs: "/bin/serve": no such file in the image']


@pytest.mark.parametrize("escalation, passes", [("true", True), ("false", False)])
def test_a_change_of_the_user_keeps_the_capabilities_of_files(tmp_path: pathlib.Path, escalation: str, passes: bool):
    """Under no_new_privs, the process gets none."""
    findings = _check(tmp_path, "drop", ("server", escalation, 0, "SETUID, SETGID, NET_BIND_SERVICE"))
    assert (findings == []) == passes
    if not passes:
        assert '"/bin/server" runs without cap_net_bind_service' in findings[0]
        assert "/bin/su-exec changes the uid from 0 to 1000" in findings[0]


def test_a_program_that_fails_before_it_executes_the_next_is_a_finding(tmp_path: pathlib.Path):
    """setgroups(2) needs CAP_SETGID."""
    (finding,) = _check(tmp_path, "drop", ("server", "true", 0, "NET_BIND_SERVICE"))
    assert "/bin/su-exec fails: setgroups is not permitted (EPERM)" in finding

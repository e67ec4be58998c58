"""What the tests of images say when they fail, and that they fail."""

from __future__ import annotations

import pathlib
import re
import subprocess

from support import layout as layouts

HERE = pathlib.Path("tests/image_tests").absolute()
RIGHT = """\
//tests/image_tests:{name}: if the image is right, write
  expected = {{
    "/app/helper": "cap_bpf=p",
    "/usr/bin/first": "cap_net_raw=ep",
  }},
"""


def _report(name: str) -> str:
    done = subprocess.run([HERE / name], capture_output=True, text=True)
    assert done.returncode == 1
    return done.stderr


def test_a_file_too_many():
    assert _report("extra") == (
        '//tests/image_tests:extra: expected: "/usr/bin/first": has cap_net_raw=ep, which is not expected\n' + RIGHT.format(name="extra")
    )


def test_others_than_expected():
    assert _report("missing") == (
        '//tests/image_tests:missing: expected: "/app/other": has no capabilities, and cap_kill=ep is expected\n'
        '//tests/image_tests:missing: expected: "/usr/bin/first": has cap_net_raw=ep, and cap_net_raw=p is expected\n'
        + RIGHT.format(name="missing")
    )


def test_capabilities_that_engines_differ_about():
    """The reference has none, as expected, and the test fails nevertheless."""
    lines = _report("hidden").splitlines()
    assert [line.split(": ")[1:3] for line in lines[:2]] == [[f'"/{name}"', "container engines differ"] for name in ("ping", "ping4")]
    for line in lines[:2]:
        assert line.startswith("//tests/image_tests:hidden: ") and line.endswith("; cap_net_raw=ep in podman overlay, podman vfs, umoci")


def test_a_manifest_that_grants_too_little():
    at = "tests/image_tests/manifests/not_granted.yaml"
    container = "spec.template.spec.containers[0]"
    (line,) = _report("not_granted").splitlines()
    assert line.startswith(f'//tests/image_tests:not_granted: {at}:10: {container}: "/app/server" does not start ("operation not permitted"): ')
    context = f"{container}.securityContext.capabilities"
    assert "not in the bounding set, which holds only cap_chown (" in line
    assert f"): all others are dropped ({at}:15: {context}.drop[0])" in line
    assert line.endswith("; fix: add to securityContext.capabilities: add: [NET_BIND_SERVICE]")


def test_another_digest():
    """The one that it says is right, and so are its layers': they are hashed here."""
    lines = _report("other_digest").splitlines()
    layout = pathlib.Path("tests/base/below")
    manifest = layouts.manifest(layout)
    digest = re.search("the image is (sha256:[0-9a-f]{64})", lines[0])[1]
    assert (layout / "blobs/sha256" / digest[7:]).is_file()
    assert lines[1].endswith(f"  config {manifest['config']['digest']}")
    assert lines[2].endswith(f"  layer 0 {manifest['layers'][0]['digest']}")
    layouts.config(layout)
    assert lines[-1] == f"  buildozer 'set digest \"{digest}\"' //tests/image_tests:other_digest"


def test_a_pod_security_standard():
    lines = _report("not_baseline").splitlines()
    assert len(lines) == 3
    assert lines[1].endswith(
        "not restricted by the Pod Security Standards v1.36 (Privilege Escalation): set securityContext.allowPrivilegeEscalation: false"
    )

"""The test rules fail with a report of what is wrong and what to write instead."""

from __future__ import annotations

import pathlib
import re
import subprocess

from support import layout as layouts

HERE = pathlib.Path("tests/image_tests").absolute()
ADVICE = """\
//tests/image_tests:{name}: if the image is right, write
  expected = {{
    "/app/helper": "cap_bpf=p",
    "/usr/bin/first": "cap_net_raw=ep",
  }},
"""


def _run_failing_test(name: str) -> str:
    """Runs a test that must fail, and returns its report."""
    done = subprocess.run([HERE / name], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    return done.stderr


def test_an_unexpected_file_is_reported():
    assert _run_failing_test("extra") == (
        '//tests/image_tests:extra: expected: "/usr/bin/first": has cap_net_raw=ep, which is not expected\n'
        + ADVICE.format(name="extra")
    )


def test_missing_and_other_capabilities_are_reported():
    assert _run_failing_test("missing") == (
        '//tests/image_tests:missing: expected: "/app/other": has no capabilities, and cap_kill=ep is expected\n'
        '//tests/image_tests:missing: expected: "/usr/bin/first": has cap_net_raw=ep, and cap_net_raw=p is expected\n'
        + ADVICE.format(name="missing")
    )


def test_files_about_which_engines_differ_are_reported():
    """The test expects no capabilities, and no other file has any."""
    lines = _run_failing_test("hidden").splitlines()
    assert [line.split(": ")[1:3] for line in lines[:2]] == [
        [f'"/{name}"', "container engines differ"] for name in ("ping", "ping4")
    ]
    for line in lines[:2]:
        assert line.startswith("//tests/image_tests:hidden: ") and line.endswith(
            "; cap_net_raw=ep in podman overlay, podman vfs, umoci"
        )


def test_a_manifest_that_grants_too_little_is_reported():
    path = "tests/image_tests/manifests/not_granted.yaml"
    container = "spec.template.spec.containers[0]"
    (line,) = _run_failing_test("not_granted").splitlines()
    assert line.startswith(
        f'//tests/image_tests:not_granted: {path}:10: {container}: "/app/server" does not start ("operation not permitted"): '
    )
    context = f"{container}.securityContext.capabilities"
    assert "not in the bounding set, which holds only cap_chown (" in line
    assert f"): all others are dropped ({path}:15: {context}.drop[0])" in line
    assert line.endswith("; fix: add to securityContext.capabilities: add: [NET_BIND_SERVICE]")


def test_another_digest_is_reported_with_those_of_all_parts():
    """The digests are those of the blobs, which layouts.config() verifies."""
    lines = _run_failing_test("other_digest").splitlines()
    layout = pathlib.Path("tests/base/below")
    manifest = layouts.manifest(layout)
    digest = re.search("the image is (sha256:[0-9a-f]{64})", lines[0])[1]
    assert (layout / "blobs/sha256" / digest[7:]).is_file()
    assert lines[1].endswith(f"  config {manifest['config']['digest']}")
    assert lines[2].endswith(f"  layer 0 {manifest['layers'][0]['digest']}")
    layouts.config(layout)
    assert lines[-1] == f"  buildozer 'set digest \"{digest}\"' //tests/image_tests:other_digest"


def test_violations_of_the_pod_security_standards_are_reported():
    lines = _run_failing_test("not_baseline").splitlines()
    assert len(lines) == 3
    assert lines[1].endswith(
        "not restricted by the Pod Security Standards v1.36 (Privilege Escalation): set securityContext.allowPrivilegeEscalation: false"
    )


def test_the_differences_from_the_expected_image_are_reported():
    lines = _run_failing_test("other_than_expected").splitlines()
    prefix = "//tests/image_tests:other_than_expected: "
    assert lines[0].startswith(prefix + 'digest: "sha256:864639a6cde09e60')
    assert prefix + "differs: config" in lines
    assert prefix + '  config.User  none -> "1"' in lines
    assert (
        "  bazel build --output_groups=+oci_layout //tests/image_tests:pinned //tests/image_tests:pinned_with_user "
        "&& bazel run @rules_setcap//tools/image_diff -- "
        "bazel-bin/tests/image_tests/pinned bazel-bin/tests/image_tests/pinned_with_user"
    ) in lines
    assert lines[-1].startswith("  buildozer ")


def test_an_expected_image_with_another_digest_is_reported():
    (line,) = _run_failing_test("wrong_expected_image").splitlines()
    assert line.startswith(
        '//tests/image_tests:wrong_expected_image: expected_image: "//tests/image_tests:pinned": its digest is sha256:864639a6cde09e60'
    )

"""Tests that the examples work in a container, and report missing capabilities."""

from __future__ import annotations

import gzip
import pathlib

import pytest

from support import layout as layouts
from support.container import Bundle

BPF_AGENT = ["CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory):
    """Returns a function that unpacks the image of an example."""

    def unpack(image: str) -> Bundle:
        return Bundle(pathlib.Path("examples") / image, tmp_path_factory.mktemp("image"))

    return unpack


@pytest.fixture(scope="module")
def netbind(bundle) -> Bundle:
    """Returns the bundle of the netbind example."""
    return bundle("netbind/image")


ONCE = ["/app/server", "--once"]


def test_netbind_binds_port_80_without_being_root(netbind):
    outcome = netbind.run(bounding=["CAP_NET_BIND_SERVICE"], args=ONCE)
    assert (outcome.status, outcome.output) == (0, "listening on port 80 as uid 65532\n")


def test_a_program_of_rules_pkg_binds_port_80(bundle):
    outcome = bundle("rules_pkg/image").run(bounding=["CAP_NET_BIND_SERVICE"], args=["/opt/netbind/server", "--once"])
    assert (outcome.status, outcome.output) == (0, "listening on port 80 as uid 65532\n")


def test_netbind_reports_the_capability_that_was_not_granted(netbind):
    outcome = netbind.run(bounding=[], args=ONCE)
    assert outcome.status == 1
    assert outcome.output == (
        "cannot bind port 80 as uid 65532: Permission denied\n"
        "missing capability CAP_NET_BIND_SERVICE: the container runtime did not grant it.\n"
        "  docker or podman: --cap-add=NET_BIND_SERVICE\n"
        '  Kubernetes: securityContext.capabilities.add: ["NET_BIND_SERVICE"]\n'
    )


def test_netbind_reports_no_new_privs(netbind):
    outcome = netbind.run(bounding=["CAP_NET_BIND_SERVICE"], no_new_privs=True, args=ONCE)
    assert outcome.status == 1
    assert "no_new_privs is set, which switches file capabilities off.\n" in outcome.output
    assert "  Kubernetes: securityContext.allowPrivilegeEscalation: true\n" in outcome.output


def test_bpf_agent_creates_a_map(bundle):
    outcome = bundle("bpf_agent/image").run(bounding=BPF_AGENT)
    assert outcome.status == 0, outcome.output
    assert outcome.output == (
        "CAP_NET_ADMIN: effective\nCAP_PERFMON: effective\nCAP_BPF: effective\nBPF map created as uid 65532\n"
    )


def test_bpf_agent_reports_the_capability_that_was_not_granted(bundle):
    outcome = bundle("bpf_agent/image").run(bounding=["CAP_BPF", "CAP_NET_ADMIN"])
    assert outcome.status == 1
    assert "missing capability CAP_PERFMON: the container runtime did not grant it.\n" in outcome.output
    assert "missing capability CAP_BPF" not in outcome.output


def test_the_effective_bpf_agent_need_not_raise_capabilities(bundle):
    outcome = bundle("bpf_agent/image_effective").run(bounding=BPF_AGENT)
    assert outcome.status == 0, outcome.output
    assert "BPF map created as uid 65532\n" in outcome.output


def test_the_effective_bpf_agent_does_not_start_without_a_granted_capability(bundle):
    outcome = bundle("bpf_agent/image_effective").run(bounding=["CAP_BPF", "CAP_NET_ADMIN"])
    assert outcome.status != 0
    assert "operation not permitted" in outcome.output


def test_variants_share_all_layers_except_that_of_the_binary():
    images = [pathlib.Path("examples/variants") / name for name in ("image", "image_unprivileged")]
    (pages, binary), (same, other) = (layouts.manifest(image)["layers"] for image in images)
    assert pages == same
    with_capabilities, without = (
        gzip.decompress(layouts.blob(image, layer)) for image, layer in zip(images, (binary, other), strict=True)
    )
    # The pax header of the binary is two blocks of 512 bytes: the header and its records.
    start = with_capabilities.index(b"app/PaxHeaders.0/server")
    assert with_capabilities[:start] + with_capabilities[start + 1024 :] == without
    assert b"SCHILY.xattr.security.capability=" in with_capabilities[start : start + 1024]


def test_the_variant_with_capabilities_needs_them_granted(bundle):
    image = bundle("variants/image")
    assert image.run(bounding=["CAP_NET_BIND_SERVICE"]) == (0, "listening on port 80\n")
    assert "operation not permitted" in image.run(bounding=[]).output


def test_the_variant_without_capabilities_needs_none_granted(bundle):
    assert bundle("variants/image_unprivileged").run(bounding=[], no_new_privs=True) == (0, "listening on port 8080\n")

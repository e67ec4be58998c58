"""The examples do what they say, and say what is missing, under the real kernel."""

from __future__ import annotations

import gzip
import pathlib

import pytest

from support import layout as layouts
from support.container import Bundle

BPF_AGENT = ["CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory):
    """A function from an example's image to its bundle."""

    def unpacked(image: str) -> Bundle:
        return Bundle(pathlib.Path("examples") / image, tmp_path_factory.mktemp("image"))

    return unpacked


@pytest.fixture(scope="module")
def netbind(bundle) -> Bundle:
    return bundle("netbind/image")


ONCE = ["/app/server", "--once"]


def test_netbind_binds_port_80_as_an_ordinary_user(netbind):
    outcome = netbind.run(bounding=["CAP_NET_BIND_SERVICE"], args=ONCE)
    assert (outcome.status, outcome.output) == (0, "listening on port 80 as uid 65532\n")


def test_a_tar_of_rules_pkg_with_capabilities(bundle):
    outcome = bundle("rules_pkg/image").run(bounding=["CAP_NET_BIND_SERVICE"], args=["/opt/netbind/server", "--once"])
    assert (outcome.status, outcome.output) == (0, "listening on port 80 as uid 65532\n")


def test_netbind_says_which_capability_the_runtime_must_grant(netbind):
    outcome = netbind.run(bounding=[], args=ONCE)
    assert outcome.status == 1
    assert outcome.output == (
        "cannot bind port 80 as uid 65532: Permission denied\n"
        "missing capability CAP_NET_BIND_SERVICE: the container runtime did not grant it.\n"
        "  docker or podman: --cap-add=NET_BIND_SERVICE\n"
        '  Kubernetes: securityContext.capabilities.add: ["NET_BIND_SERVICE"]\n'
    )


def test_netbind_says_that_no_new_privs_is_in_the_way(netbind):
    outcome = netbind.run(bounding=["CAP_NET_BIND_SERVICE"], no_new_privs=True, args=ONCE)
    assert outcome.status == 1
    assert "no_new_privs is set, which switches file capabilities off.\n" in outcome.output
    assert "  Kubernetes: securityContext.allowPrivilegeEscalation: true\n" in outcome.output


def test_bpf_agent_creates_a_map(bundle):
    outcome = bundle("bpf_agent/image").run(bounding=BPF_AGENT)
    assert outcome.status == 0, outcome.output
    assert outcome.output == (
        "CAP_NET_ADMIN: effective\n"
        "CAP_PERFMON: effective\n"
        "CAP_BPF: effective\n"
        "BPF map created as uid 65532\n"
    )


def test_bpf_agent_starts_without_a_grant_and_names_it(bundle):
    outcome = bundle("bpf_agent/image").run(bounding=["CAP_BPF", "CAP_NET_ADMIN"])
    assert outcome.status == 1
    assert "missing capability CAP_PERFMON: the container runtime did not grant it.\n" in outcome.output
    assert "missing capability CAP_BPF" not in outcome.output


def test_effective_bpf_agent_needs_no_code_of_its_own(bundle):
    outcome = bundle("bpf_agent/image_effective").run(bounding=BPF_AGENT)
    assert outcome.status == 0, outcome.output
    assert "BPF map created as uid 65532\n" in outcome.output


def test_effective_bpf_agent_does_not_start_without_a_grant(bundle):
    outcome = bundle("bpf_agent/image_effective").run(bounding=["CAP_BPF", "CAP_NET_ADMIN"])
    assert outcome.status != 0
    assert "operation not permitted" in outcome.output


def test_variants_share_all_layers_but_the_binarys():
    images = [pathlib.Path("examples/variants") / name for name in ("image", "image_unprivileged")]
    (pages, binary), (same, other) = (layouts.manifest(image)["layers"] for image in images)
    assert pages == same
    with_it, without = (gzip.decompress(layouts.blob(image, layer)) for image, layer in zip(images, (binary, other)))
    # The pax header of the binary: a header of a block, and its records in another.
    start = with_it.index(b"app/PaxHeaders.0/server")
    assert with_it[:start] + with_it[start + 1024 :] == without
    assert b"SCHILY.xattr.security.capability=" in with_it[start : start + 1024]


def test_the_variant_with_capabilities_needs_the_grant(bundle):
    image = bundle("variants/image")
    assert image.run(bounding=["CAP_NET_BIND_SERVICE"]) == (0, "listening on port 80\n")
    assert "operation not permitted" in image.run(bounding=[]).output


def test_the_variant_without_starts_where_nothing_is_granted(bundle):
    assert bundle("variants/image_unprivileged").run(bounding=[], no_new_privs=True) == (0, "listening on port 8080\n")

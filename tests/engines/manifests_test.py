"""A kubelet runs the pods that kubernetes_manifests writes, with images that image_push has pushed, as the check says."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
from collections.abc import Iterator

import pytest
import samples

from rules_setcap.capabilities import from_text
from support import kubelet as kubelets
from support import machine, require
from support import registry as registries

HERE = pathlib.Path("tests/engines").absolute()
PORT = 5000
IMAGES = ("effective", "index", "permitted")
ALL, NET_BIND_SERVICE = (from_text(f"{names}=p").permitted for names in ("cap_net_bind_service,cap_bpf", "cap_net_bind_service"))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[kubelets.Kubelet, registries.Registry]]:
    """Yields a kubelet, and a registry on its machine that has the images."""
    require.tool("crane")
    home = tmp_path_factory.mktemp("home")
    with machine.directory() as state:
        for name in ("kubelet", "registry"):
            (state / name).mkdir()
        with (
            kubelets.kubelet(state / "kubelet", samples.make_pause_image(state / "pause")) as kubelet,
            registries.serve_inside(state / "registry", kubelet.machine, PORT) as registry,
        ):
            for name in IMAGES:
                environment = {**os.environ, "HOME": str(home)}
                done = kubelet.machine.run([str(HERE / f"push_{name}")], env=environment, capture_output=True)
                assert done.returncode == 0, done.stderr
            yield kubelet, registry


def _read_sets(output: str) -> tuple[int, int]:
    """Returns the permitted and the effective set that a program has printed."""
    permitted, effective = (re.search(rf"^Cap{name}:\t([0-9a-f]+)$", output, re.MULTILINE) for name in ("Prm", "Eff"))
    assert permitted and effective, output
    return int(permitted[1], 16), int(effective[1], 16)


def _read_digests(manifest: str) -> dict[str, str]:
    """Returns the digest of each image in a manifest, by the name of its repository."""
    references = re.findall(
        rf"image: \"?localhost:{PORT}/team/([a-z]+)@(sha256:[0-9a-f]{{64}})\"?(?:  #.*)?$", manifest, re.MULTILINE
    )
    assert len(references) == manifest.count("image: ")
    return dict(references)


def test_pods_with_digests_get_the_capabilities_of_their_programs(running):
    kubelet, registry = running
    manifest = (HERE / "granted/manifests/granted.yaml").read_text()
    digests = _read_digests(manifest)
    assert sorted(digests) == sorted(IMAGES)
    outcomes = kubelet.run({"granted": manifest})["granted"]
    assert {name: (outcome.status, outcome.failure) for name, outcome in outcomes.items()} == dict.fromkeys(IMAGES, (0, "")), (
        outcomes
    )
    sets = {name: _read_sets(outcome.output) for name, outcome in outcomes.items()}
    assert sets == {"effective": (ALL, ALL), "index": (ALL, 0), "permitted": (ALL, 0)}
    # The manifest of "permitted" is one of the index, so containerd has it already.
    fetched = {digest for name in IMAGES for digest in registry.fetched_manifests(f"team/{name}")}
    assert set(digests.values()) <= fetched


def test_pods_that_the_check_refuses_lack_capabilities(running):
    kubelet, _ = running
    for name, finding in {
        "permitted": '"/app/probe" runs without cap_bpf: ',
        "effective": '"/app/probe" does not start ("operation not permitted"): ',
    }.items():
        done = subprocess.run([HERE / f"refused_{name}"], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert finding in done.stderr
    outcomes = kubelet.run({"refused": (HERE / "refused/manifests/refused.yaml").read_text()})["refused"]
    assert _read_sets(outcomes["permitted"].output) == (NET_BIND_SERVICE, 0)
    refused = outcomes["effective"]
    assert "operation not permitted" in refused.output + refused.failure
    assert "Cap" not in refused.output

"""A build of everything moves no layer from a remote executor or cache to this machine; a delivery moves each layer once."""

from __future__ import annotations

import os
import pathlib
import tempfile
from collections.abc import Iterator

import executor as executors
import pytest

from support import bazel, counting_proxy, http_cache
from support import layout as layouts
from support import registry as registries
from support.bazel import LAYOUTS, Workspace

BLOB = 8 << 20  # Bytes of each of the layers.
TIMEOUT = 300  # Seconds.
MODES = ["minimal", "toplevel"]
POD = """\
apiVersion: v1
kind: Pod
metadata: {name: program}
spec:
  containers:
    - name: program
      image: registry.example/program:1
      securityContext: {capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}}
"""


@pytest.fixture(scope="module")
def directory() -> Iterator[pathlib.Path]:
    """Yields a directory with a short path, for sockets, that the user of PostgreSQL can search."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        pathlib.Path(temporary).chmod(0o755)
        yield pathlib.Path(temporary)


@pytest.fixture(scope="module")
def proxy(directory: pathlib.Path) -> Iterator[counting_proxy.CountingProxy]:
    """Yields a proxy of a remote executor."""
    state = directory / "executor"
    state.mkdir()
    with (
        executors.run_executor(state, pathlib.Path(os.environ["BGD"]).absolute()) as executor,
        executor.add_reports(),
        counting_proxy.serve(executor.address) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def cache(directory: pathlib.Path) -> Iterator[http_cache.HttpCache]:
    """Yields an HTTP cache that has the results of all actions."""
    (directory / "cache").mkdir()
    with http_cache.serve(directory / "cache") as running:
        workspace = _make_workspace(directory / "filled")
        workspace.run("build", *running.flags, "//...", timeout=TIMEOUT)
        workspace.stop()
        yield running


def _make_workspace(directory: pathlib.Path) -> Workspace:
    made = Workspace(directory)
    made.write("BUILD.bazel", (pathlib.Path("tests/remote/consumer") / "BUILD.bytes").read_text())
    made.write("pod.yaml", POD)
    return made


def _list_layers(workspace: Workspace, image: str) -> dict[str, int]:
    """Returns the sizes of the layers of an image by digest, in hexadecimal. The layout must have been built."""
    return {layer["digest"][7:]: layer["size"] for layer in layouts.manifest(workspace.output(image))["layers"]}


@pytest.mark.parametrize("mode", MODES)
def test_a_build_on_a_remote_executor_receives_no_layer(mode, proxy, directory):
    flags = [f"--remote_executor=grpc://{proxy.address}", "--remote_default_exec_properties=OSFamily=linux"]
    flags.append(f"--remote_download_{mode}")
    workspace = _make_workspace(directory / f"remote-{mode}")
    try:
        before = proxy.bytes_received
        log = directory / f"{mode}.json"
        workspace.run("build", *flags, f"--execution_log_json_file={log}", "//...", timeout=TIMEOUT)
        received = proxy.bytes_received - before
        assert {
            action["mnemonic"]: action["runner"] for action in bazel.read_actions(log) if "remote" not in action["runner"]
        } == {}
        print(f"{mode}: bazel build //... has received {received:,} bytes")
        assert received < BLOB / 8

        before = proxy.bytes_received
        done = workspace.run("test", *flags, "--keep_going", "//...", check=False, timeout=TIMEOUT)
        assert done.returncode == 3, done.stderr  # Two reports are not empty.
        assert done.stdout.count(" FAILED in ") == 2, done.stdout
        assert proxy.bytes_received - before < BLOB / 8

        with tempfile.TemporaryDirectory() as state, registries.serve(pathlib.Path(state)) as registry:
            before = proxy.bytes_received
            workspace.run("run", *flags, "//:push_image", "--", "--repository", f"{registry.host}/image", timeout=TIMEOUT)
            received = proxy.bytes_received - before
            print(f"{mode}: bazel run //:push_image has received {received:,} bytes")
            assert 2 * BLOB < received < 2 * BLOB + BLOB / 8

            # The layers are here now.
            before = proxy.bytes_received
            workspace.run("run", *flags, "//:push_image", "--", "--repository", f"{registry.host}/again", timeout=TIMEOUT)
            assert proxy.bytes_received - before < BLOB / 8
    finally:
        workspace.stop()


@pytest.mark.parametrize("mode", MODES)
def test_a_build_with_a_cache_is_served_no_layer(mode, cache, directory):
    """On another machine, all results are in the cache."""
    flags = [*cache.flags, f"--remote_download_{mode}"]
    workspace = _make_workspace(directory / f"cached-{mode}")
    try:
        cache.reset()
        workspace.run("build", *flags, "//...", timeout=TIMEOUT)
        print(f"{mode}: bazel build //... was served {cache.bytes_served:,} bytes; {cache.hits} hits")
        assert (cache.misses, cache.bytes_served < BLOB / 8) == (0, True)

        with tempfile.TemporaryDirectory() as state, registries.serve(pathlib.Path(state)) as registry:
            run = ["run", *flags, "//:push_image", "--", "--repository", f"{registry.host}/image"]
            workspace.run(*run, timeout=TIMEOUT)
            workspace.run("build", *flags, LAYOUTS, "//:image", timeout=TIMEOUT)
            layers = _list_layers(workspace, "image")
            assert len(layers) == 2 and min(layers.values()) > BLOB
            assert {digest: cache.served[digest] for digest in layers} == dict.fromkeys(layers, 1)
            # The layers of the other images have not been served.
            assert cache.bytes_served < sum(layers.values()) + BLOB / 8

            # Bazel downloads equal outputs of other configurations again: those of the two platforms of the index.
            run = ["run", *flags, "//:push_index", "--", "--repository", f"{registry.host}/index"]
            workspace.run(*run, timeout=TIMEOUT)
            assert {digest: cache.served[digest] for digest in layers} == dict.fromkeys(layers, 1 + 2)
    finally:
        workspace.stop()


def test_a_release_of_an_index_is_served_each_layer_once(cache, directory):
    """The platforms of the index share their layers. The release has Bazel download one of the equal outputs."""
    flags = [*cache.flags, "--remote_download_minimal"]
    workspace = _make_workspace(directory / "released")
    try:
        cache.reset()
        with tempfile.TemporaryDirectory() as state, registries.serve(pathlib.Path(state)) as registry:
            prefix = ["--repository-prefix", f"{registry.host}/released"]
            workspace.run("run", *flags, "//:release", "--", *prefix, *workspace.list_release_flags(flags), timeout=TIMEOUT)
        served = dict(cache.served)
        workspace.run("build", *flags, LAYOUTS, "//:image", timeout=TIMEOUT)
        layers = _list_layers(workspace, "image")
        assert {digest: served.get(digest, 0) for digest in layers} == dict.fromkeys(layers, 1)
    finally:
        workspace.stop()

"""A capability_test that expects no capabilities fails for an image that hides some, and so does an image on top of it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from support.bazel import Workspace
from support.hidden import CAPABILITY, HIDDEN
from support.image import layout, tar

_HEAD = """\
load("@rules_setcap//rules:image.bzl", "image")
load("@rules_setcap//rules:test.bzl", "capability_test")
"""
_TARGETS = """
filegroup(name = "{name}", srcs = {srcs})

capability_test(name = "{name}_test", expected = {{}}, image = ":{name}")

image(name = "over_{name}", base = ":{name}", annotate_capabilities = True)
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    made = Workspace(tmp_path_factory.mktemp("hidden"))
    text = _HEAD
    for name, write in HIDDEN.items():
        path = write(made.directory / "images" / name)
        srcs = f'["images/{name}"]' if path.is_file() else f'glob(["images/{name}/**"])'
        text += _TARGETS.format(name=name, srcs=srcs)
    layout(made.directory / "images/open", tar(("/app", CAPABILITY, "file")))
    layout(made.directory / "images/plain", tar(("/app", None, "file")))
    for name in ("open", "plain"):
        text += _TARGETS.format(name=name, srcs=f'glob(["images/{name}/**"])')
    made.write("BUILD.bazel", text)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def results(workspace: Workspace) -> dict[str, str]:
    """Returns the result of each test, PASSED or FAILED."""
    done = workspace.run("test", "--keep_going", "//...", check=False)
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith("//:")]
    found = {words[0].removeprefix("//:"): words[1] for words in lines if words[0].endswith("_test")}
    assert len(found) == len(HIDDEN) + 2, done.stderr
    return found


def test_an_image_without_capabilities_passes(results):
    assert results["plain_test"] == "PASSED"


# Container engines do not read the record of libarchive.
@pytest.mark.parametrize("name", sorted(HIDDEN.keys() - {"record_of_libarchive"}))
def test_an_image_on_top_of_it_fails(results, workspace, name):
    """The build fails, or the test finds the capabilities of the base."""
    manifest = workspace.output(f"over_{name}.manifest.json")
    if manifest.exists():
        assert json.loads(manifest.read_bytes())["annotations"]["io.github.rules_setcap.capabilities"] != "{}"


@pytest.mark.parametrize("name", ["open", *HIDDEN])
def test_an_image_that_hides_capabilities_fails(results, name):
    assert results[f"{name}_test"] == "FAILED"

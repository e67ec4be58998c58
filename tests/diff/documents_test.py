"""image_diff compares configs, manifests and indexes as JSON."""

from __future__ import annotations

import hashlib
import json
import pathlib
import shutil
import time

import pytest
from diff_runs import BASE, NET, run  # noqa: F401 (run is a fixture)

from support.image import layout, tar


@pytest.mark.parametrize(("before", "after"), [(True, 1), (0, False), (1, 1.0), ({"a": [True]}, {"a": [1]})])
def test_values_that_are_equal_in_python_only_differ(tmp_path, run, before, after):
    result = run(layout(tmp_path / "a", BASE, Field=before), layout(tmp_path / "b", BASE, Field=after))
    assert result.verdict == "differs: config"


def test_long_lists_are_compared_in_little_time(tmp_path, run):
    count = 100_000
    first = layout(tmp_path / "a", BASE, Field=[0] * count)
    started = time.process_time()
    result = run(first, layout(tmp_path / "b", BASE, Field=[1] + [0] * (count - 3) + [1]))
    assert result.verdict == "differs: config"
    assert time.process_time() - started < 30


def test_items_that_are_added_to_a_list_are_the_only_changes(tmp_path, run):
    words = [str(number) for number in range(40)]
    first = layout(tmp_path / "a", BASE, Cmd=words)
    for position in (0, 1, 20, 39, 40):
        second = layout(tmp_path / f"b{position}", BASE, Cmd=[*words[:position], "new", *words[position:]])
        for images, values in (((first, second), 'none -> "new"'), ((second, first), '"new" -> none')):
            assert run(*images).output.endswith(f"\nconfig\n  config.Cmd[{position}]  {values}\n")
    second = layout(tmp_path / "c", BASE, Cmd=[*words[:3], "x", *words[4:30], *words[31:]])
    lines = run(first, second).output.splitlines()
    assert lines[-2:] == ['  config.Cmd[3]  "3" -> "x"', '  config.Cmd[30]  "30" -> none']


def _write_index(directory: pathlib.Path, *descriptors: dict[str, object], indent: int | None = None) -> pathlib.Path:
    """Writes an OCI layout whose only image index has images for descriptors with these further fields."""
    manifests = []
    for descriptor in descriptors:
        layout(directory / "image", tar(("/app", NET, str(descriptor["platform"]))))
        [image] = json.loads((directory / "image/index.json").read_bytes())["manifests"]
        manifests.append({**image, **descriptor})
        shutil.copytree(directory / "image", directory / "layout", dirs_exist_ok=True)
        shutil.rmtree(directory / "image")
    kind = "application/vnd.oci.image.index.v1+json"
    index = json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": manifests}, indent=indent).encode()
    digest = hashlib.sha256(index).hexdigest()
    (directory / "layout/blobs/sha256" / digest).write_bytes(index)
    top = {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(index)}
    (directory / "layout/index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [top]}))
    return directory / "layout"


def test_every_difference_of_indexes_is_reported(tmp_path, run):
    one, two = ({"platform": {"os": "linux", "architecture": architecture}} for architecture in ("amd64", "arm64"))
    first = _write_index(tmp_path / "a", one, two)
    result = run(first, _write_index(tmp_path / "b", two, one))
    assert result.verdict == "differs: index"
    assert '    manifests  ["linux/amd64", "linux/arm64"] -> ["linux/arm64", "linux/amd64"]\n' in result.output
    result = run(first, _write_index(tmp_path / "c", one, {**two, "annotations": {"a": "b"}}))
    assert result.verdict == "differs: index"
    assert '    + manifests["linux/arm64"].annotations  {"a": "b"}\n' in result.output
    result = run(first, _write_index(tmp_path / "d", one, two, indent=1))
    assert result.verdict == "differs: encoding"
    assert run(first, _write_index(tmp_path / "e", one, two)).verdict == "same"


def test_a_platform_that_is_not_text_is_that_of_the_config(tmp_path, run):
    paths = [
        _write_index(tmp_path / str(number), {"platform": platform})
        for number, platform in enumerate(
            [{"os": 5, "architecture": ["x"]}, {"os": "linux", "architecture": "amd64", "variant": 7}]
        )
    ]
    result = run(*paths)
    assert result.status == 1, result.errors

"""Manifests are divided so that each image has all those that may name it."""

from __future__ import annotations

import json
import pathlib
import random

import pytest
from random_manifests import IMAGES, NAMES, draw_file

from rules_setcap.containers.kubernetes import find_containers_of_image, find_mentions, parse_manifest
from rules_setcap.image_tests import manifest_bundles

APP, OTHER = "registry.example/team/app:v1", "registry.example:5000/other"


def _divide(text: str, *names: str) -> list[bool]:
    """Returns for each name whether its bundle has a manifest of a text."""
    return [bool(bundle) for bundle in manifest_bundles.divide_manifests(names or [APP, OTHER], {"a.yaml": text})]


@pytest.mark.parametrize(
    "text, expected",
    [
        ("image: registry.example/team/app", [True, False]),
        ("image: 'registry.example/team/app:v2'", [True, False]),
        ("{image: registry.example/team/app@sha256:00}", [True, False]),
        ('{"image": "registry.example\\/team\\/app", "b": "\\n"}', [True, False]),
        ("# other", [False, True]),
        ("image: registry.example/team/application", [False, False]),
        ("image: registry.example/team/my-app", [False, False]),
        ('image: "registry.example/team/\\x61pp"', [True, True]),
        ('image: "registry.example/team/a\\\n  pp"', [True, True]),
        ('image: "registry.example/team/a\\ \r\n  pp"', [True, True]),
        ("", [False, False]),
    ],
)
def test_a_manifest_belongs_to_the_images_that_it_may_name(text: str, expected: list[bool]):
    assert _divide(text) == expected


def test_a_manifest_belongs_to_names_that_are_not_valid():
    """Other messages say what is wrong with them."""
    assert _divide("a: 1", "Registry.example/APP", "ko://", "ko://example.com/cmd/agent") == [True, True, False]
    assert _divide("image: ko://example.com/cmd/agent", "ko://example.com/cmd/agent", APP) == [True, False]


def test_random_manifests_belong_to_all_images_that_they_name():
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    generator = random.Random(seed)
    texts = {f"{number}.yaml": draw_file(generator)[0] for number in range(150)}
    names = list(dict.fromkeys([*NAMES, *(image.name for image in IMAGES)]))
    left_out = 0
    for name, bundle in zip(names, manifest_bundles.divide_manifests(names, texts), strict=True):
        for path in texts.keys() - bundle.keys():
            left_out += 1
            manifest = parse_manifest(texts[path].encode(), path, placeholders=names)
            assert find_containers_of_image(manifest.pods, name) == [], f"seed {seed}"
            assert list(find_mentions(manifest, name)) == [], f"seed {seed}"
    assert left_out > 0


def test_bundles_are_written_and_read(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]):
    """A manifest that is not UTF-8 is left out: the action that writes the digests reports it."""
    contents = {"a.yaml": "image: app  # é\r\n".encode(), "b.yaml": b"image: other", "c.yaml": b"image: app \xff"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    flags = [f"--manifest={tmp_path}/{name}" for name in contents]
    flags += [f"--name={name}" for name in ("app", "other")] + [f"--bundle={tmp_path}/{number}.json" for number in range(2)]
    (tmp_path / "flags").write_text("\n".join(flags))
    assert manifest_bundles.main([f"@{tmp_path}/flags"]) == 0
    bundles = [manifest_bundles.read_bundle(f"{tmp_path}/{number}.json") for number in range(2)]
    assert bundles == [{f"{tmp_path}/a.yaml": contents["a.yaml"]}, {f"{tmp_path}/b.yaml": contents["b.yaml"]}]
    assert json.loads((tmp_path / "1.json").read_text()) == {f"{tmp_path}/b.yaml": "image: other"}
    assert manifest_bundles.main([*flags, f"--manifest={tmp_path}/missing"]) == 1
    assert capsys.readouterr().err == f"{tmp_path}/missing: No such file or directory\n"

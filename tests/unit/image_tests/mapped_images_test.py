"""The attribute `images` is checked, and the digest of every form of image is read."""

from __future__ import annotations

import hashlib
import json
import pathlib
import tarfile

import pytest

from rules_setcap.diagnostics.problems import Problems
from rules_setcap.image_tests.mapped_images import Mapping, check_names, read_image
from support.image import layout, tar

APP = "registry.example/app"


@pytest.mark.parametrize(
    "names, expected",
    [
        ([APP, "registry.example/app2", "registry.example:5000/app", "ko://example.com/app"], []),
        ([f"{APP}:v1", f"{APP}:v2", f"{APP}@sha256:{'0' * 64}"], []),
        (["ko://", "ko://a b"], ['"ko://": not a ko:// reference; write ko:// and an import path'] * 2),
        (["Registry.example/APP"], ['"Registry.example/APP": invalid image name; write it as registry.example/path:tag, in lower case']),
        ([APP, f"{APP}:v1"], [f'"{APP}:v1": names images that "{APP}" names too; give both a tag, or leave one out']),
        ([f"{APP}:v1", APP], [f'"{APP}": names images that "{APP}:v1" names too; give both a tag, or leave one out']),
        (["app", "docker.io/library/app"], ['"docker.io/library/app": names images that "app" names too; give both a tag, or leave one out']),
    ],
)  # fmt: skip
def test_names_are_valid_and_name_different_images(names: list[str], expected: list[str]):
    problems = Problems()
    check_names(names, problems)
    assert [text.replace("ko://a b", "ko://") for text in problems] == [f"images: {text}" for text in expected]


@pytest.fixture
def image(tmp_path: pathlib.Path) -> tuple[pathlib.Path, str]:
    """Returns an OCI layout directory, and the digest of its image."""
    path = layout(tmp_path / "image", tar(("/file", None, "x")))
    return path, json.loads((path / "index.json").read_text())["manifests"][0]["digest"]


def _read(mapping: Mapping) -> tuple[str, str, list[str]]:
    problems = Problems()
    image = read_image(mapping, problems)
    return image.repository, image.digest, list(problems)


def test_the_digest_of_a_layout_is_that_of_its_archive(tmp_path: pathlib.Path, image: tuple[pathlib.Path, str]):
    path, digest = image
    assert hashlib.sha256((path / "blobs/sha256" / digest[7:]).read_bytes()).hexdigest() == digest[7:]
    with tarfile.open(tmp_path / "image.tar", "w") as archive:
        archive.add(path, "")
    for form in (path, path / "index.json", tmp_path / "image.tar"):
        assert _read(Mapping(f"{APP}:1", "//:image", layout=str(form))) == (APP, digest, [])


def test_the_repository_is_that_of_the_push(tmp_path: pathlib.Path):
    descriptor, destination = tmp_path / "descriptor.json", tmp_path / "destination.json"
    descriptor.write_text('{"digest": "sha256:00"}')
    destination.write_text('{"repository": "registry.example/team/app", "tags": []}')
    mapping = Mapping(APP, "//:push", descriptor=str(descriptor), destination=str(destination))
    assert _read(mapping) == ("registry.example/team/app", "sha256:00", [])
    destination.write_text('{"repository": "", "tags": []}')
    assert _read(mapping)[2] == [f'images: "{APP}": //:push has no repository; set its attribute repository']


@pytest.mark.parametrize(
    "name, problem",
    [
        ("ko://example.com/app", "//:image has no repository; give an image_push of it"),
        ("app", "names no registry; write its host first, as host/path or host:port/path; or give an image_push of //:image"),
    ],
)
def test_an_image_without_a_push_needs_a_key_with_a_registry(image: tuple[pathlib.Path, str], name: str, problem: str):
    assert _read(Mapping(name, "//:image", layout=str(image[0])))[2] == [f'images: "{name}": {problem}']


def test_a_damaged_image_is_a_problem_with_its_label(tmp_path: pathlib.Path):
    for name, data in {"empty": b"", "text": b"x" * 2000}.items():
        (tmp_path / name).write_bytes(data)
        repository, digest, problems = _read(Mapping(APP, "//:image", layout=str(tmp_path / name)))
        assert (repository, digest, len(problems)) == (APP, "", 1)
        assert problems[0].startswith('images: "//:image": ')
    (tmp_path / "directory").mkdir()
    (problem,) = _read(Mapping(APP, "//:image", layout=str(tmp_path / "directory")))[2]
    assert problem.startswith('images: "//:image": ')

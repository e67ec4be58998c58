"""Helm and Kustomize read the digests of the images."""

from __future__ import annotations

import pytest
import yaml

from rules_setcap.diagnostics.problems import Problems
from rules_setcap.image_tests.mapped_images import MappedImage
from rules_setcap.image_tests.value_files import format_helm_values, format_kustomization

DIGEST = "sha256:" + "1" * 64
APP = MappedImage("registry.example/app:v1", "registry.example/team/app", DIGEST)
KO = MappedImage("ko://example.com/agent", "[::1]:5000/agent", "sha256:" + "2" * 64)


def _format(paths_by_name: dict[str, list[str]]) -> tuple[str, list[str]]:
    problems = Problems()
    return format_helm_values([APP, KO], paths_by_name, problems).decode(), list(problems)


def test_values_have_the_paths_of_the_attribute():
    text, problems = _format({APP.name: ["image", "server.on.sidecar-image"], KO.name: ["server.image"]})
    assert problems == []
    assert yaml.safe_load(text) == {
        "image": {"repository": APP.repository, "digest": DIGEST},
        "server": {
            "on": {"sidecar-image": {"repository": APP.repository, "digest": DIGEST}},
            "image": {"repository": KO.repository, "digest": KO.digest},
        },
    }
    assert text.startswith('image:\n  repository: "registry.example/team/app"\n  digest: "sha256:1')


def test_values_are_by_key_by_default():
    assert yaml.safe_load(_format({})[0]) == {
        "images": {image.name: {"repository": image.repository, "digest": image.digest} for image in (APP, KO)}
    }


@pytest.mark.parametrize(
    "paths, expected",
    [
        ({"registry.example/app:v2": ["image"]}, '"registry.example/app:v2": not a key of images; did you mean "registry.example/app:v1"?'),
        ({APP.name: ["a..b"]}, '"a..b": not a path of values; write names of letters, digits, _ and - with dots between them, such as server.image'),
        ({APP.name: ["images[0]"]}, '"images[0]": not a path of values; write names of letters, digits, _ and - with dots between them, such as server.image'),
        ({APP.name: ["image"], KO.name: ["image"]}, '"image": "image.repository" is a value of "registry.example/app:v1" too; give each image its own path'),
        ({APP.name: ["image"], KO.name: ["image.digest"]}, '"image.digest": "image.digest.repository" is a value of "registry.example/app:v1" too; give each image its own path'),
        ({APP.name: ["image.digest"], KO.name: ["image"]}, '"image": "image.digest" has values of another image; give each image its own path'),
    ],
)  # fmt: skip
def test_wrong_paths_are_problems(paths: dict[str, list[str]], expected: str):
    assert _format(paths)[1] == [f"helm_values: {expected}"]


def test_the_kustomization_is_a_component_with_all_images():
    assert yaml.safe_load(format_kustomization([APP, KO])) == {
        "apiVersion": "kustomize.config.k8s.io/v1alpha1",
        "kind": "Component",
        "images": [{"name": image.name, "newName": image.repository, "digest": image.digest} for image in (APP, KO)],
    }

"""Images of manifests get their digests wherever pods have them, and nothing else changes."""

from __future__ import annotations

import pathlib
import random
import re

import pytest
import yaml
from random_manifests import APP, DIGEST, IMAGES, KO, OTHER_DIGEST, draw_file

from rules_setcap.diagnostics.problems import Problems
from rules_setcap.image_tests.mapped_images import ImageMap, MappedImage
from rules_setcap.image_tests.resolved_manifests import ManifestResolver


def _resolve(directory: pathlib.Path, *texts: str, images=(APP,), **options: object) -> tuple[list[str], list[str]]:
    """Resolves manifests, whose files are called 0.yaml, 1.yaml and so on.

    Returns:
      The resolved manifests, and the problems, in which the directory is left out.
    """
    paths = [directory / f"{number}.yaml" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_bytes(text.encode())
    problems = Problems()
    resolver = ManifestResolver(ImageMap(images), problems, **options)
    resolved = resolver.resolve_files([str(path) for path in paths])
    return [data.decode() for data in resolved], [text.replace(f"{directory}/", "") for text in problems]


POD = "{apiVersion: v1, kind: Pod, metadata: {name: x}, spec: {containers: [{name: x, image: IMAGE}]}}"


@pytest.mark.parametrize(
    "image, expected",
    [
        ("registry.example/app", APP),
        ("registry.example/app:1.0", APP),
        (f"registry.example/app@{OTHER_DIGEST}", APP),
        (f"'registry.example/app:1.0@{OTHER_DIGEST}'", APP),
        ("ko://example.com/cmd/agent", KO),
        ("registry.example/apple", None),
        ("registry.example/app/sidecar", None),
        ("registry.example:5000/app", None),
        ("app", None),
    ],
)
def test_an_image_is_found_by_its_name(tmp_path: pathlib.Path, image: str, expected: MappedImage | None):
    manifest = POD.replace("IMAGE", image)
    everything = POD.replace("IMAGE", APP.name) + "\n---\n" + POD.replace("IMAGE", KO.name)
    (resolved, _), problems = _resolve(tmp_path, manifest, everything, images=IMAGES)
    assert problems == []
    assert resolved == (manifest.replace(image.strip("'"), expected.reference) if expected else manifest)


@pytest.mark.parametrize(
    "name, image, is_found",
    [
        ("registry.example/app:v1", "registry.example/app:v1", True),
        ("registry.example/app:v1", "registry.example/app:v2", False),
        ("registry.example/app:latest", "registry.example/app", True),
        ("app", "docker.io/library/app:1", True),
        (f"registry.example/app@{DIGEST}", f"registry.example/app:1@{DIGEST}", True),
        (f"registry.example/app@{DIGEST}", f"registry.example/app@{OTHER_DIGEST}", False),
    ],
)
def test_the_tag_and_the_digest_of_a_key_are_compared(tmp_path: pathlib.Path, name: str, image: str, is_found: bool):
    mapped = MappedImage(name, "registry.example/new", OTHER_DIGEST)
    (resolved,), problems = _resolve(tmp_path, POD.replace("IMAGE", image), images=[mapped])
    assert (mapped.reference in resolved, not problems) == (is_found, is_found)


def test_every_kind_of_container_and_volume_is_found(tmp_path: pathlib.Path):
    manifest = """\
kind: List
apiVersion: v1
items:
  - apiVersion: batch/v1
    kind: CronJob
    metadata: {name: x, annotations: {image: registry.example/app}}
    spec:
      jobTemplate:
        spec:
          template:
            spec:
              initContainers: [{name: a, image: registry.example/app}]   # registry.example/app
              containers: [{name: b, image: 'registry.example/app', env: [{name: IMAGE, value: registry.example/app}]}]
              ephemeralContainers: [{name: c, image: "registry.example/app"}]
              volumes: [{name: v, image: {reference: registry.example/app}}]
---
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: x}
spec: {template: {spec: {containers: [{name: d, image: registry.example/app:1}, {image: $(OTHER)}]}}}
---
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: x}
spec:
  image: nginx
  templates: [{name: e, container: {image: registry.example/app, command: [registry.example/app]}, script: {image: [x]}}]
  volumes: [{name: f, image: {pullPolicy: Always, reference: registry.example/app}}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: x}
data: {image: registry.example/app}
"""
    marked = manifest
    for before in (
        "name: a, image: ",
        "b, image: '",
        'c, image: "',
        "v, image: {reference: ",
        "Always, reference: ",
        "d, image: ",
        "container: {image: ",
    ):
        text = before + "registry.example/app" + (":1" if before.startswith("d") else "")
        assert marked.count(text) == 1
        marked = marked.replace(text, before + APP.reference)
    resolved, problems = _resolve(tmp_path, manifest)
    assert (resolved, problems) == ([marked], [])


def test_escapes_of_json_stay(tmp_path: pathlib.Path):
    r"""PHP writes `\/`, Python pairs of surrogates."""
    annotations = r'{"a": "\ud83d\ude00 \\ud83d\\ude00 \u00e9", "b": "\/"}'
    manifest = (
        f'{{"kind": "Pod", "apiVersion": "v1", "metadata": {{"annotations": {annotations}, "name": "x"}},\n'
        r' "spec": {"containers": [{"name": "\u0061", "image": "registry.example\/app:1"}]}}'
    )
    (resolved,), problems = _resolve(tmp_path, manifest)
    assert (resolved, problems) == (manifest.replace(r"registry.example\/app:1", APP.reference), [])


def test_an_alias_is_replaced_where_its_value_is_written(tmp_path: pathlib.Path):
    manifest = """\
apiVersion: v1
kind: Pod
metadata: {name: x, annotations: {image: &image registry.example/app}}
spec:
  containers:
    - &first {name: a, image: *image}
    - {<<: *first, name: b}
    - {<<: *first, name: c, image: nginx}
    - {name: d, image: *image}
"""
    (resolved,), problems = _resolve(tmp_path, manifest)
    assert problems == []
    assert resolved == manifest.replace(APP.name, APP.reference)
    containers = yaml.safe_load(resolved)["spec"]["containers"]
    assert [container["image"] for container in containers] == [APP.reference, APP.reference, "nginx", APP.reference]


def test_problems_of_all_files_are_reported_at_once(tmp_path: pathlib.Path):
    problems = _resolve(
        tmp_path,
        POD.replace("IMAGE", "'registry.example/app:'"),
        "a: [",
        POD.replace("IMAGE", "ko://example.com/other"),
        POD.replace("kind: Pod", "kind: Pud"),
        POD.replace("IMAGE", "'registry.example/app:{{ .Values.tag }}'"),
        POD.replace("IMAGE", "'${REGISTRY}/app'"),
        POD.replace("IMAGE", APP.name) + "\n---\napiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n",
    )[1]
    assert problems == [
        '0.yaml:1: spec.containers[0].image: "registry.example/app:": invalid image name: "" is not a tag',
        "1.yaml:2: invalid YAML: did not find expected node content",
        '2.yaml:1: spec.containers[0].image: "ko://example.com/other": a placeholder that ko resolve replaces; it must be '
        "replaced by a name such as registry.example/path:tag first",
        '3.yaml:1: kind: "Pud": unknown kind; did you mean "Pod"?',
        '4.yaml:1: spec.containers[0].image: "registry.example/app:{{ .Values.tag }}": invalid image name: "{{ .Values.tag }}" '
        "is not a tag; if this is a template, render it first, for instance with helm template",
        '5.yaml:1: spec.containers[0].image: "${REGISTRY}/app": invalid image name; '
        "write it as registry.example/path:tag, in lower case; if another program replaces the variable, give its output",
        '6.yaml:4: kind: "Kustomization": a file for Kustomize, which clusters do not have; give what kustomize build prints',
    ]


@pytest.mark.parametrize(
    "image, what",
    [
        ("registry.example/ap:1", 'did you mean "registry.example/ap:1"?'),
        ("nginx", 'they run "nginx"'),
    ],
)
def test_a_key_that_names_no_image_is_a_problem(tmp_path: pathlib.Path, image: str, what: str):
    separator = "; "
    assert _resolve(tmp_path, POD.replace("IMAGE", image))[1] == [
        f'images: "registry.example/app": no container of the manifests runs it{separator}{what}'
    ]


_MANIFESTS = sorted(pathlib.Path("tests/unit/containers/kubernetes/manifests").iterdir())
_IMAGE_LINE = re.compile(r"^( *(?:- )?image: )([^ :@#\n]*(?::[0-9]+/[^ :@#\n]*)?)([^ #\n]*)", re.MULTILINE)


@pytest.mark.parametrize("path", _MANIFESTS, ids=lambda path: path.stem)
def test_real_manifests_change_in_their_lines_of_images(tmp_path: pathlib.Path, path: pathlib.Path):
    text = path.read_text()
    names = {match[2] for match in _IMAGE_LINE.finditer(text)}
    assert names
    images = [MappedImage(name, f"registry.example/new/{name.rpartition('/')[2]}", DIGEST) for name in sorted(names)]
    references = {image.name: image.reference for image in images}
    expected = _IMAGE_LINE.sub(lambda match: match[1] + references[match[2]], text)
    assert _resolve(tmp_path, text, images=images, digests_required=True) == ([expected], [])


def test_a_hostile_manifest_is_refused(tmp_path: pathlib.Path):
    """Aliases of aliases of containers."""
    lines = [f"a0: &a0 {POD}"] + [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    (problem,) = _resolve(tmp_path, "\n".join(lines))[1]
    assert problem == "0.yaml:7: too many values, with aliases written out (limit YAML_VALUES: 2000000)"


def test_without_manifests_no_key_is_missing(tmp_path: pathlib.Path):
    assert _resolve(tmp_path) == ([], [])


def test_other_images_need_digests_if_that_is_required(tmp_path: pathlib.Path):
    manifests = [POD.replace("IMAGE", image) for image in (APP.name, "nginx:1", f"nginx:1@{DIGEST}")]
    assert _resolve(tmp_path, *manifests)[1] == []
    assert _resolve(tmp_path, *manifests, digests_required=True)[1] == [
        '1.yaml:1: spec.containers[0].image: "nginx:1": has no digest; write one, or name the image in images'
    ]


def test_random_manifests_change_in_nothing_else(tmp_path: pathlib.Path):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    generator = random.Random(seed)
    first = POD.replace("IMAGE", APP.name) + "\n---\n" + POD.replace("IMAGE", KO.name) + "\n"
    for _ in range(150):
        before, after = draw_file(generator)
        (_, resolved), problems = _resolve(tmp_path, first, before, images=IMAGES)
        assert problems == [], f"seed {seed}"
        assert resolved == after, f"seed {seed}"
        assert before.count("\n") == after.count("\n")

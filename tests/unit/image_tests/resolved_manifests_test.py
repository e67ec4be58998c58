"""Images of manifests get their digests wherever pods have them, and nothing else changes."""

from __future__ import annotations

import json
import pathlib
import random
import re

import pytest
import yaml

from rules_setcap.diagnostics.problems import Problems
from rules_setcap.image_tests.mapped_images import ImageMap, MappedImage
from rules_setcap.image_tests.resolved_manifests import ManifestResolver, join_manifests

DIGEST = "sha256:" + "1" * 64
OTHER_DIGEST = "sha256:" + "2" * 64
APP = MappedImage("registry.example/app", "registry.example/team/app", DIGEST)
KO = MappedImage("ko://example.com/cmd/agent", "registry.example/agent", OTHER_DIGEST)
IMAGES = (APP, KO)


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
---
apiVersion: v1
kind: ConfigMap
metadata: {name: x}
data: {image: registry.example/app}
"""
    marked = manifest
    for before in ("name: a, image: ", "b, image: '", 'c, image: "', "reference: ", "d, image: ", "container: {image: "):
        text = before + "registry.example/app" + (":1" if before.startswith("d") else "")
        assert marked.count(text) == 1
        marked = marked.replace(text, before + APP.reference)
    resolved, problems = _resolve(tmp_path, manifest)
    assert (resolved, problems) == ([marked], [])


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
    )[1]
    assert problems == [
        '0.yaml:1: spec.containers[0].image: "registry.example/app:": invalid image name: "" is not a tag',
        "1.yaml:2: invalid YAML: did not find expected node content",
        '2.yaml:1: spec.containers[0].image: "ko://example.com/other": a placeholder that ko resolve replaces; it must be '
        "replaced by a name such as registry.example/path:tag first",
        '3.yaml:1: kind: "Pud": unknown kind; did you mean "Pod"?',
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


def test_joined_manifests_are_the_same_documents():
    parts = [
        "\ufeffa: 1",
        "---\nb: 1\n---\nc: 1\n",
        "# comment\n\n--- # x\nd: 1\n...\n",
        '{"e": 1}',
        "%YAML 1.1\n---\nf: 1\r\n",
        "%TAG ! tag:x,2000:\n---\ng: 1\r\n...\r\n",
        "h: |+\n  1\n\n",
    ]
    for first in range(len(parts)):
        order = parts[first:] + parts[:first]
        joined = join_manifests(part.encode() for part in order)
        expected = [document for part in order for document in yaml.safe_load_all(part.removeprefix("\ufeff"))]
        assert [document for document in yaml.safe_load_all(joined) if document is not None] == expected
        assert joined.count("\ufeff".encode()) == 0
    assert join_manifests([]) == b""


SEED = random.randrange(1 << 32)
NAMES = [
    *("registry.example/app", "registry.example/app:v1.2", f"registry.example/app@{OTHER_DIGEST}", "ko://example.com/cmd/agent"),
    *("registry.example/application", "nginx", "docker.io/library/redis:7", f"other.example/app:1@{DIGEST}"),
]
TEMPLATES = {
    "Pod": ("v1", "{POD}"),
    "Deployment": ("apps/v1", "{spec: {replicas: 2, template: {POD}}}"),
    "CronJob": ("batch/v1", "{spec: {jobTemplate: {spec: {template: {POD}}}}}"),
    "Rollout": ("argoproj.io/v1alpha1", "{spec: {template: {POD}}}"),
    "Kanister": ("example.com/v1", "{spec: {phases: [{name: x, podOverride: {POD}}]}}"),
    "Service": ("v1", "{}"),
}


class _Image(str):
    """An image of a container, as opposed to the same text elsewhere."""


def _make_object(generator: random.Random) -> object:
    """Returns a random object, in which the images of containers are _Image."""

    def pick() -> str:
        return generator.choice(NAMES)

    def make_container(number: int) -> dict[str, object]:
        members: list[tuple[str, object]] = [
            ("name", f"c{number}"),
            ("image", _Image(pick())),
            ("args", ["--image", pick()]),
            ("env", [{"name": "IMAGE", "value": pick()}]),
        ]
        generator.shuffle(members)
        return dict(members)

    def make_spec() -> dict[str, object]:
        sections = {"containers": [make_container(number) for number in range(generator.randint(1, 3))]}
        if generator.random() < 0.4:
            sections["initContainers"] = [make_container(7)]
        if generator.random() < 0.2:
            sections["ephemeralContainers"] = [make_container(8)]
        return dict(generator.sample(sorted(sections.items()), len(sections)))

    kind = generator.choice(list(TEMPLATES))
    version, template = TEMPLATES[kind]
    pod = {"metadata": {"annotations": {"image": pick()}}, "spec": make_spec()}

    def fill(value: object) -> object:
        if isinstance(value, dict):
            return {key: fill(member) for key, member in value.items()}
        if isinstance(value, list):
            return [fill(member) for member in value]
        return pod if value == "POD" else value

    top = fill(yaml.safe_load(template.replace("{POD}", "POD")))
    assert isinstance(top, dict)
    members = {**top, "apiVersion": version, "kind": kind, "metadata": {"name": "x", "labels": {"image": pick()}}}
    return dict(generator.sample(sorted(members.items()), len(members)))


class _Style:
    """Writes a value as YAML in random styles."""

    def __init__(self, generator: random.Random, *, is_json: bool, is_resolved: bool) -> None:
        self._random = generator
        self._is_json = is_json
        self._is_resolved = is_resolved

    def write(self, value: object, indent: str = "", *, is_flow: bool = False) -> str:
        """Returns a value, which begins after a key or a dash; it ends with a line feed unless it is in a flow."""
        is_flow = is_flow or self._is_json or self._random.random() < 0.15
        if isinstance(value, (dict, list)) and value and not is_flow:
            lines = []
            for key, member in value.items() if isinstance(value, dict) else ((None, item) for item in value):
                comment = self._random.choice(["", "", "", f"{indent}# image: {NAMES[0]}\n", "\n"])
                head = "-" if key is None else f"{key}:"
                text = self.write(member, indent + "  ")
                lines.append(f"{comment}{indent}{head}{text}")
            return "\n" + "".join(lines)
        text = self._write_flow(value)
        comment = "" if self._is_json else self._random.choice(["", "", "  # registry.example/app"])
        return f" {text}{comment}\n"

    def _write_flow(self, value: object) -> str:
        space = self._random.choice(["", " ", "  "])
        if isinstance(value, dict):
            return (
                "{"
                + f",{space or ' '}".join(f'"{key}":{space or " "}{self._write_flow(member)}' for key, member in value.items())
                + "}"
            )
        if isinstance(value, list):
            return f"[{space}" + f"{space},{space or ' '}".join(map(self._write_flow, value)) + "]"
        if not isinstance(value, str):
            return json.dumps(value)
        mapped = next((image for image in IMAGES if value.partition("@")[0].removesuffix(":v1.2") == image.name), None)
        text = mapped.reference if mapped and isinstance(value, _Image) and self._is_resolved else str(value)
        quote = self._random.choice(['"'] if self._is_json else ["", "'", '"'])
        return quote + text + quote


def test_random_manifests_change_in_nothing_else(tmp_path: pathlib.Path):
    print(f"seed {SEED}")
    generator = random.Random(SEED)
    first = POD.replace("IMAGE", APP.name) + "\n---\n" + POD.replace("IMAGE", KO.name) + "\n"
    for _ in range(150):
        objects = [_make_object(generator) for _ in range(generator.randint(1, 4))]
        is_json = generator.random() < 0.2
        if is_json:
            objects = [{"apiVersion": "v1", "kind": "List", "items": objects}]
        seed, newline = generator.random(), generator.choice(["\n", "\r\n"])
        before, after = (
            "".join("---" + _Style(styles, is_json=is_json, is_resolved=is_resolved).write(each) for each in objects)
            for is_resolved, styles in ((False, random.Random(seed)), (True, random.Random(seed)))
        )
        before, after = (text.replace("---", "", 1) if is_json else text for text in (before, after))
        before, after = (text.replace("\n", newline) for text in (before, after))
        (_, resolved), problems = _resolve(tmp_path, first, before, images=IMAGES)
        assert problems == [], f"seed {SEED}"
        assert resolved == after, f"seed {SEED}"
        assert before.count("\n") == after.count("\n")

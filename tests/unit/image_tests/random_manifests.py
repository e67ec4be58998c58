"""Draws manifests at random, in every style of YAML and JSON, as they are and as they are to be with digests."""

from __future__ import annotations

import json
import random

import yaml

from rules_setcap.image_tests.mapped_images import MappedImage

DIGEST = "sha256:" + "1" * 64
OTHER_DIGEST = "sha256:" + "2" * 64
APP = MappedImage("registry.example/app", "registry.example/team/app", DIGEST)
KO = MappedImage("ko://example.com/cmd/agent", "registry.example/agent", OTHER_DIGEST)
IMAGES = (APP, KO)
NAMES = [
    *("registry.example/app", "registry.example/app:v1.2", f"registry.example/app@{OTHER_DIGEST}", "ko://example.com/cmd/agent"),
    *("registry.example/application", "nginx", "docker.io/library/redis:7", f"other.example/app:1@{DIGEST}"),
]
NOTE = "\U0001f600 a/b"
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


def _draw_object(generator: random.Random) -> object:
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
    members = {
        **top,
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": "x", "labels": {"image": pick()}, "annotations": {"note": NOTE}},
    }
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
        quote = self._random.choice(['"'] if self._is_json else ["", "'", '"'])
        is_escaped = self._is_json and self._random.random() < 0.3
        if mapped and isinstance(value, _Image) and self._is_resolved:
            return quote + mapped.reference + quote
        if is_escaped:
            return json.dumps(value).replace("/", "\\/")
        return quote + value + quote


def draw_file(generator: random.Random) -> tuple[str, str]:
    """Returns a random file, without and with the digests of IMAGES.

    Args:
      generator: the source of chance.
    """
    objects = [_draw_object(generator) for _ in range(generator.randint(1, 4))]
    is_json = generator.random() < 0.2
    if is_json:
        objects = [{"apiVersion": "v1", "kind": "List", "items": objects}]
    seed, newline = generator.random(), generator.choice(["\n", "\r\n"])
    before, after = (
        "".join("---" + _Style(styles, is_json=is_json, is_resolved=is_resolved).write(each) for each in objects)
        for is_resolved, styles in ((False, random.Random(seed)), (True, random.Random(seed)))
    )
    before, after = (text.replace("---", "", 1) if is_json else text for text in (before, after))
    return before.replace("\n", newline), after.replace("\n", newline)

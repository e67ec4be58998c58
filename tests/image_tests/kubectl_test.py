"""The real kubectl reads what kubernetes_manifests writes and prints: objects that differ only in the images of their containers."""

from __future__ import annotations

import json
import pathlib
import random
import subprocess
from typing import Any

import pytest
import yaml
from random_manifests import APP, IMAGES, KO, draw_file

from rules_setcap.diagnostics.problems import Problems
from rules_setcap.documents.yaml_streams import join_files
from rules_setcap.image_tests.mapped_images import ImageMap
from rules_setcap.image_tests.resolved_manifests import ManifestResolver
from support import require

_SECTIONS = ("containers", "initContainers", "ephemeralContainers")
_POD = """\
apiVersion: v1
kind: Pod
metadata: {name: first}
spec:
  containers:
    - name: a
      image: IMAGE
"""
_NAME = "registry.example/app:1"
_JSON = json.dumps(yaml.safe_load(_POD.replace("IMAGE", _NAME)), indent="\t")
_FILES = {
    "plain": _POD.replace("IMAGE", _NAME),
    "crlf": _POD.replace("IMAGE", _NAME + " # a comment").replace("\n", "\r\n"),
    "byte order mark": "\ufeff" + _POD.replace("IMAGE", _NAME),
    "no line end": _POD.replace("IMAGE", _NAME)[:-1],
    "literal block": _POD.replace("IMAGE", f"|2- # {_NAME}\n        {_NAME}\n\n# {_NAME}"),
    "folded block": _POD.replace("IMAGE", f">-\n        {_NAME}\n    # {_NAME}"),
    "continued line": _POD.replace("IMAGE", '"registry.example/\\\n        app:1"'),
    "escapes": _POD.replace("IMAGE", '"\\x72egistry.example\\u002Fapp:1"'),
    "tag and anchor": _POD.replace("IMAGE", f"!!str &a {_NAME}") + "    - {name: b, image: *a }\n",
    "anchor and tag": _POD.replace("IMAGE", f"&a\n        !!str '{_NAME}'") + "    - {name: b, image: *a}\n",
    "merged": _POD.replace("- name: a", "- &c\n      name: a").replace("IMAGE", _NAME) + "    - {<<: *c, name: b}\n",
    "explicit keys": _POD.replace("image: IMAGE", f"? image\n      : {_NAME}"),
    "tabs": _POD.replace("IMAGE", f"\t{_NAME}\t# a comment\t"),
    "comments in a sequence": _POD.replace("IMAGE", _NAME) + f"    # - name: b\n    #   image: {_NAME}\n    - image: {_NAME}\n      name: c\n",
    "several documents": f"---\n# empty\n---\n{_POD.replace('IMAGE', _NAME)}...\n--- # second\n{_POD.replace('IMAGE', _NAME)}---\n\n---\n",
    "text like documents": _POD.replace("IMAGE", f"{_NAME}\n      args:\n      - |\n        ---\n        image: {_NAME}\n        ---\n        %YAML 1.1"),
    "other scripts": _POD.replace("IMAGE", f"{_NAME}\n      args: ['é\x85\u2028\U0001f600 {_NAME}']"),
    "JSON": _JSON,
    "JSON of PHP": _JSON.replace("/", "\\/"),
    "JSON of Python": _JSON.replace('"first"', r'"first", "annotations": {"a": "\ud83d\ude00 \\ud83d\\ude00 / \\/"}'),
}  # fmt: skip
_REFUSED = {
    "a document beside its marker": f"--- {json.dumps(yaml.safe_load(_POD.replace('IMAGE', _NAME)))}\n",
    "a directive": f"%YAML 1.2\n---\n{_POD.replace('IMAGE', _NAME)}",
}
"""Files that kubectl refuses, although they are YAML."""


def _read_objects(data: bytes) -> list[dict[str, Any]]:
    """Returns the objects that kubectl reads from its standard input. It adds an annotation to each."""
    command = [require.tool("kubectl"), "annotate", "--local", "--filename=-", "--output=json", "test=1"]
    done = subprocess.run(command, input=data, capture_output=True, check=False, env={"HOME": "/nonexistent"})
    if done.returncode:
        raise ValueError(done.stderr.decode())
    objects, decoder, rest = [], json.JSONDecoder(), done.stdout.decode().strip()
    while rest:
        found, end = decoder.raw_decode(rest)
        objects.append(found)
        rest = rest[end:].lstrip()
    return objects


def _resolve(directory: pathlib.Path, text: str) -> bytes:
    """Returns a file with digests."""
    file, first = directory / "file.yaml", directory / "first.yaml"
    file.write_bytes(text.encode())
    first.write_text("\n---\n".join(_POD.replace("IMAGE", image.name) for image in IMAGES))  # Every image is named.
    problems = Problems()
    _, resolved = ManifestResolver(ImageMap(IMAGES), problems).resolve_files([str(first), str(file)])
    assert list(problems) == []
    return resolved


def _replace_images(value: Any) -> Any:
    """Returns an object with digests."""
    if isinstance(value, list):
        return [_replace_images(item) for item in value]
    if not isinstance(value, dict):
        return value
    replaced = {key: _replace_images(item) for key, item in value.items()}
    for section in _SECTIONS:
        for container in replaced.get(section, ()):
            name = container["image"].partition("@")[0].removesuffix(":1").removesuffix(":v1.2")
            for image in (APP, KO):
                if name == image.name:
                    container["image"] = image.reference
    return replaced


@pytest.mark.parametrize("text", _FILES.values(), ids=_FILES)
def test_kubectl_reads_the_same_objects_with_other_images(tmp_path: pathlib.Path, text: str):
    before = _read_objects(text.encode())
    after = _replace_images(before)
    resolved = _resolve(tmp_path, text)
    assert before != after
    assert _read_objects(resolved) == after
    assert _read_objects(join_files([resolved, resolved])) == after * 2


@pytest.mark.parametrize("text", _REFUSED.values(), ids=_REFUSED)
def test_kubectl_reads_the_stream_of_a_file_that_it_refuses(tmp_path: pathlib.Path, text: str):
    with pytest.raises(ValueError):
        _read_objects(text.encode())
    (expected,) = _replace_images(_read_objects(_POD.replace("IMAGE", _NAME).encode()))
    assert _read_objects(join_files([_resolve(tmp_path, text)])) == [expected]


def test_kubectl_reads_random_manifests(tmp_path: pathlib.Path):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    generator = random.Random(seed)
    files = [draw_file(generator)[0] for _ in range(200)]
    before = _read_objects(join_files(text.encode() for text in files))
    after = _read_objects(join_files(_resolve(tmp_path, text) for text in files))
    assert after == _replace_images(before), f"seed {seed}"
    assert len(before) > len(files), f"seed {seed}"

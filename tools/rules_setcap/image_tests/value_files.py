"""Writes digests into files that Helm and Kustomize read."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from rules_setcap.diagnostics.errors import quote
from rules_setcap.diagnostics.suggestions import suggest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rules_setcap.diagnostics.problems import Problems
    from rules_setcap.image_tests.mapped_images import MappedImage

_Tree = dict[str, "_Tree | str"]

_KEY = re.compile("[A-Za-z_][A-Za-z0-9_-]*", re.ASCII)
_NOT_TEXT = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null"))  # What YAML 1.1 reads as something else.


def format_helm_values(images: Sequence[MappedImage], paths_by_name: Mapping[str, Sequence[str]], problems: Problems) -> bytes:
    """Returns a values file for Helm.

    Args:
      images: the images.
      paths_by_name: for each name of an image, the paths of its values, such as "server.image". If it is empty, the values are
        in `images`, by name.
      problems: the collector of problems.
    """
    by_name = {image.name: image for image in images}
    owners: dict[tuple[str, ...], str] = {}
    tree: _Tree = {}
    for name, paths in paths_by_name.items():
        image = by_name.get(name)
        if image is None:
            problems.add("helm_values", name, "not a key of images" + suggest(name, by_name))
        for path in paths:
            keys = tuple(path.split("."))
            if not all(map(_KEY.fullmatch, keys)):
                what = (
                    "not a path of values; write names of letters, digits, _ and - with dots between them, such as server.image"
                )
                problems.add("helm_values", path, what)
            elif image is not None:
                _add_values(tree, keys, image, owners, problems)
    if not paths_by_name:
        tree["images"] = {name: _make_values(image) for name, image in by_name.items()}
    return "".join(_format_tree(tree, "")).encode()


def _make_values(image: MappedImage) -> _Tree:
    return {"repository": image.repository, "digest": image.digest}


def _add_values(
    tree: _Tree, keys: tuple[str, ...], image: MappedImage, owners: dict[tuple[str, ...], str], problems: Problems
) -> None:
    """Adds the values of an image to a tree.

    Args:
      tree: the tree.
      keys: the keys that lead to the values.
      image: the image.
      owners: the names of the images by the keys of their values; receives this one.
      problems: the collector of problems.
    """
    for name, value in _make_values(image).items():
        path = (*keys, name)
        taken = next((owners[path[:end]] for end in range(1, len(path) + 1) if path[:end] in owners), None)
        below: _Tree = tree
        if taken is None:
            for key in path[:-1]:
                child = below.setdefault(key, {})
                assert isinstance(child, dict)
                below = child
            if name not in below:
                below[name] = value
                owners[path] = image.name
                continue
        what = f"is a value of {quote(taken)} too" if taken else "has values of another image"
        problems.add("helm_values", ".".join(keys), f"{quote('.'.join(path))} {what}; give each image its own path")
        return


def _format_tree(tree: _Tree, indent: str) -> list[str]:
    """Returns the lines of a tree."""
    lines = []
    for key, value in tree.items():
        name = key if _KEY.fullmatch(key) and key.lower() not in _NOT_TEXT else json.dumps(key)
        if isinstance(value, str):
            lines.append(f"{indent}{name}: {json.dumps(value)}\n")
        else:
            lines += [f"{indent}{name}:\n", *_format_tree(value, indent + "  ")]
    return lines


def format_kustomization(images: Sequence[MappedImage]) -> bytes:
    """Returns a component of Kustomize that replaces images."""
    lines = ["apiVersion: kustomize.config.k8s.io/v1alpha1\n", "kind: Component\n", "images:\n"]
    for image in images:
        lines += [
            f"  - name: {json.dumps(image.name)}\n",
            f"    newName: {json.dumps(image.repository)}\n",
            f"    digest: {json.dumps(image.digest)}\n",
        ]
    return "".join(lines).encode()

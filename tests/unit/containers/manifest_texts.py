"""Kubernetes manifests for tests, and the problems that reading them reports."""

from __future__ import annotations

import pathlib

import pytest

from rules_setcap.containers.kubernetes import Pod, read_pods
from rules_setcap.diagnostics.errors import InputError

MANIFESTS = pathlib.Path("tests/unit/containers/kubernetes/manifests")
"""Manifests with the shapes of those that projects publish."""


def read_pods_of_file(name: str) -> list[Pod]:
    """Returns the pods of one of MANIFESTS."""
    return read_pods((MANIFESTS / name).read_bytes(), name)


def make_manifest(metadata: str = "", context: str = "{}", kind: str = "Pod", image: str = "image") -> bytes:
    """Returns a manifest with one container, which is called x.

    Args:
      metadata: the line "metadata: ...", which ends with a line feed; may be empty.
      context: the securityContext of the container.
      kind: "Pod", or a kind of apps/v1.
      image: the image of the container.
    """
    spec = f"{{containers: [{{name: x, image: {image}, securityContext: {context}}}]}}"
    if kind == "Pod":
        return f"apiVersion: v1\nkind: Pod\n{metadata}spec: {spec}\n".encode()
    return f"apiVersion: apps/v1\nkind: {kind}\n{metadata}spec: {{template: {{spec: {spec}}}}}\n".encode()


def read_problems(text: bytes, engine_name: str = "containerd") -> list[str]:
    """Returns the problems of a manifest, which must have some; its file is called file.yaml."""
    with pytest.raises(InputError) as refused:
        read_pods(text, "file.yaml", engine_name)
    return refused.value.problems

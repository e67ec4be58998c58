"""Reads Kubernetes manifests: the containers that they run, and the settings of each."""

from .manifests import Container, Manifest, Pod, mentions, parse, read
from .select import find, of_image, one

__all__ = [
    "Container",
    "Manifest",
    "Pod",
    "find",
    "mentions",
    "of_image",
    "one",
    "parse",
    "read",
]

"""Reads Kubernetes manifests: the containers that they run, and the settings of each."""

from rules_setcap.containers.kubernetes.manifests import Container, Manifest, Pod, mentions, parse, read
from rules_setcap.containers.kubernetes.select import find, of_image, one

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

"""Kubernetes manifests: which containers they run, and with which capabilities."""

from .manifests import Container, Manifest, Pod, mentions, of_image, one, parse, read

__all__ = [
    "Container",
    "Manifest",
    "Pod",
    "mentions",
    "of_image",
    "one",
    "parse",
    "read",
]

"""Kubernetes manifests: which containers they run, and with which capabilities."""

from .manifests import Container, Pod, of_image, one, read

__all__ = [
    "Container",
    "Pod",
    "of_image",
    "one",
    "read",
]

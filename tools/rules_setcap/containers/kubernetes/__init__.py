"""Reads Kubernetes manifests: the containers that they run, and the settings of each."""

from rules_setcap.containers.kubernetes.manifests import Container, Manifest, Pod, find_mentions, parse_manifest, read_pods
from rules_setcap.containers.kubernetes.select import find_container, find_containers_of_image, select_container

__all__ = [
    "Container",
    "Manifest",
    "Pod",
    "find_container",
    "find_containers_of_image",
    "find_mentions",
    "parse_manifest",
    "read_pods",
    "select_container",
]

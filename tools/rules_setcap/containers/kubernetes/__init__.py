"""Reads Kubernetes manifests: the pods, their containers, and the settings of each container."""

from rules_setcap.containers.kubernetes.manifests import Manifest, find_mentions, parse_manifest, read_pods
from rules_setcap.containers.kubernetes.pods import Container, Pod
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

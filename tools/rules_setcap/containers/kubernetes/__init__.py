"""Reads Kubernetes manifests: the pods, their containers, and the settings of each container."""

from rules_setcap.containers.kubernetes.images import (
    find_custom_image_fields,
    find_image_fields,
    find_mentions,
    names_image,
)
from rules_setcap.containers.kubernetes.manifests import Manifest, parse_manifest, read_pods
from rules_setcap.containers.kubernetes.pods import Container, Pod
from rules_setcap.containers.kubernetes.select import find_container, find_containers_of_image, select_container

__all__ = [
    "Container",
    "Manifest",
    "Pod",
    "find_container",
    "find_containers_of_image",
    "find_custom_image_fields",
    "find_image_fields",
    "find_mentions",
    "names_image",
    "parse_manifest",
    "read_pods",
    "select_container",
]

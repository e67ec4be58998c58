"""The pods that Kubernetes manifests describe, and what each of their containers is told."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from packer.errors import InputError, problem, quote
from runtimes.documents import Field, load
from runtimes.settings import Settings

from . import images, security

# Where the pod is in what makes pods, by apiVersion and kind.
_PODS: dict[str, dict[str, tuple[str, ...]]] = {
    "v1": {"Pod": (), "PodTemplate": ("template",), "ReplicationController": ("spec", "template")},
    "apps/v1": dict.fromkeys(("DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"), ("spec", "template")),
    "batch/v1": {"CronJob": ("spec", "jobTemplate", "spec", "template"), "Job": ("spec", "template")},
}
# The other kinds of the same APIs; what is of another API is no business of ours.
_OTHERS: dict[str, list[str]] = {
    "v1": """
        Binding ComponentStatus ConfigMap Endpoints Event LimitRange List Namespace Node PersistentVolume
        PersistentVolumeClaim ResourceQuota Secret Service ServiceAccount
    """.split(),
    "apps/v1": ["ControllerRevision"],
    "batch/v1": [],
}
# What is served no more, and its successor: "Deprecated API Migration Guide".
_GONE = {
    "apps/v1beta1": "apps/v1",
    "apps/v1beta2": "apps/v1",
    "batch/v1beta1": "batch/v1",
    "batch/v2alpha1": "batch/v1",
    "extensions/v1beta1": "apps/v1",
}
_SECTIONS = ("initContainers", "containers", "ephemeralContainers")


@dataclass(frozen=True)
class Container:
    """A container of a pod.

    Attributes:
      field: where it is.
      section: "containers", "initContainers" or "ephemeralContainers".
      name: its name.
      image: its image; may be empty where somebody else fills it in.
      settings: what the runtime is told.
    """

    field: Field
    section: str
    name: str
    image: str
    settings: Settings


@dataclass(frozen=True)
class Pod:
    """A pod, or the template of one.

    Attributes:
      kind: of the object it is in: "Deployment".
      name: of that object.
      metadata: the pod's own.
      spec: its PodSpec.
      containers: all of them, in the order they are started.
    """

    kind: str
    name: str
    metadata: Field | None
    spec: Field
    containers: tuple[Container, ...]


def read(data: bytes, file: str, runtime: str = "containerd") -> list[Pod]:
    """The pods of a manifest, or of several in one file.

    Args:
      data: the file's bytes.
      file: its name, for messages.
      runtime: the nodes' runtime, "containerd" or "cri-o": they differ in which names of
        capabilities they know.

    Raises:
      InputError: with every problem of the file.
    """
    documents = load(data, file)
    pods = [pod for document in documents for pod in _object(document, runtime)]
    problems = documents[0].problems if documents else [f"{file}: no Kubernetes object in it"]
    if problems:
        raise InputError(problems)
    return pods


def _object(field: Field, runtime: str, kind: str = "", version: str = "") -> list[Pod]:
    """The pods of one object; kind and version are those that a list gives its members."""
    if not isinstance(field.node.value, dict):
        field.problem("no Kubernetes object; it has apiVersion and kind")
        return []
    said = {}
    for name, default in (("apiVersion", version), ("kind", kind)):
        here = field.get(name)
        text = here.text() if here else default
        if text == "":
            field.problem(f"no Kubernetes object: it has no {name}", "")
        said[name] = text
    version, kind = said["apiVersion"] or "", said["kind"] or ""
    if not version or not kind:
        return []
    items = field.get("items")
    if items and kind.endswith("List"):
        member = kind.removesuffix("List")
        return [pod for item in items.items() for pod in _object(item, runtime, member, version if member else "")]
    if version in _GONE and any(kind in kinds for kinds in _PODS.values()):
        (field.get("apiVersion") or field).problem(f'served no more; write "{_GONE[version]}"', version)
    elif version in _PODS and kind in _PODS[version]:
        return _pod(field, kind, _PODS[version][kind], runtime)
    elif version in _PODS and kind not in _OTHERS[version]:
        _unknown(field, version, kind)
    return []


def _unknown(field: Field, version: str, kind: str) -> None:
    """A kind that its API has not: most likely a slip, which would hide a pod from us."""
    owner = next((other for other, kinds in _PODS.items() if kind in kinds), None)
    near = difflib.get_close_matches(kind[:64], [*_PODS[version], *_OTHERS[version]], n=1, cutoff=0.6)
    what = f'a kind of "{owner}"' if owner else "unknown kind" + (f'; did you mean "{near[0]}"?' if near else "")
    (field.get("kind") or field).problem(f"{what}; this is {quote(version)}" if owner else what, kind)


def _pod(field: Field, kind: str, path: tuple[str, ...], runtime: str) -> list[Pod]:
    name = field.at("metadata", "name")
    template: Field | None = field
    for step in path:
        above = template
        template = above.get(step) if above else None
        if above and not template:
            above.problem(f"has no {step}", kind)
    spec = template.get("spec") if template else None
    if template and not spec:
        template.problem("has no spec", kind)
    if template is None or spec is None:
        return []
    templates = field.at("spec", "volumeClaimTemplates") if kind == "StatefulSet" else None
    claims = [claim.at("metadata", "name") for claim in templates.items()] if templates else []
    volumes = security.volumes(spec, filter(None, claims))
    containers: list[Container] = []
    for section in _SECTIONS:
        members = spec.get(section)
        for member in members.items() if members else []:
            container = _container(member, section, spec, volumes, runtime)
            if container and any(other.name == container.name for other in containers):
                member.problem("a second container of this name", container.name)
            elif container:
                containers.append(container)
    if not spec.get("containers"):
        spec.problem("has no containers", kind)
    text = name.text() if name else None
    return [Pod(kind, text or "", template.get("metadata"), spec, tuple(containers))]


def _container(field: Field, section: str, spec: Field, volumes: dict[str, str], runtime: str) -> Container | None:
    if not field.fields():
        field.problem("no container")
        return None
    name, image = field.get("name"), field.get("image")
    text = name.text() if name else None
    if not name:
        field.problem("a container without a name", "")
    called = image.text() if image else None
    if image and called:
        try:
            images.reference(called)
        except ValueError as error:
            image.problem(str(error))
    settings = security.settings(field, text or "", spec, volumes, runtime)
    return Container(field, section, text or "", called or "", settings) if text else None


def one(pods: Iterable[Pod], name: str, attribute: str = "container") -> Container:
    """The container of a name: "nginx", or where there are several "Deployment/web/nginx".

    Args:
      pods: where to look.
      name: the name.
      attribute: what a message starts with.

    Raises:
      InputError: there is none, or more than one.
    """
    known = {f"{pod.kind}/{pod.name}/{container.name}": container for pod in pods for container in pod.containers}
    found = [full for full in known if full == name or full.endswith("/" + name)]
    if len(found) == 1:
        return known[found[0]]
    if found:
        raise InputError([problem(attribute, name, "there are several; write one of " + ", ".join(map(quote, found)))])
    bare = sorted({container.name for container in known.values()})
    near = difflib.get_close_matches(name[:64], bare, n=1, cutoff=0.6)
    hint = f"did you mean {quote(near[0])}?" if near else ("there are " + ", ".join(map(quote, bare)) if bare else "there are none")
    raise InputError([problem(attribute, name, "no container of this name; " + hint)])


def of_image(pods: Iterable[Pod], wanted: str) -> list[Container]:
    """The containers that run an image.

    Args:
      pods: where to look.
      wanted: the image, as images.names takes it.

    Raises:
      InputError: `wanted` is no image's name.
    """
    try:
        images.reference(wanted)
    except ValueError as error:
        raise InputError([problem("image", wanted, str(error))]) from None
    return [one for pod in pods for one in pod.containers if one.image and images.names(one.image, wanted)]

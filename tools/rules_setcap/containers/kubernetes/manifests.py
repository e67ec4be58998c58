"""Reads Kubernetes manifests: their pods, and the settings of each container."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from rules_setcap.containers.kubernetes import images, security
from rules_setcap.containers.settings import Settings
from rules_setcap.containers.yaml_documents import Field, load
from rules_setcap.diagnostics.errors import InputError, quote

# Where the pod is in what makes pods, by apiVersion and kind.
_PODS: dict[str, dict[str, tuple[str, ...]]] = {
    "v1": {"Pod": (), "PodTemplate": ("template",), "ReplicationController": ("spec", "template")},
    "apps/v1": dict.fromkeys(("DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"), ("spec", "template")),
    "batch/v1": {"CronJob": ("spec", "jobTemplate", "spec", "template"), "Job": ("spec", "template")},
}
# The other kinds of the same APIs. Kinds of other APIs count only if they have pod templates, or name the image.
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
_MAX_REFERENCE = 1024  # Longer texts cannot name an image.


@dataclass(frozen=True)
class Container:
    """A container of a pod.

    Attributes:
      field: where it is.
      section: "containers", "initContainers" or "ephemeralContainers".
      name: its name.
      image: its image; may be empty where somebody else fills it in.
      settings: its settings.
      problems: why the runtime does not start this container, and starts the others of the pod.
    """

    field: Field
    section: str
    name: str
    image: str
    settings: Settings
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pod:
    """A pod, or the template of one.

    Attributes:
      kind: of the object it is in: "Deployment".
      name: of that object.
      metadata: the pod's own.
      spec: its PodSpec.
      containers: all of them, in the order they are started.
      problems: the problems of the pod and of its containers. In a kind that is not Kubernetes' own, they count only if
        the pod is asked about: an operator may complete the template.
    """

    kind: str
    name: str
    metadata: Field | None
    spec: Field
    containers: tuple[Container, ...]
    problems: tuple[str, ...] = ()


def read_pods(data: bytes, file: str, runtime: str = "containerd") -> list[Pod]:
    """Reads the pods of a manifest, or of several in one file.

    Args:
      data: the file's bytes.
      file: its name, for messages.
      runtime: the nodes' runtime, "containerd" or "cri-o": they differ in which names of
        capabilities they know.

    Raises:
      InputError: with every problem of the file.
    """
    return parse_manifest(data, file, runtime).pods


@dataclass(frozen=True)
class Manifest:
    """The objects of a manifest.

    Attributes:
      pods: all pods and pod templates.
      others: the objects whose kind is not known here.
      problems: the problems that are not those of a pod.
    """

    pods: list[Pod]
    others: list[Field]
    problems: tuple[str, ...] = ()


def parse_manifest(data: bytes, file: str, runtime: str = "containerd", partial: bool = False) -> Manifest:
    """Parses a manifest, or several in one file; see read_pods().

    Args:
      data: the file's bytes.
      file: its name, for messages.
      runtime: as for read_pods().
      partial: whether problems are left in the manifest and its pods, so that one pod can be judged although another is
        wrong.

    Raises:
      InputError: with every problem of the file; if `partial`, it is not valid YAML or has no object.
    """
    documents = load(data, file)
    if not documents:
        raise InputError([f"{file}: no Kubernetes object in it"])
    reading = _Reading(runtime)
    pods: list[Pod] = []
    for document in documents:
        reading.problems.append(document.problems)
        pods += _object(document, reading)
    if not partial and any(reading.problems):
        raise InputError(dict.fromkeys(text for each in reading.problems for text in each))
    of_pods = {text for pod in pods for text in pod.problems}
    return Manifest(pods, reading.others, tuple(text for each in reading.problems for text in each if text not in of_pods))


@dataclass
class _Reading:
    """What is collected while a manifest is read.

    Attributes:
      runtime: the nodes' runtime.
      others: the objects whose kind is not known here.
      problems: those of each object and container; not those of pod templates of unknown kinds.
    """

    runtime: str
    others: list[Field] = dataclasses.field(default_factory=list)
    problems: list[dict[str, None]] = dataclasses.field(default_factory=list)

    def own(self, field: Field) -> Field:
        """Returns a field whose problems are collected apart."""
        made = replace(field, problems=dict[str, None]())
        self.problems.append(made.problems)
        return made


def find_mentions(manifest: Manifest, image: str) -> Iterator[Field]:
    """Yields the fields that name an image in objects of unknown kinds, outside their pod templates.

    Args:
      manifest: where to look.
      image: as images.reference takes it; its tag and digest do not count.
    """
    repository = images.reference(image).repository
    templates = {pod.spec.where for pod in manifest.pods}
    for field in (field for other in manifest.others for field in _texts(other, templates)):
        try:
            if images.reference(str(field.node.value)).repository == repository:
                yield field
        except ValueError:
            pass  # Not a name of an image.


def _texts(field: Field, templates: Collection[str]) -> Iterator[Field]:
    """Yields the texts in an object outside its pod templates, which are given by where they are."""
    value = field.node.value
    if isinstance(value, str):
        if len(value) <= _MAX_REFERENCE:
            yield field
    elif field.where not in templates:
        for member in field.items() if isinstance(value, list) else field.fields().values():
            yield from _texts(member, templates)


def _object(field: Field, reading: _Reading, kind: str = "", version: str = "") -> list[Pod]:
    """Reads the pods of one object; kind and version are those that a list gives its members."""
    if not isinstance(field.node.value, dict):
        field.problem("not a Kubernetes object; it has apiVersion and kind")
        return []
    said = {}
    for name, default in (("apiVersion", version), ("kind", kind)):
        here = field.get(name)
        text = here.text() if here else default
        if text == "":
            field.problem(f"not a Kubernetes object: it has no {name}", "")
        said[name] = text
    version, kind = said["apiVersion"] or "", said["kind"] or ""
    if not version or not kind:
        return []
    items = field.get("items")
    if items and kind.endswith("List"):
        member = kind.removesuffix("List")
        return [pod for item in items.items() for pod in _object(reading.own(item), reading, member, version if member else "")]
    if version in _GONE and any(kind in kinds for kinds in _PODS.values()):
        (field.get("apiVersion") or field).problem(f'served no more; write "{_GONE[version]}"', version)
    elif version in _PODS and kind in _PODS[version]:
        return _pod(field, kind, _PODS[version][kind], reading)
    elif version in _PODS and kind not in _OTHERS[version]:
        _unknown(field, version, kind)
    elif _is_custom(version):
        reading.others.append(field)
        named = field.at("metadata", "name")
        value = named.node.value if named else ""
        return _templates(field, kind, value if isinstance(value, str) else "", reading.runtime)
    return []


def _is_custom(version: str) -> bool:
    """Returns whether an apiVersion belongs to a custom API: the groups of Kubernetes have no dot, or end with .k8s.io."""
    group = version.partition("/")[0] if "/" in version else ""
    return "." in group and not group.endswith(".k8s.io")


def _templates(field: Field, kind: str, name: str, runtime: str, metadata: Field | None = None) -> list[Pod]:
    """Finds the pod templates in an object of an unknown kind: mappings with a list of containers that have images."""
    value = field.node.value
    if isinstance(value, list):
        return [pod for item in field.items() for pod in _templates(item, kind, name, runtime)]
    if not isinstance(value, dict):
        return []
    containers = field.get("containers")
    members = containers.items() if containers and isinstance(containers.node.value, list) else []
    if any(isinstance(member.node.value, dict) and member.get("image") for member in members):
        spec = replace(field, problems={})
        return [_pod_of(spec, kind, name, metadata, _AnyVolume(), _Reading(runtime), strict=False)]
    own = field.get("metadata")
    return [pod for member in field.fields().values() for pod in _templates(member, kind, name, runtime, own)]


class _AnyVolume(dict[str, str]):
    """The volumes of a template that an operator may complete: it may have a volume of any name."""

    def __contains__(self, name: object) -> bool:
        return True


def _unknown(field: Field, version: str, kind: str) -> None:
    """A kind that its API has not: most likely a slip, which would hide a pod from us."""
    owner = next((other for other, kinds in _PODS.items() if kind in kinds), None)
    near = difflib.get_close_matches(kind[:64], [*_PODS[version], *_OTHERS[version]], n=1, cutoff=0.6)
    what = f'a kind of "{owner}"' if owner else "unknown kind" + (f'; did you mean "{near[0]}"?' if near else "")
    (field.get("kind") or field).problem(f"{what}; this is {quote(version)}" if owner else what, kind)


def _pod(field: Field, kind: str, path: tuple[str, ...], reading: _Reading) -> list[Pod]:
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
    return [_pod_of(spec, kind, (name.text() if name else None) or "", template.get("metadata"), volumes, reading)]


def _pod_of(
    spec: Field, kind: str, name: str, metadata: Field | None, volumes: dict[str, str], reading: _Reading, *, strict: bool = True
) -> Pod:
    """Reads a PodSpec; one that is not strict may leave out what an operator fills in."""
    containers: list[Container] = []
    security.check_sysctls(spec)
    names: set[str] = set()
    problems: dict[str, None] = {}
    for section in _SECTIONS:
        members = spec.get(section)
        for member in members.items() if members else []:
            own = reading.own(member)
            container = _container(own, section, spec, volumes, reading.runtime, strict)
            if container and strict and container.name in names:
                own.problem("a second container of this name", container.name)
            elif container:
                # For all others the API server refuses the whole pod. It takes every text for a capability; the runtime does not.
                alone = tuple(text for text in own.problems if "unknown capability" in text)
                containers.append(replace(container, field=member, problems=alone))
                names.add(container.name)
            problems.update(own.problems)
    if not spec.get("containers"):
        spec.problem("has no containers", kind)
    return Pod(kind, name, metadata, spec, tuple(containers), (*spec.problems, *problems))


def _container(field: Field, section: str, spec: Field, volumes: dict[str, str], runtime: str, strict: bool) -> Container | None:
    if not field.fields():
        field.problem("no container")
        return None
    name, image = field.get("name"), field.get("image")
    text = name.text() if name else None
    if not name and strict:
        field.problem("a container without a name", "")
    called = image.text() if image else None
    if image and called:
        try:
            images.reference(called)
        except ValueError as error:
            image.problem(str(error))
    settings = security.settings(field, text or "", spec, volumes, runtime)
    return Container(field, section, text or "", called or "", settings) if text or not strict else None

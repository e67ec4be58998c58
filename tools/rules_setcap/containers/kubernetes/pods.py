"""Reads the containers of a pod, and the settings of each."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass, replace

from rules_setcap.containers.kubernetes import security
from rules_setcap.containers.settings import Settings
from rules_setcap.documents.yaml_documents import Field
from rules_setcap.documents.yaml_errors import describe_placeholder
from rules_setcap.oci.reference import parse_reference

_SECTIONS = ("initContainers", "containers", "ephemeralContainers")


@dataclass(frozen=True)
class Container:
    """A container of a pod.

    Attributes:
      field: the container in the manifest.
      section: "containers", "initContainers" or "ephemeralContainers".
      name: its name.
      image: its image; may be empty in a template that an operator completes.
      settings: its settings.
      problems: the reasons why the engine does not start this container, although it starts the others of the pod.
    """

    field: Field
    section: str
    name: str
    image: str
    settings: Settings
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pod:
    """A pod, or a pod template.

    Attributes:
      kind: the kind of the object that has it, such as "Deployment".
      name: the name of that object.
      metadata: the metadata of the pod itself.
      spec: its PodSpec.
      containers: all containers, in the order in which they start.
      problems: the problems of the pod and of its containers. In an object whose kind is not one of Kubernetes' own, they
        matter only to a caller who asks about this pod, because an operator may complete the template.
    """

    kind: str
    name: str
    metadata: Field | None
    spec: Field
    containers: tuple[Container, ...]
    problems: tuple[str, ...] = ()


@dataclass
class Collector:
    """The results that a reader of a manifest collects besides the pods.

    Attributes:
      engine_name: the engine of the nodes, as Settings.engine_name.
      others: the objects whose kind is not known here.
      problems: the problems of each object and container, in order; not those of pod templates in unknown kinds.
      placeholders: texts that are accepted as images, although they are not valid names.
      kustomizations: the objects that Kustomize reads.
    """

    engine_name: str
    placeholders: Collection[str] = ()
    others: list[Field] = dataclasses.field(default_factory=list)
    kustomizations: list[Field] = dataclasses.field(default_factory=list)
    problems: list[dict[str, None]] = dataclasses.field(default_factory=list)

    def separate(self, field: Field) -> Field:
        """Returns a copy of a field that collects its problems separately."""
        separated = replace(field, problems=dict[str, None]())
        self.problems.append(separated.problems)
        return separated


def read_pod(field: Field, kind: str, path: tuple[str, ...], collector: Collector) -> list[Pod]:
    """Returns the pod in an object, in a list; [] if there are problems.

    Args:
      field: the object.
      kind: its kind.
      path: the keys from the object to the pod or its template.
      collector: receives the problems.
    """
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
    volumes = security.read_volumes(spec, filter(None, claims))
    text = (name.text() if name else None) or ""
    return [read_pod_spec(spec, kind, text, template.get("metadata"), volumes, collector)]


def read_pod_spec(
    spec: Field,
    kind: str,
    name: str,
    metadata: Field | None,
    volumes: dict[str, str],
    collector: Collector,
    *,
    is_strict: bool = True,
) -> Pod:
    """Returns the pod of a PodSpec.

    Args:
      spec: the PodSpec.
      kind: as Pod.kind.
      name: as Pod.name.
      metadata: as Pod.metadata.
      volumes: the kinds of the pod's volumes by name.
      collector: receives the problems.
      is_strict: whether Kubernetes must accept the pod as it is. If not, an operator may add missing fields.
    """
    containers: list[Container] = []
    security.check_sysctls(spec)
    names: set[str] = set()
    problems: dict[str, None] = {}
    for section in _SECTIONS:
        members = spec.get(section)
        for member in members.items() if members else []:
            separated = collector.separate(member)
            container = _read_container(separated, section, spec, volumes, collector, is_strict)
            if container and is_strict and container.name in names:
                separated.problem("duplicate container name; give each container its own", container.name)
            elif container:
                # The API server accepts every text as a capability, and the engine refuses the one container. For all other
                # problems, the API server refuses the whole pod.
                alone = tuple(text for text in separated.problems if "unknown capability" in text)
                containers.append(replace(container, field=member, problems=alone))
                names.add(container.name)
            problems.update(separated.problems)
    if not spec.get("containers"):
        spec.problem("has no containers", kind)
    return Pod(kind, name, metadata, spec, tuple(containers), (*spec.problems, *problems))


def _read_container(
    field: Field, section: str, spec: Field, volumes: dict[str, str], collector: Collector, is_strict: bool
) -> Container | None:
    """Returns a container, with its problems in `field`; None if it has no name although it needs one."""
    if not field.fields():
        field.problem("not a container")
        return None
    name, image = field.get("name"), field.get("image")
    text = name.text() if name else None
    if not name and is_strict:
        field.problem("a container without a name", "")
    reference = image.text() if image else None
    if image and reference and reference not in collector.placeholders:
        try:
            parse_reference(reference)
        except ValueError as error:
            image.problem(str(error) + describe_placeholder(reference))
    settings = security.read_settings(field, text or "", spec, volumes, collector.engine_name)
    return Container(field, section, text or "", reference or "", settings) if text or not is_strict else None

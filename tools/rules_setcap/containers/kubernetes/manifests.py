"""Parses Kubernetes manifests, and finds the pods and pod templates in their objects."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from rules_setcap.containers.kubernetes.pods import Collector, Pod, read_pod, read_pod_spec
from rules_setcap.diagnostics.errors import InputError, quote
from rules_setcap.diagnostics.suggestions import suggest
from rules_setcap.documents.yaml_documents import Field, parse_documents

# The keys from an object to its pod or pod template, by apiVersion and kind.
_PODS: dict[str, dict[str, tuple[str, ...]]] = {
    "v1": {"Pod": (), "PodTemplate": ("template",), "ReplicationController": ("spec", "template")},
    "apps/v1": dict.fromkeys(("DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"), ("spec", "template")),
    "batch/v1": {"CronJob": ("spec", "jobTemplate", "spec", "template"), "Job": ("spec", "template")},
}
# The other kinds of the same APIs. Objects of other APIs matter only if they have pod templates or name the image.
_OTHERS: dict[str, list[str]] = {
    "v1": """
        Binding ComponentStatus ConfigMap Endpoints Event LimitRange List Namespace Node PersistentVolume
        PersistentVolumeClaim ResourceQuota Secret Service ServiceAccount
    """.split(),
    "apps/v1": ["ControllerRevision"],
    "batch/v1": [],
}
# API versions that Kubernetes no longer serves, with their successors: "Deprecated API Migration Guide".
_REMOVED = {
    "apps/v1beta1": "apps/v1",
    "apps/v1beta2": "apps/v1",
    "batch/v1beta1": "batch/v1",
    "batch/v2alpha1": "batch/v1",
    "extensions/v1beta1": "apps/v1",
}
_KUSTOMIZE = "kustomize.config.k8s.io/"


@dataclass(frozen=True)
class Manifest:
    """The objects of a manifest.

    Attributes:
      pods: all pods and pod templates.
      others: the objects whose kind is not known here.
      problems: the problems that do not belong to a pod.
      kustomizations: the objects that Kustomize reads, and that no cluster has.
    """

    pods: list[Pod]
    others: list[Field]
    problems: tuple[str, ...] = ()
    kustomizations: tuple[Field, ...] = ()


def parse_manifest(
    data: bytes, file: str, engine_name: str = "containerd", partial: bool = False, placeholders: Collection[str] = ()
) -> Manifest:
    """Parses a manifest, or several in one file.

    Args:
      data: the bytes of the file.
      file: its name, for messages.
      engine_name: the engine of the nodes, "containerd" or "cri-o". They accept different spellings of capabilities.
      partial: whether problems stay in the manifest and its pods, so that one pod can be judged although another one has
        problems.
      placeholders: texts that are accepted as images of containers, although they are not valid names.

    Raises:
      InputError: the file is not valid YAML or has no object; or, unless `partial`, it has problems. The error has every
        problem of the file.
    """
    documents = parse_documents(data, file)
    if not documents:
        raise InputError([f"{file}: has no Kubernetes object"])
    collector = Collector(engine_name, placeholders)
    pods: list[Pod] = []
    for document in documents:
        collector.problems.append(document.problems)
        pods += _read_object(document, collector)
    problems = [text for part in collector.problems for text in part]
    if problems and not partial:
        raise InputError(dict.fromkeys(problems))
    problems_of_pods = {text for pod in pods for text in pod.problems}
    problems_of_none = tuple(text for text in problems if text not in problems_of_pods)
    return Manifest(pods, collector.others, problems_of_none, tuple(collector.kustomizations))


def read_pods(data: bytes, file: str, engine_name: str = "containerd") -> list[Pod]:
    """Returns the pods and pod templates of a manifest; arguments and errors as for parse_manifest()."""
    return parse_manifest(data, file, engine_name).pods


def _read_object(field: Field, collector: Collector, kind: str = "", version: str = "") -> list[Pod]:
    """Returns the pods of an object.

    Args:
      field: the object.
      collector: receives the problems, and the objects of unknown kinds.
      kind: the kind of an object without one, if it is in a list that implies the kind.
      version: its apiVersion likewise.
    """
    if not isinstance(field.node.value, dict):
        field.problem("not a Kubernetes object; it has apiVersion and kind")
        return []
    version = _read_type(field, "apiVersion", version)
    kind = _read_type(field, "kind", kind)
    if not version or not kind:
        return []
    items = field.get("items")
    if items and kind.endswith("List"):
        member = kind.removesuffix("List")
        inherited = version if member else ""
        return [pod for item in items.items() for pod in _read_object(collector.separate(item), collector, member, inherited)]
    if version in _REMOVED and any(kind in kinds for kinds in _PODS.values()):
        (field.get("apiVersion") or field).problem(f'no longer served; write "{_REMOVED[version]}"', version)
    elif version in _PODS and kind in _PODS[version]:
        return read_pod(field, kind, _PODS[version][kind], collector)
    elif version.startswith(_KUSTOMIZE):
        collector.kustomizations.append(field)
    elif version in _PODS and kind not in _OTHERS[version]:
        _report_unknown_kind(field, version, kind)
    elif _is_custom(version):
        collector.others.append(field)
        name = field.at("metadata", "name")
        text = name.node.value if name else ""
        return _find_templates(field, kind, text if isinstance(text, str) else "", collector)
    return []


def _read_type(field: Field, name: str, default: str) -> str:
    """Returns the apiVersion or the kind of an object; "" if there is a problem with it."""
    member = field.get(name)
    text = member.text() if member else default
    if text == "":
        field.problem(f"not a Kubernetes object: it has no {name}", "")
    return text or ""


def _is_custom(version: str) -> bool:
    """Returns whether an apiVersion belongs to a custom API. Kubernetes' own groups have no dot, or end with .k8s.io."""
    group = version.partition("/")[0] if "/" in version else ""
    return "." in group and not group.endswith(".k8s.io")


def _find_templates(field: Field, kind: str, name: str, collector: Collector, metadata: Field | None = None) -> list[Pod]:
    """Finds the pod templates in an object of an unknown kind: mappings with a list of containers that have images.

    Args:
      field: the object, or a part of it.
      kind: the kind of the object.
      name: its name.
      collector: the engine, and the placeholders for images. It does not receive the problems of the templates.
      metadata: the metadata beside the part.
    """
    value = field.node.value
    if isinstance(value, list):
        return [pod for item in field.items() for pod in _find_templates(item, kind, name, collector)]
    if not isinstance(value, dict):
        return []
    containers = field.get("containers")
    members = containers.items() if containers and isinstance(containers.node.value, list) else []
    if any(isinstance(member.node.value, dict) and member.get("image") for member in members):
        spec = replace(field, problems={})
        separate = Collector(collector.engine_name, collector.placeholders)
        return [read_pod_spec(spec, kind, name, metadata, _AnyVolume(), separate, is_strict=False)]
    beside = field.get("metadata")
    return [pod for member in field.fields().values() for pod in _find_templates(member, kind, name, collector, beside)]


class _AnyVolume(dict[str, str]):
    """The volumes of a template that an operator may complete, so that a volume of any name may exist."""

    def __contains__(self, name: object) -> bool:
        return True


def _report_unknown_kind(field: Field, version: str, kind: str) -> None:
    """Adds the problem of a kind that its API does not have. It is probably a typing error, which would hide a pod."""
    owner = next((other for other, kinds in _PODS.items() if kind in kinds), None)
    if owner:
        what = f'a kind of "{owner}"; this is {quote(version)}'
    else:
        what = "unknown kind" + suggest(kind, [*_PODS[version], *_OTHERS[version]])
    (field.get("kind") or field).problem(what, kind)

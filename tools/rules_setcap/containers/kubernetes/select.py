"""Selects containers of manifests by their names or images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from rules_setcap.containers.kubernetes.images import names_image
from rules_setcap.containers.kubernetes.manifests import Manifest
from rules_setcap.containers.kubernetes.pods import Container, Pod
from rules_setcap.diagnostics.errors import InputError, format_problem, quote
from rules_setcap.diagnostics.suggestions import find_closest

_MAX_NAMES = 20


def select_container(
    manifest: Manifest, name: str | None, file: str, attribute: str = "container", source: str = "manifest"
) -> Container:
    """Returns a container of a manifest in which only that container has to be valid.

    Args:
      manifest: the result of manifests.parse_manifest() with `partial`.
      name: the name, as for find_container(); None for the only container of the manifest.
      file: the name of the manifest's file, for messages.
      attribute: the attribute that messages about the container's name begin with.
      source: the attribute that messages about the file begin with.

    Raises:
      InputError: there is not exactly one such container, or the container or its pod has problems. Problems of other
        containers and objects become notes of the container's settings.
    """
    pods = manifest.pods
    candidates = [(f"{pod.kind}/{pod.name}/{container.name}", pod, container) for pod in pods for container in pod.containers]
    if name is None and len(candidates) > 1:
        names = ", ".join(quote(full_name) for full_name, _, _ in candidates[:_MAX_NAMES])
        raise InputError([format_problem(source, file, f"there are several containers; write {attribute}, one of {names}")])
    problems = [*manifest.problems, *(text for pod in pods for text in pod.problems)]
    if not candidates:
        raise InputError(problems or [format_problem(source, file, "has no container")])
    try:
        selected = find_container(pods, name, attribute) if name is not None else _check(candidates[0][2], candidates[0][1])
    except InputError as error:
        # If no container has the name, the one that is meant may be in an object with problems.
        is_missing = name is not None and not any(_matches(full_name, name) for full_name, _, _ in candidates)
        raise InputError([*error.problems, *problems] if is_missing else error.problems) from None
    others = [pod for pod in pods if all(container.field is not selected.field for container in pod.containers)]
    problems_of_others = [*manifest.problems, *(text for pod in others for text in pod.problems)]
    return _add_notes(selected, "another problem in the same file, which is not judged here", problems_of_others)


def find_container(pods: Iterable[Pod], name: str, attribute: str = "container") -> Container:
    """Returns the container of a name.

    Args:
      pods: the pods to search.
      name: the name, such as "nginx", or "Deployment/web/nginx" if several containers are called so.
      attribute: the attribute that messages begin with.

    Raises:
      InputError: there is not exactly one such container, or the container or its pod has problems. Problems of the pod's
        other containers become notes of the container's settings.
    """
    candidates = {f"{pod.kind}/{pod.name}/{container.name}": (container, pod) for pod in pods for container in pod.containers}
    matches = [full_name for full_name in candidates if _matches(full_name, name)]
    if len(matches) == 1:
        return _check(*candidates[matches[0]])
    if matches:
        raise InputError([format_problem(attribute, name, "there are several; write one of " + ", ".join(map(quote, matches)))])
    names = sorted({container.name for container, _ in candidates.values()})
    if closest := find_closest(name, names):
        hint = f"did you mean {quote(closest)}?"
    else:
        hint = "there are " + (", ".join(map(quote, names)) or "none")
    raise InputError([format_problem(attribute, name, "no container of this name; " + hint)])


def find_containers_of_image(pods: Iterable[Pod], image: str) -> list[Container]:
    """Returns the containers that run an image.

    Args:
      pods: the pods to search.
      image: the image, as for images.names_image().
    """
    containers = (container for pod in pods for container in pod.containers)
    return [container for container in containers if container.image and names_image(container.image, image)]


def _matches(full_name: str, name: str) -> bool:
    """Returns whether a full name, KIND/OBJECT/CONTAINER, is a name or ends with it."""
    return full_name == name or full_name.endswith("/" + name)


def _check(container: Container, pod: Pod) -> Container:
    """Returns a container of a pod, with the problems of the pod's other containers as notes.

    Raises:
      InputError: the container does not start, or the API server refuses the pod.
    """
    others = (other for other in pod.containers if other is not container)
    problems_of_others = {text for other in others for text in other.problems}.difference(container.problems)
    if problems := [text for text in pod.problems if text not in problems_of_others]:
        raise InputError(problems)
    return _add_notes(container, "another container of the pod does not start", pod.problems)


def _add_notes(container: Container, what: str, problems: Iterable[str]) -> Container:
    """Returns a container with a note for each problem of others.

    Args:
      container: the container.
      what: the beginning of each note.
      problems: the problems.
    """
    notes = [f"{what}: {text}" for text in dict.fromkeys(problems)][:_MAX_NAMES]
    if not notes:
        return container
    return replace(container, settings=replace(container.settings, notes=(*container.settings.notes, *notes)))

"""Finds containers in manifests."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import replace

from rules_setcap.containers.kubernetes import images
from rules_setcap.containers.kubernetes.manifests import Container, Manifest, Pod
from rules_setcap.diagnostics.errors import InputError, problem, quote

_MAX_NAMES = 20


def select_container(manifest: Manifest, name: str | None, file: str, attribute: str = "container", source: str = "manifest") -> Container:
    """Returns the container of a name in a manifest of which only that has to be right.

    Args:
      manifest: as manifests.parse_manifest() returns it if `partial`.
      name: as for find_container(); None for the only container that there is.
      file: the manifest's name, for messages.
      attribute: the name that messages about the container's name begin with.
      source: the name that messages about the file begin with.

    Raises:
      InputError: there is not exactly one, or its pod or itself has problems. Problems of others are notes of its settings.
    """
    pods = manifest.pods
    there = [(f"{pod.kind}/{pod.name}/{each.name}", pod, each) for pod in pods for each in pod.containers]
    if name is None and len(there) > 1:
        names = ", ".join(quote(full) for full, _, _ in there[:_MAX_NAMES])
        raise InputError([problem(source, file, f"there are several containers; write {attribute}, one of {names}")])
    problems = [*manifest.problems, *(text for pod in pods for text in pod.problems)]
    if not there:
        raise InputError(problems or [problem(source, file, "no container in it")])
    try:
        found = find_container(pods, name, attribute) if name is not None else _checked(there[0][2], there[0][1])
    except InputError as error:
        # The container may be missing because its object could not be read.
        missing = name is not None and not any(full == name or full.endswith("/" + name) for full, _, _ in there)
        raise InputError([*error.problems, *problems] if missing else error.problems) from None
    others = [*manifest.problems]
    others += [text for pod in pods for text in pod.problems if not any(each.field is found.field for each in pod.containers)]
    return _noted(found, "not right in the same file, and not judged here", others)


def _checked(container: Container, pod: Pod) -> Container:
    """Returns a container; why other containers of its pod do not start becomes notes.

    Raises:
      InputError: it does not start either, or the API server refuses the pod.
    """
    of_others = {text for each in pod.containers if each is not container for text in each.problems}.difference(container.problems)
    if problems := [text for text in pod.problems if text not in of_others]:
        raise InputError(problems)
    return _noted(container, "does not start, in the same pod", [text for text in pod.problems if text in of_others])


def _noted(container: Container, what: str, problems: Iterable[str]) -> Container:
    """Returns a container with problems of others among its notes."""
    notes = [f"{what}: {text}" for text in dict.fromkeys(problems)][:_MAX_NAMES]
    if not notes:
        return container
    return replace(container, settings=replace(container.settings, notes=(*container.settings.notes, *notes)))


def find_container(pods: Iterable[Pod], name: str, attribute: str = "container") -> Container:
    """Returns the container of a name: "nginx", or where there are several "Deployment/web/nginx".

    Args:
      pods: where to look.
      name: the name.
      attribute: the name that messages begin with.

    Raises:
      InputError: there is not exactly one, or its pod or itself has problems. Problems of the pod's other containers are
        notes of its settings.
    """
    pods = list(pods)
    known = {f"{pod.kind}/{pod.name}/{container.name}": container for pod in pods for container in pod.containers}
    found = [full for full in known if full == name or full.endswith("/" + name)]
    if len(found) == 1:
        return _checked(known[found[0]], next(pod for pod in pods if any(each is known[found[0]] for each in pod.containers)))
    if found:
        raise InputError([problem(attribute, name, "there are several; write one of " + ", ".join(map(quote, found)))])
    bare = sorted({container.name for container in known.values()})
    near = difflib.get_close_matches(name[:64], bare, n=1, cutoff=0.6)
    hint = f"did you mean {quote(near[0])}?" if near else ("there are " + ", ".join(map(quote, bare)) if bare else "there are none")
    raise InputError([problem(attribute, name, "no container of this name; " + hint)])


def find_containers_of_image(pods: Iterable[Pod], wanted: str) -> list[Container]:
    """Returns the containers that run an image.

    Args:
      pods: where to look.
      wanted: the image, as images.names takes it.

    Raises:
      InputError: `wanted` is not a valid image name.
    """
    try:
        images.reference(wanted)
    except ValueError as error:
        raise InputError([problem("image", wanted, str(error))]) from None
    return [one for pod in pods for one in pod.containers if one.image and images.names(one.image, wanted)]

"""Whether the containers of Kubernetes manifests get what an image's files are to give them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from getcap.chain import hops
from getcap.images import Image
from getcap.verdict import judge
from kubernetes import Container, Pod, of_image, read
from kubernetes.standards import LEVELS, VERSION, evaluate
from packer.errors import InputError, problem, quote
from runtimes import runtime as named
from runtimes.process import describe

_MAX_MANIFEST = 16 << 20


def check(images: Sequence[Image], manifests: Sequence[str], name: str, runtime: str, level: str) -> list[str]:
    """What is wrong, a sentence each; nothing if all containers get what the files have.

    Args:
      images: one for each platform.
      manifests: paths of YAML or JSON files.
      name: what the manifests call the image; see kubernetes.images.names.
      runtime: "containerd", "cri-o", or with a version.
      level: of the Pod Security Standards, that the pods are to satisfy.

    Raises:
      InputError: a manifest is none, with all that is wrong; no container runs the image.
    """
    kind = named(runtime).name
    problems: list[str] = []
    pods: list[Pod] = []
    for path in manifests:
        with open(path, "rb") as file:
            data = file.read(_MAX_MANIFEST + 1)
        try:
            if len(data) > _MAX_MANIFEST:
                raise InputError([problem("manifests", path, f"larger than {_MAX_MANIFEST} bytes")])
            pods += read(data, path, kind)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    containers = of_image(pods, name)
    if not containers:
        known = sorted({each.image for pod in pods for each in pod.containers if each.image})
        raise InputError([problem("image_name", name, "no container of the manifests runs it; they run " + (", ".join(known) or "none"))])
    said: list[str] = []
    for image in images:
        for container in containers:
            try:
                said += _container(image, container, runtime)
            except InputError as error:
                said += error.problems
    for pod in pods:
        if any(each in containers for each in pod.containers):
            said += _standing(pod, level)
    return list(dict.fromkeys(said))


def _standing(pod: Pod, level: str) -> Iterator[str]:
    standing = evaluate(pod)
    if LEVELS.index(standing.level) >= LEVELS.index(level):
        return
    for broken in standing.violations:
        if LEVELS.index(broken.level) <= LEVELS.index(level):
            yield f"{broken.where}: not {level} by the Pod Security Standards {VERSION} ({broken.control}): {broken.what}"


def _container(image: Image, container: Container, runtime: str) -> Iterator[str]:
    """What is wrong with a container: of its program or, if that has no capabilities, of those in the image that have."""
    settings = container.settings
    chain = hops(image, settings)
    chains = [chain]
    if not chain[-1].file.capabilities and image.capabilities:
        chains = [hops(image, settings, path) for path in image.capabilities]
    for each in chains:
        verdict = judge(image, settings, each, named(runtime))
        if verdict.good:
            continue
        missing = verdict.wanted & ~(verdict.after.permitted if verdict.after else 0)
        what = f"runs without {describe(missing)}" if verdict.after else 'does not start ("operation not permitted")'
        fix = "; to mend it: " + ", and ".join(verdict.fixes) if verdict.fixes else ""
        yield f"{settings.where}: {quote(each[-1].path)} {what}: " + "; ".join(verdict.why) + fix

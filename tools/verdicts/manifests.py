"""Checks that the containers of Kubernetes manifests get the capabilities that an image's files have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from getcap.chain import hops
from getcap.images import Image
from getcap.verdict import judge
from kubernetes import Container, Manifest, Pod, mentions, of_image, parse
from kubernetes.images import reference
from kubernetes.standards import LEVELS, VERSION, evaluate
from packer import limits
from packer.errors import InputError, problem, quote
from runtimes import Runtime
from runtimes import runtime as parse_runtime
from runtimes.process import describe


@dataclass(frozen=True)
class Attributes:
    """The attributes of a kubernetes_test.

    Attributes:
      name: the image's name in the manifests; see kubernetes.images.names.
      runtime: the container runtime of the nodes.
      level: the Pod Security Standards level that the pods are to satisfy.
    """

    name: str
    runtime: Runtime
    level: str


def parse_attributes(name: str, runtime: str, level: str) -> Attributes:
    """Returns the attributes of a test.

    Args:
      name: a repository, with a tag or digest where those matter.
      runtime: "containerd", "cri-o", or one of them with a version.
      level: a Pod Security Standards level.

    Raises:
      InputError: with every invalid attribute.
    """
    problems: list[str] = []
    try:
        reference(name)
    except ValueError as error:
        problems.append(problem("image_name", name, str(error)))
    try:
        known = parse_runtime(runtime)
        if known.name not in ("containerd", "cri-o"):
            problems.append(problem("runtime", runtime, 'not a runtime of Kubernetes nodes; write "containerd" or "cri-o"'))
    except InputError as error:
        problems += error.problems
    if problems:
        raise InputError(problems)
    return Attributes(name, known, level)


def check(images: Sequence[Image], manifests: Sequence[str], attributes: Attributes) -> list[str]:
    """Returns a sentence for each finding: an empty list if all containers get what the files have.

    Args:
      images: one for each platform.
      manifests: paths of YAML or JSON files.
      attributes: the test's.
    """
    findings, parsed = _parse(manifests, attributes.runtime)
    pods = [pod for manifest in parsed for pod in manifest.pods]
    containers = of_image(pods, attributes.name)
    for manifest in parsed:
        for field in mentions(manifest, attributes.name):
            what = "names the image, in a kind without a pod template that can be checked; leave the manifest out if it runs no container"
            findings.append(problem(field.where, field.node.value, what))
    if not containers and not findings:
        known = sorted({each.image for pod in pods for each in pod.containers if each.image})
        what = "no container of the manifests runs it; they run " + (", ".join(map(quote, known[:20])) or "none")
        findings.append(problem("image_name", attributes.name, what))
    for image in images:
        findings += image.problems
        for container in containers:
            try:
                findings += _container(image, container, attributes.runtime)
            except InputError as error:
                findings += error.problems
    for pod in pods:
        if any(each in containers for each in pod.containers):
            findings += pod.problems
            try:
                findings += _standing(pod, attributes.level)
            except InputError as error:
                findings += error.problems
    return list(dict.fromkeys(findings))


def _parse(paths: Sequence[str], runtime: Runtime) -> tuple[list[str], list[Manifest]]:
    """Returns the problems of the manifests, and those manifests that have none."""
    findings: list[str] = []
    parsed = []
    for path in paths:
        try:
            with open(path, "rb") as file:
                data = file.read(limits.YAML + 1)
            parsed.append(parse(data, path, runtime.name))
        except InputError as error:
            findings += error.problems
    return findings, parsed


def _standing(pod: Pod, level: str) -> Iterator[str]:
    standing = evaluate(pod)
    if LEVELS.index(standing.level) >= LEVELS.index(level):
        return
    for broken in standing.violations:
        if LEVELS.index(broken.level) <= LEVELS.index(level):
            yield f"{broken.where}: not {level} by the Pod Security Standards {VERSION} ({broken.control}): {broken.what}"


def _container(image: Image, container: Container, runtime: Runtime) -> Iterator[str]:
    """The findings about a container's program or, if that has no capabilities, about those in the image that have."""
    settings = container.settings
    chain = hops(image, settings)
    chains = [chain]
    if not chain[-1].file.capabilities and image.capabilities:
        chains = [hops(image, settings, path) for path in image.capabilities]
    for each in chains:
        verdict = judge(image, settings, each, runtime)
        if verdict.good:
            continue
        missing = verdict.wanted & ~(verdict.after.permitted if verdict.after else 0)
        what = f"runs without {describe(missing)}" if verdict.after else 'does not start ("operation not permitted")'
        fix = "; fix: " + ", and ".join(verdict.fixes) if verdict.fixes else ""
        yield f"{settings.where}: {quote(each[-1].path)} {what}: " + "; ".join(verdict.why) + fix

"""Checks that the containers of Kubernetes manifests get the capabilities that the files of an image have."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rules_setcap.containers.engines import Engine, parse_engine
from rules_setcap.containers.fixes import find_fixes_of_refusal
from rules_setcap.containers.judge import judge_plan
from rules_setcap.containers.kubernetes import Container, Manifest, Pod, find_containers_of_image, find_mentions, parse_manifest
from rules_setcap.containers.kubernetes.standards import LEVELS, VERSION, conform_settings, evaluate_pod
from rules_setcap.containers.process import format_capabilities
from rules_setcap.containers.verdict import Plan, Verdict, make_candidate_plans
from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import InputError, format_problem, quote
from rules_setcap.diagnostics.problems import Problems
from rules_setcap.oci.reference import parse_reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rules_setcap.oci.image_reader import Image


@dataclass(frozen=True)
class KubernetesTestAttributes:
    """The attributes of a kubernetes_test, or of one image of kubernetes_manifests.

    Attributes:
      name: the name of the image in the manifests.
      runtime: the container runtime of the nodes.
      level: the level of the Pod Security Standards that the pods must satisfy.
      programs: the paths of the programs that the containers run; empty if the test must find them.
      is_mapped: whether it is an image of kubernetes_manifests, which reports names of images that are not valid itself.
      allows_custom_resources: whether fields of custom resources outside pod templates may name the image.
    """

    name: str
    runtime: Engine
    level: str
    programs: tuple[str, ...] = ()
    is_mapped: bool = False
    allows_custom_resources: bool = False


def parse_test_attributes(
    name: str,
    runtime: str,
    level: str,
    programs: Sequence[str] = (),
    *,
    is_mapped: bool = False,
    allows_custom_resources: bool = False,
) -> KubernetesTestAttributes:
    """Parses the attributes of a kubernetes_test, or of one image of kubernetes_manifests.

    Args:
      name: the attribute image_name.
      runtime: the attribute runtime.
      level: the attribute pod_security.
      programs: the attribute programs.
      is_mapped: as KubernetesTestAttributes.is_mapped. If so, mapped_images.check_names() checks the name.
      allows_custom_resources: as KubernetesTestAttributes.allows_custom_resources.

    Raises:
      InputError: attributes are not valid.
    """
    problems = Problems()
    try:
        if not is_mapped:
            parse_reference(name)
    except ValueError as error:
        problems.add("image_name", name, str(error))
    try:
        known = parse_engine(runtime)
        if known.name not in ("containerd", "cri-o"):
            problems.add("runtime", runtime, 'not a runtime of Kubernetes nodes; write "containerd" or "cri-o"')
    except InputError as error:
        problems.extend(error.problems)
    for path in programs:
        if not path.startswith("/"):
            problems.add("programs", path, f"must be absolute; write {quote('/' + path)}")
    problems.raise_if_any()
    return KubernetesTestAttributes(name, known, level, tuple(programs), is_mapped, allows_custom_resources)


def check_manifests(images: Sequence[Image], paths: Iterable[str], attributes: KubernetesTestAttributes) -> list[str]:
    """Checks the containers that run an image, in manifests that are given by their paths; the rest is as for check_texts()."""
    manifests = {}
    for path in paths:
        with open(path, "rb") as file:
            manifests[path] = file.read(limits.YAML + 1)
    return check_texts(images, manifests, attributes)


def check_texts(images: Sequence[Image], manifests: Mapping[str, bytes], attributes: KubernetesTestAttributes) -> list[str]:
    """Checks the containers that run an image.

    Args:
      images: the images, one for each platform.
      manifests: the bytes of YAML or JSON files by their paths.
      attributes: the attributes of the test.

    Returns:
      The findings, a sentence each; an empty list if all containers get the capabilities of their files.
    """
    findings, parsed = _parse_manifests(manifests, attributes)
    pods = [pod for manifest in parsed for pod in manifest.pods]
    containers = find_containers_of_image(pods, attributes.name)
    for manifest in parsed:
        if not attributes.allows_custom_resources:
            findings += _describe_mentions(manifest, attributes)
    if not containers and not findings and not attributes.is_mapped:
        names = sorted({container.image for pod in pods for container in pod.containers if container.image})
        what = "no container of the manifests runs it; they run " + (", ".join(map(quote, names[:20])) or "no image")
        findings.append(format_problem("image_name", attributes.name, what))
    for image in images:
        findings += image.problems
        for path in attributes.programs:
            if image.find_file(path) is None:
                findings.append(format_problem("programs", path, "no such file in the image"))
        for container in containers:
            try:
                findings += _check_container(image, container, attributes)
            except InputError as error:
                findings += error.problems
    for pod in pods:
        if any(container in containers for container in pod.containers):
            findings += pod.problems
            try:
                findings += _check_pod_security(pod, attributes.level)
            except InputError as error:
                findings += error.problems
    return list(dict.fromkeys(findings))


def _describe_mentions(manifest: Manifest, attributes: KubernetesTestAttributes) -> Iterator[str]:
    """Yields the findings about the fields that name the image, and are not those of containers."""
    if attributes.is_mapped:
        fix = 'add "custom_resources" to disabled_checks if it may stay unchecked'
    else:
        fix = "leave the manifest out if it runs no container"
    for field in find_mentions(manifest, attributes.name):
        what = f"names the image, in a kind without a pod template that can be checked; {fix}"
        yield format_problem(field.where, field.node.value, what)


class _AnyName(frozenset[str]):
    """Every text as the name of an image."""

    def __contains__(self, name: object) -> bool:
        return True


def _parse_manifests(manifests: Mapping[str, bytes], attributes: KubernetesTestAttributes) -> tuple[list[str], list[Manifest]]:
    """Returns the problems of the manifests, and those manifests that have none."""
    findings: list[str] = []
    parsed = []
    placeholders = _AnyName() if attributes.is_mapped else frozenset[str]()
    for path, data in manifests.items():
        try:
            parsed.append(parse_manifest(data, path, attributes.runtime.name, placeholders=placeholders))
        except InputError as error:
            findings += error.problems
    return findings, parsed


def _check_pod_security(pod: Pod, level: str) -> Iterator[str]:
    """Yields the violations of a level of the Pod Security Standards."""
    evaluation = evaluate_pod(pod)
    if LEVELS.index(evaluation.level) >= LEVELS.index(level):
        return
    for violation in evaluation.violations:
        if LEVELS.index(violation.level) <= LEVELS.index(level):
            yield f"{violation.where}: not {level} by the Pod Security Standards {VERSION} ({violation.control}): {violation.what}"


def _check_container(image: Image, container: Container, attributes: KubernetesTestAttributes) -> Iterator[str]:
    """Yields the findings about the program of a container.

    If the program is not known, or has no capabilities, the findings are about the attribute `programs` of the test. If that
    is not set, they are about all files of the image that have capabilities.
    """
    plan = Plan(
        image, container.settings, attributes.runtime, standard=functools.partial(conform_settings, level=attributes.level)
    )
    try:
        verdict = judge_plan(plan)
    except InputError as error:
        if fixes := find_fixes_of_refusal(plan, error):
            raise InputError([f"{text}; fix: {', and '.join(fixes)}" for text in error.problems]) from None
        raise
    verdicts = [verdict]
    is_guess = False
    if verdict.chain.unknown_reason or (verdict.after is not None and not verdict.hop.file.capabilities and image.capabilities):
        others = [judge_plan(candidate) for candidate in make_candidate_plans(plan, attributes.programs)]
        if others or verdict.chain.unknown_reason:
            is_guess = not attributes.programs
            verdicts = others
        if verdict.chain.unknown_reason and not image.capabilities and verdict.requested:
            yield f"{container.settings.where}: {_describe_unknown_program(verdict)}"
    for other in verdicts:
        if other.is_proven and other.is_good:
            continue
        finding = f"{container.settings.where}: {_describe_verdict(other)}"
        if not other.is_good and not other.fixes and not other.chain.unknown_reason:
            finding += _find_fix_of_lower_level(
                replace(plan, program=other.hop.path if other is not verdict else ""), attributes.level
            )
        if is_guess:
            reason = (
                f"{_describe_unknown_program(verdict)}; if"
                if verdict.chain.unknown_reason
                else f"the container runs {quote(verdict.hop.name)}; if"
            )
            finding += f"; {reason} it does not execute {quote(other.hop.path)}, name the programs that it does execute: programs = [...]"
        yield finding


def _find_fix_of_lower_level(plan: Plan, level: str) -> str:
    """Returns the fix for a container that needs a lower level than that of the test; "" if there is none."""
    for lower in reversed(LEVELS[: LEVELS.index(level)]):
        standard = functools.partial(conform_settings, level=lower)
        if fixes := judge_plan(replace(plan, standard=standard)).fixes:
            return f"; no fix is known within the level {level}; with pod_security = {quote(lower)}: " + ", and ".join(fixes)
    return ""


def _describe_unknown_program(verdict: Verdict) -> str:
    return f"the program is not known: {verdict.hop.name} {verdict.chain.unknown_reason}"


def _describe_verdict(verdict: Verdict) -> str:
    after = verdict.after
    if after is None:
        what = (
            f"does not start ({verdict.chain.failure})" if verdict.chain.failure else 'does not start ("operation not permitted")'
        )
    elif verdict.is_good:
        what = f"may run without what it asks for: {verdict.doubt}"
    else:
        what = f"runs without {format_capabilities(verdict.requested & ~after.permitted)}"
    fix = "; fix: " + ", and ".join(verdict.fixes) if verdict.fixes else ""
    notes = "".join(f"; note: {text}" for text in verdict.unneeded)
    return f"{quote(verdict.hop.path)} {what}: " + "; ".join(verdict.reasons) + notes + fix

"""Checks that the containers of Kubernetes manifests get the capabilities that an image's files have."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rules_setcap.containers.engines import Engine, parse_engine
from rules_setcap.containers.fixes import find_fixes_of_refusal
from rules_setcap.containers.judge import judge_plan
from rules_setcap.containers.kubernetes import Container, Manifest, Pod, find_containers_of_image, find_mentions, parse_manifest
from rules_setcap.containers.kubernetes.images import reference
from rules_setcap.containers.kubernetes.standards import LEVELS, VERSION, conform_settings, evaluate_pod
from rules_setcap.containers.process import format_capabilities
from rules_setcap.containers.verdict import Plan, Verdict, make_candidate_plans
from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import InputError, problem, quote
from rules_setcap.oci.image_reader import Image


@dataclass(frozen=True)
class Attributes:
    """The attributes of a kubernetes_test.

    Attributes:
      name: the image's name in the manifests; see kubernetes.images.names.
      runtime: the container runtime of the nodes.
      level: the Pod Security Standards level that the pods are to satisfy.
      programs: the paths of the programs that the containers are about, where that cannot be found.
    """

    name: str
    runtime: Engine
    level: str
    programs: tuple[str, ...] = ()


def parse_attributes(name: str, runtime: str, level: str, programs: Sequence[str] = ()) -> Attributes:
    """Returns the attributes of a test.

    Args:
      name: a repository, with a tag or digest where those matter.
      runtime: "containerd", "cri-o", or one of them with a version.
      level: a Pod Security Standards level.
      programs: absolute paths in the image.

    Raises:
      InputError: with every invalid attribute.
    """
    problems: list[str] = []
    try:
        reference(name)
    except ValueError as error:
        problems.append(problem("image_name", name, str(error)))
    try:
        known = parse_engine(runtime)
        if known.name not in ("containerd", "cri-o"):
            problems.append(problem("runtime", runtime, 'not a runtime of Kubernetes nodes; write "containerd" or "cri-o"'))
    except InputError as error:
        problems += error.problems
    for path in programs:
        if not path.startswith("/"):
            problems.append(problem("programs", path, f"must be absolute; write {quote('/' + path)}"))
    if problems:
        raise InputError(problems)
    return Attributes(name, known, level, tuple(programs))


def check(images: Sequence[Image], manifests: Sequence[str], attributes: Attributes) -> list[str]:
    """Returns a sentence for each finding: an empty list if all containers get what the files have.

    Args:
      images: one for each platform.
      manifests: paths of YAML or JSON files.
      attributes: the test's.
    """
    findings, parsed = _parse(manifests, attributes.runtime)
    pods = [pod for manifest in parsed for pod in manifest.pods]
    containers = find_containers_of_image(pods, attributes.name)
    for manifest in parsed:
        for field in find_mentions(manifest, attributes.name):
            what = "names the image, in a kind without a pod template that can be checked; leave the manifest out if it runs no container"
            findings.append(problem(field.where, field.node.value, what))
    if not containers and not findings:
        known = sorted({each.image for pod in pods for each in pod.containers if each.image})
        what = "no container of the manifests runs it; they run " + (", ".join(map(quote, known[:20])) or "none")
        findings.append(problem("image_name", attributes.name, what))
    for image in images:
        findings += image.problems
        for path in attributes.programs:
            if image.find_file(path) is None:
                findings.append(problem("programs", path, "no such file in the image"))
        for container in containers:
            try:
                findings += _container(image, container, attributes)
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


def _parse(paths: Sequence[str], runtime: Engine) -> tuple[list[str], list[Manifest]]:
    """Returns the problems of the manifests, and those manifests that have none."""
    findings: list[str] = []
    parsed = []
    for path in paths:
        try:
            with open(path, "rb") as file:
                data = file.read(limits.YAML + 1)
            parsed.append(parse_manifest(data, path, runtime.name))
        except InputError as error:
            findings += error.problems
    return findings, parsed


def _standing(pod: Pod, level: str) -> Iterator[str]:
    evaluation = evaluate_pod(pod)
    if LEVELS.index(evaluation.level) >= LEVELS.index(level):
        return
    for broken in evaluation.violations:
        if LEVELS.index(broken.level) <= LEVELS.index(level):
            yield f"{broken.where}: not {level} by the Pod Security Standards {VERSION} ({broken.control}): {broken.what}"


def _container(image: Image, container: Container, attributes: Attributes) -> Iterator[str]:
    """Yields the findings about a container's program.

    If the program is not known, or has no capabilities, they are about the `programs` of the test; without these, about
    all files of the image that have capabilities.
    """
    plan = Plan(image, container.settings, attributes.runtime, standard=functools.partial(conform_settings, level=attributes.level))
    try:
        verdict = judge_plan(plan)
    except InputError as error:
        if refused := find_fixes_of_refusal(plan, error):
            raise InputError([f"{text}; fix: {', and '.join(refused)}" for text in error.problems]) from None
        raise
    judged = [verdict]
    guessed = False
    if verdict.chain.unknown_reason or verdict.after is not None and not verdict.hop.file.capabilities and image.capabilities:
        others = [judge_plan(each) for each in make_candidate_plans(plan, attributes.programs)]
        if others or verdict.chain.unknown_reason:
            guessed = not attributes.programs
            judged = others
        if verdict.chain.unknown_reason and not image.capabilities and verdict.requested:
            yield f"{container.settings.where}: {_unknown(verdict)}"
    for each in judged:
        if each.is_proven and each.is_good:
            continue
        finding = f"{container.settings.where}: {_sentence(each)}"
        if not each.is_good and not each.fixes and not each.chain.unknown_reason:
            finding += _beyond(replace(plan, program=each.hop.path if each is not verdict else ""), attributes.level)
        if guessed:
            reason = f"{_unknown(verdict)}; if" if verdict.chain.unknown_reason else f"the container runs {quote(verdict.hop.name)}; if"
            finding += f"; {reason} it does not execute {quote(each.hop.path)}, name the programs that it does execute: programs = [...]"
        yield finding


def _beyond(plan: Plan, level: str) -> str:
    """Returns the fix for a container that has none within a level: one that needs a lower level."""
    for lower in reversed(LEVELS[: LEVELS.index(level)]):
        standard = functools.partial(conform_settings, level=lower)
        if fixes := judge_plan(replace(plan, standard=standard)).fixes:
            return f"; no fix is known within the level {level}; with level = {quote(lower)}: " + ", and ".join(fixes)
    return ""


def _unknown(verdict: Verdict) -> str:
    return f"the program is not known: {verdict.hop.name} {verdict.chain.unknown_reason}"


def _sentence(verdict: Verdict) -> str:
    after = verdict.after
    if after is None:
        what = f"does not start ({verdict.chain.failure})" if verdict.chain.failure else 'does not start ("operation not permitted")'
    elif verdict.is_good:
        what = f"may run without what it asks for: {verdict.doubt}"
    else:
        what = f"runs without {format_capabilities(verdict.requested & ~after.permitted)}"
    fix = "; fix: " + ", and ".join(verdict.fixes) if verdict.fixes else ""
    notes = "".join(f"; note: {text}" for text in verdict.unneeded)
    return f"{quote(verdict.hop.path)} {what}: " + "; ".join(verdict.reasons) + notes + fix

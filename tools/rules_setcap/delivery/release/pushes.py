"""Pushes the images of a release, so that each blob travels once.

A blob that several repositories of a registry lack is uploaded to one of them. The registry mounts it in the others.
"""

from __future__ import annotations

import concurrent.futures
import json
from typing import TYPE_CHECKING

from rules_setcap.delivery.errors import DeliveryError
from rules_setcap.delivery.release.model import PUSHED, list_blobs
from rules_setcap.delivery.release.report import format_size
from rules_setcap.oci import media_types

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rules_setcap.delivery.release.model import ImagePlan, ReleaseImage
    from rules_setcap.delivery.release.session import Session

_Sources = dict[tuple[str, str], str]
"""By registry and digest, a repository that has a blob."""


def push_images(session: Session) -> None:
    """Pushes the manifests and blobs that the registries lack, by digest."""
    plans = [plan for plan in session.plans if plan.status == PUSHED]
    if not plans:
        return
    sources = _find_sources(session.plans)
    for _ in session.readers.map(lambda plan: _mount_blobs(session, plan, sources), plans):
        pass
    if _fetch_blobs(session, plans):
        _push_in_order(session, plans, sources)


def _find_sources(plans: Sequence[ImagePlan]) -> _Sources:
    sources: _Sources = {}
    for plan in plans:
        for digest, repository in plan.image.base_repositories.items():
            sources.setdefault((repository.partition("/")[0], digest), repository)
        for digest in _list_all_blobs(plan.image) if plan.has_known_blobs else ():
            if digest not in plan.missing_blobs:
                sources[plan.image.host, digest] = plan.image.repository
    return sources


def _list_all_blobs(image: ReleaseImage) -> set[str]:
    """Returns the digests of all configs and layers of an image."""
    blobs: set[str] = set()
    for manifest in image.manifests:
        if manifest["mediaType"] not in media_types.INDEXES:
            blobs.update(list_blobs(json.loads(image.documents[manifest["digest"]])))
    return blobs


def _mount_blobs(session: Session, plan: ImagePlan, sources: _Sources) -> None:
    """Has the registry mount the missing blobs that other repositories have. Blobs that it does not mount are uploaded later."""
    image, registry = plan.image, session.get_registry(plan.image)
    if not plan.has_known_blobs:
        return
    for digest in list(plan.missing_blobs):
        source = sources.get((image.host, digest), image.repository)
        try:
            if source != image.repository and registry.mounts and registry.mount_blob(image.repository, digest, source):
                del plan.missing_blobs[digest]
        except DeliveryError:
            return


def _fetch_blobs(session: Session, plans: Sequence[ImagePlan]) -> bool:
    """Has Bazel download the blobs that travel and are not on this machine; returns whether all are on this machine."""
    missing: dict[str, tuple[ReleaseImage, int]] = {}
    for plan in plans:
        for digest, size in plan.missing_blobs.items():
            if digest not in plan.image.documents and not session.blobs.find(plan.image, digest, size):
                missing.setdefault(digest, (plan.image, size))
    try:
        if missing:
            session.blobs.fetch(missing)
    except DeliveryError as error:
        for plan in plans:
            if not missing.keys().isdisjoint(plan.missing_blobs):
                plan.fail(str(error))
        return False
    return True


def _push_in_order(session: Session, plans: Sequence[ImagePlan], sources: _Sources) -> None:
    """Pushes images at the same time, but no two that would upload the same blob to one registry."""
    session.reporter.begin("pushing", len(plans))
    waiting = list(plans)
    running: dict[concurrent.futures.Future[bool], tuple[ImagePlan, set[tuple[str, str]]]] = {}
    travelling: set[tuple[str, str]] = set()  # Registry and digest of the blobs that running pushes upload.
    while waiting or running:
        for plan in list(waiting):
            if len(running) >= session.jobs:
                break
            blobs = {(plan.image.host, digest) for digest in plan.missing_blobs}
            if plan.has_known_blobs and session.get_registry(plan.image).mounts and not travelling.isdisjoint(blobs):
                continue
            waiting.remove(plan)
            travelling |= blobs
            running[session.writers.submit(session.attempt, plan, lambda plan: _push_image(session, plan, sources))] = plan, blobs
        done, _ = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
        for future in done:
            plan, blobs = running.pop(future)
            travelling -= blobs
            if future.result():
                sources.update((blob, plan.image.repository) for blob in blobs if blob not in sources)


def _push_image(session: Session, plan: ImagePlan, sources: _Sources) -> str:
    """Pushes an image by its digest, and checks that the registry has it."""
    image = plan.image
    _mount_blobs(session, plan, sources)
    travelling = {digest: size for digest, size in plan.missing_blobs.items() if digest not in image.documents}
    paths = {digest: session.blobs.verify(image, digest, size) for digest, size in travelling.items()}
    session.push(image, image.descriptor, image.documents, paths)
    if plan.is_read and not session.get_registry(image).find_manifest(image.repository, image.digest):
        raise DeliveryError(f"the registry does not have {image.reference} after the push")
    plan.uploaded = sum(plan.missing_blobs.values())
    return f"{PUSHED} {image.reference} ({format_size(plan.uploaded)})"

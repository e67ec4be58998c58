"""Runs a release: asks the registries what they lack, pushes that, runs hooks, and moves the tags at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_setcap.delivery.errors import DeliveryError
from rules_setcap.delivery.release.attachments import attach_capabilities
from rules_setcap.delivery.release.model import FAILED, PUSHED, ImagePlan
from rules_setcap.delivery.release.plan import plan_image
from rules_setcap.delivery.release.pushes import push_images
from rules_setcap.delivery.release.report import format_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rules_setcap.delivery.release.hooks import Hook
    from rules_setcap.delivery.release.model import ReleaseImage
    from rules_setcap.delivery.release.session import Session


def run_release(
    session: Session, images: Sequence[ReleaseImage], *, hooks: Sequence[Hook], attaches: bool, dry_run: bool
) -> None:
    """Runs a release. `session.plans` has the outcome.

    Args:
      session: the release.
      images: the images.
      hooks: programs that run on each pushed image.
      attaches: whether to attach the capabilities of the images.
      dry_run: whether to ask the registries only.

    Raises:
      KeyboardInterrupt: the user has interrupted it. No process is left.
    """
    try:
        session.plans[:] = [ImagePlan(image, dict.fromkeys(image.tags, "")) for image in images]
        session.attempt_all("asking the registries", session.plans, lambda plan: _plan(session, plan), session.readers)
        if not dry_run and not session.has_failed():
            push_images(session)
            _finish(session, hooks, attaches)
    except BaseException:
        session.retries.stop.set()
        session.programs.stop()
        for pool in (session.readers, session.writers):
            pool.shutdown(cancel_futures=True)
        raise


def _plan(session: Session, plan: ImagePlan) -> str:
    """Asks the registry what it lacks of an image."""
    plan_image(plan, session.get_registry(plan.image))
    return ""


def _finish(session: Session, hooks: Sequence[Hook], attaches: bool) -> None:
    """Attaches capabilities, runs hooks and moves tags. A step begins if nothing has failed before it."""
    if attaches and not session.has_failed():
        session.attempt_all("attaching capabilities", session.plans, lambda plan: attach_capabilities(session, plan))
    if hooks and not session.has_failed():
        # An image without tags is complete as soon as it is pushed, so nothing tells whether its hooks have run.
        hooked = [plan for plan in session.plans if plan.status == PUSHED or plan.moving_tags or not plan.image.tags]
        session.attempt_all("running hooks", hooked, lambda plan: _run_hooks(session, hooks, plan))
    if not session.has_failed():
        moving = [plan for plan in session.plans if plan.moving_tags]
        session.attempt_all("checking tags", moving, lambda plan: _check_tags(session, plan), session.readers)
    if not session.has_failed():
        session.attempt_all("moving tags", [plan for plan in moving if plan.moving_tags], lambda plan: _move_tags(session, plan))


def _run_hooks(session: Session, hooks: Sequence[Hook], plan: ImagePlan) -> str:
    for hook in hooks:
        hook.run(plan.image.reference, session.programs)
    return ""


def _check_tags(session: Session, plan: ImagePlan) -> str:
    """Checks that nobody has moved the tags of an image since the release has asked for them."""
    image = plan.image
    for tag, before in list(plan.moving_tags.items()) if plan.is_read else ():
        now = session.get_registry(image).find_manifest(image.repository, tag)
        if now == image.digest:
            del plan.moving_tags[tag]
        elif now != before:
            raise DeliveryError(
                f"somebody else has moved {image.repository}:{tag} to {now or 'nothing'} during the release, and no tag was moved; "
                "run the release again to move it from there"
            )
    return ""


def _move_tags(session: Session, plan: ImagePlan) -> str:
    """Moves the tags of an image, and checks that the registry has them."""
    image = plan.image
    tags = list(plan.moving_tags)
    for tag in tags:
        session.move_tag(image, tag)
        plan.moved_tags.append(tag)
        if plan.is_read:
            digest = session.get_registry(image).find_manifest(image.repository, tag)
            if digest != image.digest:
                raise DeliveryError(
                    f"{image.repository}:{tag} is {digest or 'missing'} after the push; it must be {image.digest}"
                )
        del plan.moving_tags[tag]
    return f"tagged {image.repository}:{','.join(tags)}"


def describe_interruption(plans: Sequence[ImagePlan]) -> str:
    """Returns a sentence with how far a release came that was interrupted."""
    moved = sum(1 for plan in plans if plan.image.tags and plan.status != FAILED and not plan.moving_tags)
    uploaded = format_size(sum(plan.uploaded for plan in plans))
    return f"interrupted: {uploaded} uploaded, {moved} of {len(plans)} images have their tags; run it again to go on"

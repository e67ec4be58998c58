"""Chooses the images of a release by the user's flags, and where they are pushed."""

from __future__ import annotations

import dataclasses
import fnmatch
import re
from typing import TYPE_CHECKING

from rules_setcap.diagnostics.errors import format_problem
from rules_setcap.diagnostics.problems import Problems
from rules_setcap.oci import reference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rules_setcap.delivery.release.against import RecordedImage
    from rules_setcap.delivery.release.model import ReleaseImage


def select_images(images: Sequence[ReleaseImage], patterns: Sequence[str]) -> list[ReleaseImage]:
    """Returns the images that match one of the patterns.

    Args:
      images: the images.
      patterns: target patterns, such as //services/..., or patterns of repositories as fnmatch(3) has them; none for all images.

    Raises:
      InputError: patterns match nothing.
    """
    if not patterns:
        return list(images)
    problems = Problems()
    for pattern in patterns:
        if not any(matches_pattern(image, pattern) for image in images):
            labels = ", ".join(image.label for image in images[:3])
            problems.add("--only", pattern, f"matches no image; the release has {labels}{', ...' if len(images) > 3 else ''}")
    problems.raise_if_any()
    return [image for image in images if matches_any(image, patterns)]


def matches_any(image: ReleaseImage | RecordedImage, patterns: Sequence[str]) -> bool:
    """Returns whether an image matches one of the patterns."""
    return any(matches_pattern(image, pattern) for pattern in patterns)


def matches_pattern(image: ReleaseImage | RecordedImage, pattern: str) -> bool:
    """Returns whether an image matches a target pattern, or a pattern of repositories."""
    if not pattern.startswith(("//", "@")):
        return fnmatch.fnmatchcase(image.repository, pattern)
    package, _, name = image.label.partition(":")
    pattern = re.sub(r"/\.\.\.:(all|\*|all-targets)$", "/...", pattern)
    if pattern.endswith("/..."):
        prefix = pattern.removesuffix("...")
        return package.startswith(prefix) or package == prefix.rstrip("/")
    pattern_package, colon, pattern_name = pattern.partition(":")
    pattern_name = pattern_name if colon else pattern_package.rpartition("/")[2]
    return package == pattern_package and pattern_name in (name, "all", "*")


def set_destinations(images: Sequence[ReleaseImage], tags: Sequence[str] | None, prefix: str) -> list[ReleaseImage]:
    """Returns the images with the destinations that the user's flags set.

    Args:
      images: the images.
      tags: the tags of all images; None for those of their targets.
      prefix: the registry, and a path in it, that replaces the registry of each target; "" for none.

    Raises:
      InputError: an image has no repository, or two images have the same tag of a repository.
    """
    problems = Problems()
    chosen: list[ReleaseImage] = []
    owners: dict[str, ReleaseImage] = {}
    for image in images:
        repository = _add_prefix(image, prefix) if prefix else image.repository
        try:
            if not repository:
                raise ValueError("is not set; set the attribute of the target, or add --repository-prefix HOST/PATH")
            reference.check_repository(repository)
        except ValueError as error:
            problems.add_message(f"{image.label}: {format_problem('repository', repository, str(error))}")
            continue
        moved = dataclasses.replace(image, repository=repository, tags=list(dict.fromkeys(image.tags if tags is None else tags)))
        for tag in moved.tags:
            owner = owners.setdefault(f"{repository}:{tag}", moved)
            if owner.digest != moved.digest:
                what = f"{owner.label} has the same tag for another image; give one of them another repository or tag"
                problems.add_message(f"{image.label}: {format_problem('repository', f'{repository}:{tag}', what)}")
        chosen.append(moved)
    problems.raise_if_any()
    return chosen


def _add_prefix(image: ReleaseImage, prefix: str) -> str:
    """Returns the repository of an image below a prefix."""
    package = image.label.partition("//")[2].partition(":")[0]
    path = image.repository.partition("/")[2] or package.lower()
    return f"{prefix}/{path}"


def check_prefix(text: str) -> None:
    """Checks a prefix of repositories: a host, and a path if there is one.

    Raises:
      ValueError: it is not valid; the message is a sentence.
    """
    reference.check_repository(text if "/" in text else f"{text}/path")

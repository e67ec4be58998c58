"""Pairs the images of two sources by platform."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rules_setcap.diagnostics.errors import InputError, format_problem, quote
from rules_setcap.diff.model import Change
from rules_setcap.oci.platforms import matches_platform, parse_platform, split_platform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rules_setcap.diff.sources import Source, SourceImage


@dataclass(slots=True)
class Pairing:
    """The pairs of images that are compared.

    Attributes:
      pairs: the images of both sources.
      only_before: the platforms that only the first source has.
      only_after: the platforms that only the second source has.
      changes: a change for each image and each artifact that only one source has.
      notes: sentences about what is not compared.
    """

    pairs: list[tuple[SourceImage, SourceImage]]
    only_before: tuple[str, ...] = ()
    only_after: tuple[str, ...] = ()
    changes: list[Change] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def pair_images(before: Source, after: Source, platform: str) -> Pairing:
    """Pairs the images of two sources.

    Two sources with one image each are a pair, whatever their platforms are. A single image without an index is compared with
    the image for its platform. Other sources are compared platform by platform.

    Args:
      before: the first source.
      after: the second source.
      platform: os/architecture[/variant] of the images to compare; "" for all.

    Raises:
      InputError: the platform is not valid, or no images can be paired.
    """
    left, right = ([*source.images] for source in (before, after))
    if platform:
        left, right = (_choose_platform(source, platform) for source in (before, after))
    elif len(left) == 1 and len(right) > 1 and not before.index:
        return _pair_with_one(left[0], before, right, after, swapped=False)
    elif len(right) == 1 and len(left) > 1 and not after.index:
        return _pair_with_one(right[0], after, left, before, swapped=True)
    if len(left) == len(right) == 1:
        pairing = Pairing([(left[0], right[0])])
    else:
        pairing = _pair_by_platform(left, right)
        if not pairing.pairs:
            what = (
                f"has images for {_list_platforms(left)}, and {quote(after.name)} for {_list_platforms(right)}: none to compare"
            )
            raise InputError([format_problem("image", before.name, what)])
    if not platform:
        pairing.changes += _compare_artifacts(before, after)
    return pairing


def _choose_platform(source: Source, platform: str) -> list[SourceImage]:
    """Returns the images of a source for a platform; at least one."""
    try:
        parsed = parse_platform(platform)
    except ValueError as error:
        raise InputError([format_problem("platform", platform, str(error))]) from None
    if not any(image.platform for image in source.images):
        what = f"{quote(source.name)} is a tar of files, which has no platform; leave out --platform"
        raise InputError([format_problem("platform", platform, what)])
    images = [image for image in source.images if matches_platform(split_platform(image.platform), parsed)]
    if not images:
        what = f"{quote(source.name)} has no image for it; it has {_list_platforms(source.images)}"
        raise InputError([format_problem("platform", platform, what)])
    return images


def _pair_with_one(
    image: SourceImage, source: Source, others: Sequence[SourceImage], other_source: Source, *, swapped: bool
) -> Pairing:
    """Returns the pair of a single image and the image for its platform.

    Args:
      image: the single image.
      source: its source.
      others: the images of the other source.
      other_source: the other source.
      swapped: whether the single image is that of the second source.
    """
    matches = [other for other in others if other.digest == image.digest]
    if not matches and image.platform:
        platform = split_platform(image.platform)
        matches = [other for other in others if matches_platform(split_platform(other.platform), platform)]
    if len(matches) != 1:
        found = f"{len(matches)} images" if matches else "no image"
        what = (
            f"is one image{f' for {image.platform}' if image.platform else ''}, and {quote(other_source.name)} has {found} for "
            f"that platform; it has {_list_platforms(others)}; choose one with --platform, or give a layout of one image"
        )
        raise InputError([format_problem("image", source.name, what)])
    pair = (matches[0], image) if swapped else (image, matches[0])
    rest = [other for other in others if other is not matches[0]]
    which = "first" if swapped else "second"
    note = f"the {which} has images for {_list_platforms(rest)} too, which are not compared"
    return Pairing([pair], notes=[note])


def _pair_by_platform(left: Sequence[SourceImage], right: Sequence[SourceImage]) -> Pairing:
    """Returns the pairs of images for the same platform; of several for one platform, those with the same digest first."""
    pairing = Pairing([])
    only_before: list[str] = []
    only_after: list[str] = []
    for platform in dict.fromkeys(image.platform for image in (*left, *right)):
        sides = [[image for image in images if image.platform == platform] for images in (left, right)]
        digests = {image.digest for image in sides[0]} & {image.digest for image in sides[1]}
        for side in sides:
            side.sort(key=lambda image: image.digest not in digests)  # It keeps the order of the others.
        for pair in zip(*sides, strict=False):
            pairing.pairs.append(pair)
        common = min(map(len, sides))
        for image in sides[0][common:]:
            only_before.append(platform)
            pairing.changes.append(Change("index", "manifests", platform, before=image.digest))
        for image in sides[1][common:]:
            only_after.append(platform)
            pairing.changes.append(Change("index", "manifests", platform, after=image.digest))
    pairing.only_before, pairing.only_after = tuple(dict.fromkeys(only_before)), tuple(dict.fromkeys(only_after))
    return pairing


def _compare_artifacts(before: Source, after: Source) -> list[Change]:
    """Returns a change for each artifact, such as a signature, that only one source has."""
    left = {artifact.digest: artifact.description for artifact in before.artifacts}
    right = {artifact.digest: artifact.description for artifact in after.artifacts}
    changes = [
        Change("index", "manifests", before=digest, details=(what,)) for digest, what in left.items() if digest not in right
    ]
    return changes + [
        Change("index", "manifests", after=digest, details=(what,)) for digest, what in right.items() if digest not in left
    ]


def _list_platforms(images: Sequence[SourceImage]) -> str:
    return ", ".join(sorted({image.platform or "no platform" for image in images}))

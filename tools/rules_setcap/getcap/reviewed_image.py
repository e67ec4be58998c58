"""A reviewed image, as the reports print it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rules_setcap.getcap.review_image import Finding, Review


@dataclass(frozen=True, slots=True)
class ReviewedImage:
    """An image with its review.

    Attributes:
      path: the path of the image, as on the command line.
      platform: os/architecture[/variant]; "" if it is not known.
      review: the review.
      findings: the findings of the review that the allowlist does not allow.
      names: the names of the image in its archive or layout.
    """

    path: str
    platform: str
    review: Review
    findings: list[Finding]
    names: tuple[str, ...] = ()

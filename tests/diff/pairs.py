"""Makes random pairs of images that differ in one known thing."""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass

from drawn_images import Image, draw_image
from mutations import INDEX_MUTATIONS, Mutation


@dataclass(frozen=True)
class Pair:
    """Two images that differ in one thing.

    Attributes:
      before, after: the images.
      kind: the kind of the change.
      path: the path of the change.
    """

    before: Image
    after: Image
    kind: str
    path: str


def draw_pair(rng: random.Random, mutate: Mutation) -> Pair:
    """Returns a random image, and the same image with one change; which of them is the first is random."""
    before = draw_image(rng)
    if mutate in INDEX_MUTATIONS:
        before.index = {}
    after = copy.deepcopy(before)
    kind, path = mutate(after, rng)
    if rng.random() < 0.5:
        before, after = after, before
    return Pair(before, after, kind, path)

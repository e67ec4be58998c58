"""image_diff names the one thing in which two random images differ, and nothing else."""

from __future__ import annotations

import contextlib
import itertools
import os
import pathlib
import random
import tarfile
from collections.abc import Iterator

import pytest
from drawn_images import Image, draw_image
from mutations import MUTATIONS
from pairs import draw_pair

from rules_setcap.diff.compare import compare_sources
from rules_setcap.diff.model import KINDS, Difference
from rules_setcap.diff.report_text import format_report
from rules_setcap.diff.sources import open_source

_COUNT = 4 * len(MUTATIONS)


@pytest.fixture(scope="module")
def seed() -> int:
    """Returns the seed of the random tests, and prints it."""
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"SEED={seed}")
    return seed


def _compare(before: pathlib.Path, after: pathlib.Path) -> Difference:
    """Returns the difference between two images."""
    with contextlib.ExitStack() as stack:
        return compare_sources(*(open_source(str(path), str(path), stack) for path in (before, after)))


def _write(image: Image, path: pathlib.Path, rng: random.Random) -> pathlib.Path:
    """Writes an image as an OCI layout, or as an OCI archive with or without compression."""
    layout = image.write_layout(path)
    form = rng.choice(("layout", "w", "w:gz", "w:xz"))
    if form == "layout":
        return layout
    archive = path.with_suffix(".tar")
    with tarfile.open(archive, form) as written:
        for file in sorted(layout.rglob("*")):
            written.add(file, str(file.relative_to(layout)), recursive=False)
    return archive


def _list_named(difference: Difference) -> set[tuple[str, str]]:
    """Returns the kinds and paths of all changes, also of those that a container sees."""
    named = {(change.kind, change.path) for change in difference.list_changes()}
    return named | {("capabilities", change.path) for image in difference.images for change in image.capabilities}


def _run_pairs(seed: int, directory: pathlib.Path) -> Iterator[str]:
    """Yields a line for each pair whose difference is not named."""
    count = int(os.environ.get("COUNT") or _COUNT)
    for number, mutate in enumerate(itertools.islice(itertools.cycle(MUTATIONS), count)):
        rng = random.Random(f"{seed} {number}")
        pair = draw_pair(rng, mutate)
        paths = [_write(image, directory / f"{number}{side}", rng) for side, image in (("a", pair.before), ("b", pair.after))]
        difference = _compare(*paths)
        named = _list_named(difference)
        expected = {(pair.kind, pair.path)}
        if pair.kind == "layers":
            changed = pair.before.list_capable_paths() ^ pair.after.list_capable_paths()
            expected |= {("capabilities", path) for path in changed}
        verdict = next(format_report(difference))
        if named != expected or not verdict.startswith(f"differs: {pair.kind}"):
            yield f"pair {number} ({mutate.__name__}): {verdict}: {sorted(named)}, not {sorted(expected)}"


def test_every_pair_is_named(seed, tmp_path):
    assert list(_run_pairs(seed, tmp_path)) == []


def test_the_pairs_have_every_kind():
    rng = random.Random(1)
    assert {draw_pair(rng, mutate).kind for mutate in MUTATIONS} == set(KINDS)


def test_equal_images_are_the_same_in_every_form(seed, tmp_path):
    rng = random.Random(seed)
    for number in range(10):
        image = draw_image(rng)
        difference = _compare(*(_write(image, tmp_path / f"{number}{side}", rng) for side in "ab"))
        assert difference.is_same and not difference.list_changes()

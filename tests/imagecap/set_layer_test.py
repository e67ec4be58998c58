"""`imagecap set --layer` writes the image that the rules build.

To repeat a run with the seed that it printed, or with more images:

    ./bazelw test //tests/imagecap:set_layer_test --test_env=SEED=1 --test_env=COUNT=200
"""

from __future__ import annotations

import os
import pathlib
import random

import pytest
from random_images import draw_image, draw_text
from running import build_as_rules, count, run_imagecap, set_capabilities

SEED = int(os.environ.get("SEED", random.randrange(1 << 32)))
CASES = [(SEED + number) % (1 << 32) for number in range(count(24))]


@pytest.fixture(autouse=True)
def _print_seed():
    print(f"SEED={SEED}")


@pytest.mark.parametrize("seed", CASES)
def test_digest_is_that_of_the_rules(tmp_path, seed):
    chance = random.Random(seed)
    image = draw_image(chance, tmp_path / "image")
    granted = {
        path: draw_text(chance) if chance.random() < 0.8 else ""
        for path in chance.sample(image.programs, min(len(image.programs), chance.randint(1, 3)))
    }
    removes_others = chance.random() < 0.3
    compression = chance.choice(["gzip", "zlib", "none", "zstd"])
    (tmp_path / "rules").mkdir()
    all_changes = {**(dict.fromkeys(image.assigned, "") if removes_others else {}), **granted}
    expected = build_as_rules(tmp_path / "rules", image.layout, all_changes, compression)

    report = set_capabilities(
        "--layer",
        *(["--only"] if removes_others else []),
        f"--compression={compression}",
        image.layout,
        tmp_path / "new",
        *(f"{path}={text}" for path, text in granted.items()),
    )

    assert report["images"][0]["after"]["manifest"] == expected["digest"]
    # Everything that the new image refers to is there.
    assert run_imagecap("diff", tmp_path / "new", tmp_path / "new").status == 0


def test_gzip_by_libdeflate_is_the_default(tmp_path, monkeypatch):
    monkeypatch.setenv("IMAGECAP_LIBDEFLATE", str(pathlib.Path(os.environ["GZIP_LIBRARY"]).absolute()))
    image = draw_image(random.Random(1), tmp_path / "image")
    (tmp_path / "rules").mkdir()
    granted = {image.programs[0]: "cap_bpf=p"}
    expected = build_as_rules(tmp_path / "rules", image.layout, granted, "gzip")
    report = set_capabilities(image.layout, tmp_path / "new", f"{image.programs[0]}=bpf")
    assert report["images"][0]["after"]["manifest"] == expected["digest"]

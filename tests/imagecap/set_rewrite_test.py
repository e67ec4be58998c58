"""`imagecap set --rewrite` changes the named records of an image, and nothing else.

To repeat a run with the seed that it printed, or with more images:

    ./bazelw test //tests/imagecap:set_rewrite_test --test_env=SEED=1 --test_env=COUNT=200
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import random

import pytest
from layouts import ELF, Layout
from random_images import DrawnImage, draw_image, draw_text
from running import count, set_capabilities

from rules_setcap import capabilities
from rules_setcap.diff.compare import compare_sources
from rules_setcap.diff.model import Difference
from rules_setcap.diff.sources import open_source
from rules_setcap.oci import image_reader
from support.image import tar

SEED = int(os.environ.get("SEED", random.randrange(1 << 32)))
CASES = [(SEED + number) % (1 << 32) for number in range(count(24))]


@pytest.fixture(autouse=True)
def _print_seed():
    print(f"SEED={SEED}")


def _compare(before: pathlib.Path, after: pathlib.Path) -> Difference:
    with contextlib.ExitStack() as stack:
        sources = [open_source(str(path), str(path), stack) for path in (before, after)]
        return compare_sources(*sources, "", [])


def _read_capabilities(layout: pathlib.Path) -> dict[str, str]:
    (image,) = image_reader.read_images(str(layout))
    assert image.problems == []
    return {path: value.to_text() for path, value in image.capabilities.items()}


def _grant(chance: random.Random, image: DrawnImage) -> dict[str, str]:
    chosen = chance.sample(image.programs, min(len(image.programs), chance.randint(1, 3)))
    return {path: draw_text(chance) if chance.random() < 0.8 else "" for path in chosen}


@pytest.mark.parametrize("seed", CASES)
def test_only_the_named_records_change(tmp_path, seed):
    chance = random.Random(seed)
    image = draw_image(chance, tmp_path / "image")
    granted = _grant(chance, image)
    before = _read_capabilities(image.layout)
    removes_others = chance.random() < 0.3

    report = set_capabilities(
        "--rewrite",
        *(["--only"] if removes_others else []),
        image.layout,
        tmp_path / "new",
        *(f"{path}={text}" for path, text in granted.items()),
    )

    (described,) = report["images"]
    difference = _compare(image.layout, tmp_path / "new")
    assert set(difference.list_kinds()) <= {"capabilities"}
    after = _read_capabilities(tmp_path / "new")
    links = _list_hard_links(image)
    expected = {} if removes_others else dict(before)
    for path, text in granted.items():
        for name in (path, *(link for link, target in links.items() if target == path)):
            expected.pop(name, None)
            if text:
                expected[name] = capabilities.from_list([text]).to_text()
    assert after == expected
    # The blobs that did not change are there, and no others but those that the report names.
    old, new = ({path.name for path in (layout / "blobs/sha256").iterdir()} for layout in (image.layout, tmp_path / "new"))
    written = {layer["after"] for layer in described["layers"]} | set(described["after"].values())
    replaced = {layer["before"] for layer in described["layers"]} | set(described["before"].values())
    assert {f"sha256:{name}" for name in new - old} <= written
    assert {f"sha256:{name}" for name in old - new} <= replaced


def _list_hard_links(image: DrawnImage) -> dict[str, str]:
    """Returns the target of each hard link that a container sees."""
    (read,) = image_reader.read_images(str(image.layout))
    first: dict[int, str] = {}
    links = {}
    for path, node in read.walk():
        if path in image.programs:
            first[id(node)] = path
    for path, node in read.walk():
        if id(node) in first and first[id(node)] != path:
            links[path] = first[id(node)]
    return links


@pytest.mark.parametrize("seed", CASES)
def test_taking_away_what_was_set_gives_the_same_image(tmp_path, seed):
    chance = random.Random(seed)
    image = draw_image(chance, tmp_path / "image0")
    while not (paths := [path for path in image.programs if path not in image.assigned][:3]):
        image = draw_image(chance, image.layout.with_name(image.layout.name + "0"))
    granted = [f"{path}={draw_text(chance)}" for path in paths]
    set_capabilities("--rewrite", image.layout, tmp_path / "set", *granted)
    set_capabilities("--rewrite", tmp_path / "set", tmp_path / "back", *(f"{path}=" for path in paths))
    configs = [_read_config(layout) for layout in (image.layout, tmp_path / "back")]
    assert configs[0]["rootfs"] == configs[1]["rootfs"]


def test_numbers_of_a_pax_header_that_are_not_as_posix_writes_them_are_why_the_tar_differs(tmp_path):
    """A header that is written again has numbers of the width that POSIX gives; all else is as before."""
    made = tar(("/program", None, ELF))
    with_header = bytearray(
        tar(("/program", b"x", ELF)).replace(b"SCHILY.xattr.security.capability", b"SCHILY.xattr.user.another_record")
    )
    # Star writes checksums without leading zeros, and a space after them.
    total = sum(with_header[:148]) + 8 * 32 + sum(with_header[156:512])
    with_header[148:156] = b"%6o\0 " % total
    assert made[-1024:] == with_header[-1024:]
    layout = Layout(tmp_path / "image")
    image = layout.write_index(layout.put_image(bytes(with_header)))
    set_capabilities("--rewrite", image, tmp_path / "set", "/program=bpf")
    set_capabilities("--rewrite", tmp_path / "set", tmp_path / "back", "/program=")
    assert _read_config(image)["rootfs"] != _read_config(tmp_path / "back")["rootfs"]
    assert _compare(image, tmp_path / "back").list_kinds() == ["encoding"]


def _read_config(layout: pathlib.Path) -> dict[str, object]:
    def read(digest: str) -> dict[str, object]:
        return json.loads((layout / "blobs/sha256" / digest.removeprefix("sha256:")).read_bytes())

    (descriptor,) = json.loads((layout / "index.json").read_bytes())["manifests"]
    return read(read(descriptor["digest"])["config"]["digest"])  # type: ignore[index]

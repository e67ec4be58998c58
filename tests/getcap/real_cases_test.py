"""The verdicts on the capabilities of known images are what the kernel does."""

from __future__ import annotations

import csv
import pathlib
import re
import subprocess
from typing import Any

import pytest

from rules_setcap import capabilities
from rules_setcap.capabilities.names import NAMES
from rules_setcap.containers.docker import command_line
from rules_setcap.containers.engines import parse_engine
from rules_setcap.containers.judge import judge_plan
from rules_setcap.containers.verdict import Plan
from rules_setcap.oci import image_reader
from support import packer, require
from support.container import Bundle

PROBE = pathlib.Path("tests/runtime/probe")
NO_NEW_PRIVS = "--security-opt=no-new-privileges"


def _read_rows() -> list[dict[str, str]]:
    """Returns the lines of the table of known images, by the names of its columns."""
    with open("tests/unit/capabilities/real_cases.tsv", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


ROWS = _read_rows()


def _make_path(number: int, row: dict[str, str]) -> str:
    """Returns the path of a row's file, in a directory of its own, because several projects have files with the same path."""
    return f"/row{number}/" + row["path"].split(", ")[0].lstrip("/")


@pytest.fixture(scope="module")
def image_and_bundle(tmp_path_factory) -> tuple[image_reader.Image, Bundle]:
    """Returns an image with the files of all rows, and a container in whose root filesystem GNU tar unpacked them."""
    require.root()
    layer = packer.Layer(tmp_path_factory.mktemp("layer"))
    assignments = []
    for number, row in enumerate(ROWS):
        layer.add(_make_path(number, row), PROBE.read_bytes())
        assignments.append(packer.assign(_make_path(number, row), row["capabilities"]))
    assert layer.pack(*assignments) == (0, "")
    bundle = Bundle(pathlib.Path("tests/runtime/probe_none"), tmp_path_factory.mktemp("bundle"))
    subprocess.run([require.tool("tar"), "--xattrs", "--xattrs-include=*", "-xf", layer.blob, "-C", bundle.rootfs], check=True)
    (image,) = image_reader.read_images(str(layer.blob))
    return image, bundle


def _read_bounding_set() -> int:
    """Returns the bounding set of the test, as a mask; a container on this machine cannot have more."""
    text = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(r"^CapBnd:\s*([0-9a-f]+)$", text, re.MULTILINE)[1], 16)


def _list_names(mask: int) -> list[str]:
    """Returns the names of the capabilities in a mask, as runc writes them."""
    return [name.upper() for bit, name in enumerate(NAMES) if mask >> bit & 1]


@pytest.mark.parametrize("number", range(len(ROWS)), ids=[f"{row['project']}: {row['capabilities']}" for row in ROWS])
def test_the_verdict_is_what_happens(number: int, image_and_bundle: tuple[image_reader.Image, Bundle]):
    image, bundle = image_and_bundle
    path = _make_path(number, ROWS[number])
    record = capabilities.from_list([ROWS[number]["capabilities"]])
    assert image.capabilities[path] == record
    needed = (record.permitted | record.inheritable) & _read_bounding_set()
    add_all = " ".join(f"--cap-add={name}" for name in _list_names(needed))
    outcomes: set[tuple[Any, ...]] = set()
    for flags in (add_all, "", add_all.partition(" ")[0], f"{add_all} {NO_NEW_PRIVS}"):
        for version in ("docker@20.10.14", "docker@24.0.7"):
            settings = command_line.read_command_line(f"docker run --user=65532 --cap-drop=ALL {flags} --entrypoint={path} app")
            verdict = judge_plan(Plan(image, settings, parse_engine(version)))
            outcome = bundle.run(
                bounding=_list_names(verdict.before.bounding),
                permitted=_list_names(verdict.before.permitted),
                no_new_privs=verdict.before.no_new_privs,
                args=[path],
            )
            if verdict.after is None:
                assert outcome.status != 0 and "operation not permitted" in outcome.output, (flags, outcome)
                assert not verdict.is_good and verdict.fixes
                outcomes.add(("refused",))
                continue
            assert outcome.status == 0, (flags, outcome)
            sets = {
                name: int(value, 16) for name, value in re.findall(r"^(Cap\w+):\s*([0-9a-f]+)$", outcome.output, re.MULTILINE)
            }
            assert (sets["CapPrm"], sets["CapEff"]) == (verdict.after.permitted, verdict.after.effective), (flags, outcome)
            outcomes.add((sets["CapPrm"], sets["CapEff"]))
    # The flags make a difference for a file with permitted capabilities that this machine can grant.
    assert len(outcomes) > 1 or not record.permitted or record.permitted & ~_read_bounding_set(), outcomes

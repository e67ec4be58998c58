"""The capabilities that known images carry: what explain says of each, the kernel does."""

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


def _rows() -> list[dict[str, str]]:
    with open("tests/unit/capabilities/real_cases.tsv", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


ROWS = _rows()


def _path(number: int, row: dict[str, str]) -> str:
    """Below a folder of its own: several projects have a file of one name."""
    return f"/row{number}/" + row["path"].split(", ")[0].lstrip("/")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[image_reader.Image, Bundle]:
    """One layer of all rows, and a container's root file system in which GNU tar unpacked it."""
    require.root()
    layer = packer.Layer(tmp_path_factory.mktemp("layer"))
    grants = []
    for number, row in enumerate(ROWS):
        layer.add(_path(number, row), PROBE.read_bytes())
        grants.append(packer.assign(_path(number, row), row["capabilities"]))
    assert layer.pack(*grants) == (0, "")
    bundle = Bundle(pathlib.Path("tests/runtime/probe_none"), tmp_path_factory.mktemp("bundle"))
    subprocess.run([require.tool("tar"), "--xattrs", "--xattrs-include=*", "-xf", layer.blob, "-C", bundle.rootfs], check=True)
    (image,) = image_reader.read(str(layer.blob))
    return image, bundle


def _held() -> int:
    """What this machine lets a container have: the bounding set of the tests themselves."""
    text = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(r"^CapBnd:\s*([0-9a-f]+)$", text, re.MULTILINE)[1], 16)


def _names(mask: int) -> list[str]:
    return [name.upper() for bit, name in enumerate(NAMES) if mask >> bit & 1]


@pytest.mark.parametrize("number", range(len(ROWS)), ids=[f"{row['project']}: {row['capabilities']}" for row in ROWS])
def test_the_verdict_is_what_happens(number: int, made: tuple[image_reader.Image, Bundle]):
    image, bundle = made
    path = _path(number, ROWS[number])
    known = capabilities.from_list([ROWS[number]["capabilities"]])
    assert image.capabilities[path] == known
    needed = (known.permitted | known.inheritable) & _held()
    every = " ".join(f"--cap-add={name}" for name in _names(needed))
    ran: set[tuple[Any, ...]] = set()
    for flags in (every, "", every.partition(" ")[0], f"{every} {NO_NEW_PRIVS}"):
        for version in ("docker@20.10.14", "docker@24.0.7"):
            settings = command_line.read_command_line(f"docker run --user=65532 --cap-drop=ALL {flags} --entrypoint={path} app")
            verdict = judge_plan(Plan(image, settings, parse_engine(version)))
            outcome = bundle.run(
                bounding=_names(verdict.before.bounding),
                permitted=_names(verdict.before.permitted),
                no_new_privs=verdict.before.no_new_privs,
                args=[path],
            )
            if verdict.after is None:
                assert outcome.status != 0 and "operation not permitted" in outcome.output, (flags, outcome)
                assert not verdict.is_good and verdict.fixes
                ran.add(("refused",))
                continue
            assert outcome.status == 0, (flags, outcome)
            sets = {name: int(value, 16) for name, value in re.findall(r"^(Cap\w+):\s*([0-9a-f]+)$", outcome.output, re.MULTILINE)}
            assert (sets["CapPrm"], sets["CapEff"]) == (verdict.after.permitted, verdict.after.effective), (flags, outcome)
            ran.add((sets["CapPrm"], sets["CapEff"]))
    # Grants make a difference to whoever asks for some, if they are this machine's to give.
    assert len(ran) > 1 or not known.permitted or known.permitted & ~_held(), ran

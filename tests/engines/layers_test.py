"""Container engines unpack random layers into the root filesystems that rules_setcap.oci.engines computes.

To repeat a run with the seed that it printed, or with more layers:

    ./bazelw test //tests/engines:layers_test --test_env=SEED=1
    ./bazelw test //tests/engines:nightly_layers_test --test_output=all
"""

from __future__ import annotations

import errno
import io
import os
import pathlib
import random
import stat
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest
import random_layers

from rules_setcap.archive.entry import DIRECTORY, FILE, SYMLINK
from rules_setcap.archive.reader import TarError, TarReader
from rules_setcap.archive.records import CAPABILITY
from rules_setcap.oci import nodes, root_filesystem
from rules_setcap.oci.engines import comparison
from rules_setcap.oci.engines.table import ENGINES
from rules_setcap.oci.engines.unpacker import Unpacker
from support import engines
from support.image import layout

LAYERS = int(os.environ.get("LAYERS", "300"))
SEED = int(os.environ.get("SEED", random.randrange(1 << 32)))
REFUSED = max(4, LAYERS // 100)  # Cases that each engine must refuse. Each of them needs an image.
CASES_PER_IMAGE = 1000

_TYPES = {stat.S_IFDIR: DIRECTORY, stat.S_IFREG: FILE, stat.S_IFLNK: SYMLINK, stat.S_IFIFO: "fifo"}


def _unpack_in_memory(name: str, tars: list[bytes]) -> Unpacker:
    """Returns the model of an engine, which has unpacked the layers."""
    unpacker = ENGINES[name](nodes.FilesystemBudget())
    for tar in tars:
        unpacker.begin_layer()
        for number, member in enumerate(comparison.shorten_entries(TarReader(io.BytesIO(tar)))):
            unpacker.add_entry(member, number)
        unpacker.end_layer()
    return unpacker


def _draw_cases() -> dict[int, random_layers.Case]:
    print(f"SEED={SEED} LAYERS={LAYERS}")
    chance = random.Random(SEED)
    """Draws cases by number until they have LAYERS layers."""
    drawn: dict[int, random_layers.Case] = {}
    while sum(map(len, drawn.values())) < LAYERS:
        number = len(drawn) + 1
        case = random_layers.draw_case(chance)
        tars = random_layers.make_layers({number: case})
        # Left out if a symbolic link with ".." leads to the directory of another case.
        if all(
            {path.split("/")[1] for path, _ in nodes.walk_nodes(_unpack_in_memory(name, tars).merge_layers())} == {str(number)}
            for name in ENGINES
        ):
            drawn[number] = case
    return drawn


CASES = _draw_cases()


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Iterator[tuple[str, engines.Engine]]:
    """An engine that has been started, and its name."""
    # The address of a socket has at most 107 bytes, and the paths of pytest's directories are longer.
    with (
        tempfile.TemporaryDirectory(prefix="engine", dir="/tmp") as state,
        engines.ENGINES[request.param](pathlib.Path(state)) as started,
    ):
        yield request.param, started


def _list_model(unpacker: Unpacker) -> dict[str, Any]:
    """Returns type, mode, owner, link and capabilities by path, as the model of an engine has them."""
    files = {}
    for path, node in nodes.walk_nodes(unpacker.merge_layers()):
        if node.type in _TYPES.values():
            mode = 0 if node.type == SYMLINK else node.mode
            value = node.xattrs.get(CAPABILITY) if node.type == FILE else None
            files[path] = node.type, mode, node.uid, node.gid, node.link if node.type == SYMLINK else "", value
    return files


def _list_unpacked(root: pathlib.Path) -> dict[str, Any]:
    """Returns the same of the files that an engine unpacked, without devices, which may be whiteouts to overlayfs."""
    files: dict[str, Any] = {}
    todo = [entry.path for entry in os.scandir(root) if entry.name.isdigit()]
    while todo:
        path = todo.pop()
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            continue  # A whiteout that overlayfs lists in a directory that it does not merge.
        entry_type = _TYPES.get(stat.S_IFMT(status.st_mode))
        if entry_type == DIRECTORY:
            todo += [entry.path for entry in os.scandir(path)]
        if entry_type:
            mode = 0 if entry_type == SYMLINK else stat.S_IMODE(status.st_mode)
            link = os.readlink(path) if entry_type == SYMLINK else ""
            files[path.removeprefix(str(root))] = (
                entry_type,
                mode,
                status.st_uid,
                status.st_gid,
                link,
                _read_attribute(path) if entry_type == FILE else None,
            )
    return files


def _read_attribute(path: str) -> bytes | None:
    """Returns the attribute security.capability of a file; None if it has none."""
    try:
        return os.getxattr(path, "security.capability")
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise
        return None


def _find_differences(
    name: str, engine: engines.Engine, chosen: dict[int, random_layers.Case], directory: pathlib.Path
) -> list[str]:
    """Returns descriptions of the cases that the engine refuses, and of those that it unpacks to other files than its model.

    Args:
      name: the name of the engine.
      engine: the engine.
      chosen: cases that the model does not refuse, by number. They make one image; if the engine refuses it, halves of it.
      directory: for the image.
    """
    if not chosen:
        return []
    tars = random_layers.make_layers(chosen)
    image = layout(directory / "image", *tars)
    try:
        with engine.unpack(image) as root:
            actual = _list_unpacked(root)
    except engines.Refused as error:
        if len(chosen) == 1:
            return [f"{_describe_case(*chosen.popitem())}\n  refused: {error}"]
        numbers = sorted(chosen)
        halves = [
            {number: chosen[number] for number in half} for half in (numbers[: len(numbers) // 2], numbers[len(numbers) // 2 :])
        ]
        return [
            difference
            for number, half in enumerate(halves)
            for difference in _find_differences(name, engine, half, _make_directory(directory / str(number)))
        ]
    expected = _list_model(_unpack_in_memory(name, tars))
    differences: dict[int, list[str]] = {}
    for path in sorted({*actual, *expected}):
        if actual.get(path) != expected.get(path):
            number = int(path.split("/")[1])
            differences.setdefault(number, []).append(f"  {path}: {actual.get(path)}, not {expected.get(path)}")
    return ["\n".join([_describe_case(number, chosen[number]), *lines]) for number, lines in differences.items()]


def _describe_case(number: int, case: random_layers.Case) -> str:
    """Returns the entries of a case, one per line."""
    lines = [f"case {number}"]
    for layer in case:
        lines.append("  layer")
        lines += [
            f"    {entry.type.decode()} {entry.path} {entry.mode:o} {entry.owner} {entry.link} {list(entry.records)}"
            for entry in layer
        ]
    return "\n".join(lines)


def _make_directory(directory: pathlib.Path) -> pathlib.Path:
    directory.mkdir()
    return directory


def test_an_engine_unpacks_the_files_of_its_model(engine, tmp_path):
    name, running = engine
    accepted = {
        number: case
        for number, case in CASES.items()
        if not _unpack_in_memory(name, random_layers.make_layers({number: case})).refusal
    }
    numbers = sorted(accepted)
    wrong = []
    for start in range(0, len(numbers), CASES_PER_IMAGE):
        chosen = {number: accepted[number] for number in numbers[start : start + CASES_PER_IMAGE]}
        wrong += _find_differences(name, running, chosen, _make_directory(tmp_path / str(start)))
    print(f"{name}: {len(accepted)} of {len(CASES)} cases are accepted; {len(wrong)} differ")
    assert not wrong, "\n".join(wrong[:20])


def test_an_engine_refuses_the_layers_that_its_model_refuses(engine, tmp_path):
    name, running = engine
    refused = [
        number for number, case in CASES.items() if _unpack_in_memory(name, random_layers.make_layers({number: case})).refusal
    ][:REFUSED]
    wrong = []
    for number in refused:
        tars = random_layers.make_layers({number: CASES[number]})
        try:
            with running.unpack(layout(tmp_path / str(number), *tars)):
                wrong.append(f"{_describe_case(number, CASES[number])}\n  {_unpack_in_memory(name, tars).refusal}")
        except engines.Refused:
            pass
    assert not wrong, "\n".join(wrong)


def test_engines_agree_unless_the_root_filesystem_says_that_they_may_differ():
    """So a RootFilesystem is that of every engine, unless `engines_may_differ` is set."""
    agreed = 0
    for number, case in CASES.items():
        tars = random_layers.make_layers({number: case})
        root = root_filesystem.RootFilesystem()
        try:
            for layer, tar in enumerate(tars):
                root.apply_layer(TarReader(io.BytesIO(tar)), layer)
        except TarError:
            assert all(_unpack_in_memory(name, tars).refusal for name in ENGINES), _describe_case(number, case)
            continue
        if root.engines_may_differ:
            continue
        agreed += 1
        capabilities = _list_capabilities(root.root)
        for name in ENGINES:
            unpacker = _unpack_in_memory(name, tars)
            assert not unpacker.refusal, _describe_case(number, case)
            assert _list_capabilities(unpacker.merge_layers()) == capabilities, _describe_case(number, case)
    print(f"engines agree about {agreed} of {len(CASES)} cases")
    assert agreed > len(CASES) // 20


def _list_capabilities(root: nodes.Node) -> dict[str, bytes]:
    """Returns the attribute security.capability of each file that has it, by path."""
    return {
        path: node.xattrs[CAPABILITY] for path, node in nodes.walk_nodes(root) if node.type == FILE and CAPABILITY in node.xattrs
    }

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
from typing import Any, Iterator

import cases
import pytest

from rules_setcap.archive.entry import DIRECTORY, FILE, SYMLINK
from rules_setcap.archive.reader import Archive, ArchiveError
from rules_setcap.archive.records import CAPABILITY
from rules_setcap.oci import nodes, root_filesystem
from rules_setcap.oci.engines import comparison
from rules_setcap.oci.engines.table import ENGINES
from support import engines
from support.image import layout

LAYERS = int(os.environ.get("LAYERS", "300"))
SEED = int(os.environ.get("SEED", random.randrange(1 << 32)))
REFUSED = max(4, LAYERS // 100)  # Cases that an engine is to refuse; each takes an image of its own.
TOGETHER = 1000  # Cases of one image.

_TYPES = {stat.S_IFDIR: DIRECTORY, stat.S_IFREG: FILE, stat.S_IFLNK: SYMLINK, stat.S_IFIFO: "fifo"}


def _members(tars: list[bytes]) -> list[list[Any]]:
    return [comparison.shorten_entries(Archive(io.BytesIO(tar))) for tar in tars]


def _model(name: str, tars: list[bytes]) -> Any:
    """Returns the engine of this name in memory, with the layers unpacked."""
    model = ENGINES[name](nodes.FilesystemBudget())
    for members in _members(tars):
        model.begin_layer()
        for number, member in enumerate(members):
            model.add_entry(member, number)
        model.end_layer()
    return model


def _draw() -> dict[int, cases.Case]:
    print(f"SEED={SEED} LAYERS={LAYERS}")
    chance = random.Random(SEED)
    drawn: dict[int, cases.Case] = {}
    while sum(map(len, drawn.values())) < LAYERS:
        number = len(drawn) + 1
        case = cases.draw(chance)
        tars = cases.layers({number: case})
        # A symbolic link with ".." may lead out of the directory of its case, and into that of another.
        if all({path.split("/")[1] for path, _ in nodes.walk_nodes(_model(name, tars).merge_layers())} == {str(number)} for name in ENGINES):
            drawn[number] = case
    return drawn


CASES = _draw()


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Iterator[tuple[str, engines.Engine]]:
    # The address of a socket has at most 107 bytes, and pytest's directories are longer.
    with tempfile.TemporaryDirectory(prefix="engine", dir="/tmp") as state, engines.ENGINES[request.param](pathlib.Path(state)) as started:
        yield request.param, started


def _expected(model: Any) -> dict[str, Any]:
    found = {}
    for path, node in nodes.walk_nodes(model.merge_layers()):
        if node.type in _TYPES.values():
            mode = 0 if node.type == SYMLINK else node.mode
            value = node.xattrs.get(CAPABILITY) if node.type == FILE else None
            found[path] = node.type, mode, node.uid, node.gid, node.link if node.type == SYMLINK else "", value
    return found


def _actual(root: pathlib.Path) -> dict[str, Any]:
    """Lists what an engine unpacked, but for devices: to overlayfs they may be whiteouts."""
    found: dict[str, Any] = {}
    todo = [entry.path for entry in os.scandir(root) if entry.name.isdigit()]
    while todo:
        path = todo.pop()
        try:
            there = os.lstat(path)
        except FileNotFoundError:
            continue  # A whiteout that overlayfs lists in a directory that it does not merge.
        kind = _TYPES.get(stat.S_IFMT(there.st_mode))
        if kind == DIRECTORY:
            todo += [entry.path for entry in os.scandir(path)]
        if kind:
            mode = 0 if kind == SYMLINK else stat.S_IMODE(there.st_mode)
            link = os.readlink(path) if kind == SYMLINK else ""
            found[path.removeprefix(str(root))] = kind, mode, there.st_uid, there.st_gid, link, _capability(path) if kind == FILE else None
    return found


def _capability(path: str) -> bytes | None:
    try:
        return os.getxattr(path, "security.capability")
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise
        return None


def _differing(name: str, engine: engines.Engine, chosen: dict[int, cases.Case], directory: pathlib.Path) -> list[str]:
    """Returns what is wrong: cases that the engine refuses, found by halving, and those it unpacks into something else."""
    if not chosen:
        return []
    tars = cases.layers(chosen)
    image = layout(directory / "image", *tars)
    try:
        with engine.unpack(image) as root:
            actual = _actual(root)
    except engines.Refused as error:
        if len(chosen) == 1:
            return [f"{_show(*chosen.popitem())}\n  refused: {error}"]
        numbers = sorted(chosen)
        halves = [{number: chosen[number] for number in half} for half in (numbers[: len(numbers) // 2], numbers[len(numbers) // 2 :])]
        return [each for at, half in enumerate(halves) for each in _differing(name, engine, half, _made(directory / str(at)))]
    expected = _expected(_model(name, tars))
    wrong: dict[int, list[str]] = {}
    for path in sorted({*actual, *expected}):
        if actual.get(path) != expected.get(path):
            number = int(path.split("/")[1])
            wrong.setdefault(number, []).append(f"  {path}: {actual.get(path)}, not {expected.get(path)}")
    return ["\n".join([_show(number, chosen[number]), *lines]) for number, lines in wrong.items()]


def _show(number: int, case: cases.Case) -> str:
    lines = [f"case {number}"]
    for layer in case:
        lines.append("  layer")
        lines += [f"    {entry.type.decode()} {entry.path} {entry.mode:o} {entry.owner} {entry.link} {list(entry.records)}" for entry in layer]
    return "\n".join(lines)


def _made(directory: pathlib.Path) -> pathlib.Path:
    directory.mkdir()
    return directory


def test_what_engines_unpack(engine, tmp_path):
    name, running = engine
    taken = {number: case for number, case in CASES.items() if not _model(name, cases.layers({number: case})).refusal}
    numbers = sorted(taken)
    wrong = []
    for at in range(0, len(numbers), TOGETHER):
        chosen = {number: taken[number] for number in numbers[at : at + TOGETHER]}
        wrong += _differing(name, running, chosen, _made(tmp_path / str(at)))
    print(f"{name}: {len(taken)} of {len(CASES)} cases are taken; {len(wrong)} differ")
    assert not wrong, "\n".join(wrong[:20])


def test_what_engines_refuse(engine, tmp_path):
    name, running = engine
    refused = [number for number, case in CASES.items() if _model(name, cases.layers({number: case})).refusal][:REFUSED]
    wrong = []
    for number in refused:
        tars = cases.layers({number: CASES[number]})
        try:
            with running.unpack(layout(tmp_path / str(number), *tars)):
                wrong.append(f"{_show(number, CASES[number])}\n  {_model(name, tars).refusal}")
        except engines.Refused:
            pass
    assert not wrong, "\n".join(wrong)


def test_engines_agree_about_layers_that_are_not_unusual():
    """So the root filesystem that Tree computes is that of every engine, unless it says that it may not be."""
    usual = 0
    for number, case in CASES.items():
        tars = cases.layers({number: case})
        tree = root_filesystem.RootFilesystem()
        try:
            for at, tar in enumerate(tars):
                tree.apply_layer(Archive(io.BytesIO(tar)), at)
        except ArchiveError:
            assert all(_model(name, tars).refusal for name in ENGINES), _show(number, case)
            continue
        if tree.engines_may_differ:
            continue
        usual += 1
        capabilities = _capabilities(tree.root)
        for name in ENGINES:
            model = _model(name, tars)
            assert not model.refusal, _show(number, case)
            assert _capabilities(model.merge_layers()) == capabilities, _show(number, case)
    print(f"{usual} of {len(CASES)} cases are not unusual")
    assert usual > len(CASES) // 20


def _capabilities(root: nodes.Node) -> dict[str, bytes]:
    return {path: node.xattrs[CAPABILITY] for path, node in nodes.walk_nodes(root) if node.type == FILE and CAPABILITY in node.xattrs}

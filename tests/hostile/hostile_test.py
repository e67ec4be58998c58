"""Runs every program that reads something from outside on hostile inputs of at most 1 MiB.

A good outcome is an exit status that the program documents, within 30 s and 256 MiB, without a traceback and without
control characters on its outputs. The number of bad ones is printed, with a table; it must be 0.

The inputs are divided among the tests of this package by the variable HOSTILE_INPUTS.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import sys
from collections.abc import Iterator, Sequence

import images
import pytest
import texts
from measure import run

from rules_setcap.diagnostics import limits
from support.packer import command_line

MIB = 1 << 20
TOOLS = pathlib.Path("tools").absolute()
GETCAP = [sys.executable, "-B", "-m", "rules_setcap.getcap"]
GRANT = "--capabilities=" + json.dumps({"attribute": "file_capabilities", "path": "/nope/file", "capabilities": ["cap_net_raw=p"]})
BLOB = ["--compression=gzip", "--created-by=t", "--output=blob", "--metadata=metadata"]
GROUP = os.environ["HOSTILE_INPUTS"]

# Tools by name, with the exit statuses that they document.
GETCAP_STATUSES, PACKER_STATUSES = (0, 1, 2), (0, 1)


def of_tar(tar: pathlib.Path) -> Iterator[tuple[str, Sequence[str], Sequence[int]]]:
    yield "getcap", [*GETCAP, "--json", "--all-layers", str(tar)], GETCAP_STATUSES
    yield "explain", [*GETCAP, "explain", str(tar), "--docker-run", "docker run x /f1"], GETCAP_STATUSES
    yield "setcap", [*command_line("setcap"), "setcap", "--target=//t", *BLOB, f"--tar={tar}", GRANT], PACKER_STATUSES
    yield "unpack", [*command_line("unpack"), "unpack", "--target=//t", f"--archive={tar}", "--output=layout"], PACKER_STATUSES


def of_layout(layout: pathlib.Path, contents: str) -> Iterator[tuple[str, Sequence[str], Sequence[int]]]:
    below = [f"--lower-layout={layout}", "--platform=linux/amd64/"]
    directory = json.dumps({"path": "/f1/x", "type": "directory"})
    yield "contents", [*command_line("contents"), "contents", "--target=//t", f"--layout={layout}", "--platform=linux/amd64/", f"--output={contents}"], (0, 1)
    yield "layer", [*command_line("layer"), "layer", "--target=//t", *BLOB, f"--base-contents={contents}", "--unmatched-paths=e", GRANT, directory], PACKER_STATUSES
    yield "copy", [*command_line("copy"), "copy", "--target=//t", *BLOB, *below, GRANT], PACKER_STATUSES


def cases(directory: pathlib.Path) -> Iterator[tuple[str, str, Sequence[str], Sequence[int]]]:
    """Yields the input, the program, the command and its exit statuses; writes each input before it is needed."""
    if GROUP in ("tars", "slow"):
        for name in [*images.TARS, *images.OTHER_TARS]:
            if (name in images.SLOW) != (GROUP == "slow"):
                continue
            tar = directory / f"{name}.tar"
            tar.write_bytes(images.tar(name))
            assert tar.stat().st_size <= MIB, name
            for tool, command, statuses in (*of_tar(tar), *of_layout(images.layout(directory / f"{name}.layout", name), str(directory / "contents"))):
                yield name, tool, command, statuses
    if GROUP == "images":
        for name in images.LAYOUTS:
            layout = images.layout(directory / f"{name}.layout", name)
            assert sum(path.stat().st_size for path in layout.rglob("*") if path.is_file()) <= MIB, name
            yield name, "getcap", [*GETCAP, "--json", "--all-layers", str(layout)], GETCAP_STATUSES
            yield name, "unpack", [*command_line("unpack"), "unpack", "--target=//t", f"--archive={layout}", "--output=layout"], PACKER_STATUSES
            for tool, command, statuses in of_layout(layout, str(directory / "contents")):
                yield name, tool, command, statuses
        for name in images.ARCHIVES:
            tar = directory / f"{name}.tar"
            tar.write_bytes(images.archive(name))
            assert tar.stat().st_size <= MIB, name
            for tool, command, statuses in list(of_tar(tar))[:1] + list(of_tar(tar))[2:]:
                yield name, tool, command, statuses
    if GROUP == "texts":
        image = directory / "image.tar"
        image.write_bytes(images.file(b"a", b"\x7fELF", images.CAPABILITY) + images.END)
        for kind, group in (("kubernetes", texts.KUBERNETES), ("compose", texts.COMPOSE), ("ko", texts.KO)):
            for name, text in group.items():
                file = directory / "file.yaml"
                file.write_text(text[: limits.KO_CONFIG] if kind == "ko" else text)
                assert file.stat().st_size <= MIB, name
                if kind == "ko":
                    flags = ["--target=//t", f"--config={file}", "--name=.ko.yaml", "--build=", "--output=out"]
                    yield name, "ko", [sys.executable, "-B", "-m", "rules_setcap.ko", *flags], (0, 1)
                else:
                    service = ["--service=web"] if kind == "compose" else []
                    yield name, kind, [*GETCAP, "explain", str(image), f"--{kind}={file}", *service], GETCAP_STATUSES


def test_hostile_inputs(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TOOLS), *sys.path]))
    bad: list[str] = []
    count = 0
    print(f"\n{'input':24} {'program':10} {'s':>6} {'CPU s':>6} {'MiB':>5}  status, message")
    for name, tool, command, statuses in cases(tmp_path):
        directory = tmp_path / "run" / str(count)
        directory.mkdir(parents=True)
        done = run(command, directory, statuses)
        shutil.rmtree(directory)
        count += 1
        message = done.messages.partition("\n")[0].replace(str(tmp_path), "")[:110]
        print(f"{name:24} {tool:10} {done.seconds:6.1f} {done.processor:6.1f} {done.memory >> 20:5}  {done.status} {message}", flush=True)
        if done.faults:
            bad.append(f"{name}, {tool}: {', '.join(done.faults)}")
    print(f"{count} runs, {len(bad)} bad outcomes")
    assert not bad, "\n".join(bad)

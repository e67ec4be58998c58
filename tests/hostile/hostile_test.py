"""Every program that reads input from outside copes with hostile inputs of at most 1 MiB.

The outcome of a run is good if the exit status is one that the program documents, if the run takes less than 30 s and 256 MiB,
and if the outputs have neither a traceback nor control characters. The test prints a table of the runs, and fails if an outcome
is bad.

The variable HOSTILE_INPUTS chooses the group of inputs, one for each test target of this package.
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
from measure import measure_run

from rules_setcap.diagnostics import limits
from support.packer import command_line

MIB = 1 << 20
TOOLS = pathlib.Path("tools").absolute()
GETCAP = [sys.executable, "-B", "-m", "rules_setcap.getcap"]
IMAGE_DIFF = [sys.executable, "-B", "-m", "rules_setcap.diff"]
IMAGECAP_SET = [sys.executable, "-B", "-m", "rules_setcap.imagecap", "set"]
ASSIGNMENT = "--capabilities=" + json.dumps(
    {"attribute": "file_capabilities", "path": "/nope/file", "capabilities": ["cap_net_raw=p"]}
)
BLOB = ["--compression=gzip", "--created-by=t", "--output=blob", "--metadata=metadata"]
GROUP = os.environ["HOSTILE_INPUTS"]

# The exit statuses that the programs document.
GETCAP_STATUSES, PACKER_STATUSES, SET_STATUSES = (0, 1, 2), (0, 1), (0, 2)


def list_tar_commands(tar: pathlib.Path) -> Iterator[tuple[str, Sequence[str], Sequence[int]]]:
    """Yields the programs that read a tar: name, command, and exit statuses."""
    yield "getcap", [*GETCAP, "--json", "--all-layers", str(tar)], GETCAP_STATUSES
    yield "explain", [*GETCAP, "explain", str(tar), "--docker-run", "docker run x /f1"], GETCAP_STATUSES
    yield "image_diff", list_diff_command(tar), GETCAP_STATUSES
    yield "setcap", [*command_line("setcap"), "setcap", "--target=//t", *BLOB, f"--tar={tar}", ASSIGNMENT], PACKER_STATUSES
    yield "unpack", [*command_line("unpack"), "unpack", "--target=//t", f"--archive={tar}", "--output=layout"], PACKER_STATUSES


def list_diff_command(image: pathlib.Path) -> Sequence[str]:
    """Returns the command that compares an image with a tar of one other file; writes that tar beside the image."""
    other = image.parent / "other.tar"
    other.write_bytes(images.make_file(b"f1", b"content") + images.END)
    return [*IMAGE_DIFF, "--json", str(other), str(image)]


def list_layout_commands(layout: pathlib.Path, contents: str) -> Iterator[tuple[str, Sequence[str], Sequence[int]]]:
    """Yields the programs that read a layout, as above. The first writes the file `contents`, which the second reads."""
    below = [f"--lower-layout={layout}", "--platform=linux/amd64/"]
    directory = json.dumps({"path": "/f1/x", "type": "directory"})
    yield (
        "contents",
        [
            *command_line("contents"),
            "contents",
            "--target=//t",
            f"--layout={layout}",
            "--platform=linux/amd64/",
            f"--output={contents}",
        ],
        (0, 1),
    )
    yield (
        "layer",
        [
            *command_line("layer"),
            "layer",
            "--target=//t",
            *BLOB,
            f"--base-contents={contents}",
            "--unmatched-paths=e",
            ASSIGNMENT,
            directory,
        ],
        PACKER_STATUSES,
    )
    yield "copy", [*command_line("copy"), "copy", "--target=//t", *BLOB, *below, ASSIGNMENT], PACKER_STATUSES


def list_set_commands(image: pathlib.Path) -> Iterator[tuple[str, Sequence[str], Sequence[int]]]:
    """Yields the ways in which imagecap changes an image, as above. Where it fails, it leaves nothing behind."""
    yield "set rewrite", [*IMAGECAP_SET, "--rewrite", "--strip", str(image), "new"], SET_STATUSES
    yield "set f1", [*IMAGECAP_SET, "--rewrite", "--only", str(image), "new", "/f1=bpf"], SET_STATUSES
    yield "set layer", [*IMAGECAP_SET, "--compression=zlib", "--only", str(image), "new", "/f1=bpf"], SET_STATUSES
    yield "set strip", [*IMAGECAP_SET, "--compression=zlib", "--strip", str(image), "new"], SET_STATUSES


def make_cases(directory: pathlib.Path) -> Iterator[tuple[str, str, Sequence[str], Sequence[int]]]:
    """Writes each input, and yields its name, the name of a program, its command, and its exit statuses."""
    if GROUP in ("tars", "slow"):
        for name in [*images.TARS, *images.OTHER_TARS]:
            if (name in images.SLOW) != (GROUP == "slow"):
                continue
            tar = directory / f"{name}.tar"
            tar.write_bytes(images.make_tar(name))
            assert tar.stat().st_size <= MIB, name
            for tool, command, statuses in (
                *list_tar_commands(tar),
                *list_layout_commands(images.make_layout(directory / f"{name}.layout", name), str(directory / "contents")),
            ):
                yield name, tool, command, statuses
    if GROUP == "set":
        for name in [*images.TARS, *images.OTHER_TARS, *images.LAYOUTS]:
            if name not in images.SLOW:
                layout = images.make_layout(directory / f"{name}.layout", name, true_diff_ids=True)
                for tool, command, statuses in list_set_commands(layout):
                    yield name, tool, command, statuses
        for name in images.ARCHIVES:
            tar = directory / f"{name}.tar"
            tar.write_bytes(images.make_archive(name))
            for tool, command, statuses in list_set_commands(tar):
                yield name, tool, command, statuses
    if GROUP == "images":
        for name in images.LAYOUTS:
            layout = images.make_layout(directory / f"{name}.layout", name)
            assert sum(path.stat().st_size for path in layout.rglob("*") if path.is_file()) <= MIB, name
            yield name, "getcap", [*GETCAP, "--json", "--all-layers", str(layout)], GETCAP_STATUSES
            yield name, "image_diff", list_diff_command(layout), GETCAP_STATUSES
            yield (
                name,
                "unpack",
                [*command_line("unpack"), "unpack", "--target=//t", f"--archive={layout}", "--output=layout"],
                PACKER_STATUSES,
            )
            for tool, command, statuses in list_layout_commands(layout, str(directory / "contents")):
                yield name, tool, command, statuses
        for name in images.ARCHIVES:
            tar = directory / f"{name}.tar"
            tar.write_bytes(images.make_archive(name))
            assert tar.stat().st_size <= MIB, name
            for tool, command, statuses in list_tar_commands(tar):
                if tool != "explain":
                    yield name, tool, command, statuses
    if GROUP == "texts":
        image = directory / "image.tar"
        image.write_bytes(images.make_file(b"a", b"\x7fELF", images.CAPABILITY) + images.END)
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


def test_hostile_inputs_have_good_outcomes(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TOOLS), *sys.path]))
    bad: list[str] = []
    count = 0
    print(f"\n{'input':24} {'program':11} {'s':>6} {'CPU s':>6} {'MiB':>5}  status, message")
    for name, tool, command, statuses in make_cases(tmp_path):
        directory = tmp_path / "run" / str(count)
        directory.mkdir(parents=True)
        done = measure_run(command, directory, statuses)
        left = sorted({*os.listdir(directory)} - {"stdout", "stderr"})
        shutil.rmtree(directory)
        count += 1
        message = done.messages.partition("\n")[0].replace(str(tmp_path), "")[:110]
        print(
            f"{name:24} {tool:11} {done.seconds:6.1f} {done.processor:6.1f} {done.memory >> 20:5}  {done.status} {message}",
            flush=True,
        )
        if tool.startswith("set ") and left != ([] if done.status else ["new"]):
            bad.append(f"{name}, {tool}: leaves {', '.join(left)}")
        if done.faults:
            bad.append(f"{name}, {tool}: {', '.join(done.faults)}")
    print(f"{count} runs, {len(bad)} bad outcomes")
    assert not bad, "\n".join(bad)

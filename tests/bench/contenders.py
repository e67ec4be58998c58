"""The packer and its peers, as commands.

All do the same work: a tar of `in`, in an order that does not depend on the disk, with
root as owner and one time, in a file; where they can also the digests that an image
needs: diff_id of the tar, digest of the blob.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
from typing import Callable, Sequence

from measure import ISOLATED, Contender

from rules_setcap import ko

_HERE = pathlib.Path(__file__).parent
_RULES_PKG = "/usr/share/bazel/rules/pkg"

_TAR = "tar --create --format=gnu --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C in"
# bsdtar takes the files as the disk has them, which is no more work than sorting.
_BSDTAR = "bsdtar -c --no-read-sparse --format=pax --uid 0 --gid 0 --numeric-owner -C in"


def copy_packer(directory: pathlib.Path) -> pathlib.Path:
    """Copies the tools, and returns the program that starts them.

    An action has no .pyc files beside the sources, and a benchmark must not change while
    it runs.
    """
    tools = _HERE.parent.parent / "tools"
    for source in tools.rglob("*.py"):
        target = directory / source.relative_to(tools)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    return directory / "launch.py"


class Packer:
    """The packer, run as the rules run it."""

    def __init__(self, main: pathlib.Path, directory: pathlib.Path, libdeflate: str) -> None:
        """
        Args:
          main: from copy_packer().
          directory: the workload's.
          libdeflate: path of the library.
        """
        self._libdeflate = os.path.abspath(libdeflate)
        self._directory = directory
        self._start = [sys.executable, *ISOLATED, str(main), "rules_setcap.packer", ""]
        self._requests = 0

    def _request(self, subcommand: str, flags: Sequence[str], entries: str = "") -> str:
        """The file of arguments for one call; the one place that knows what is in it.

        Args:
          subcommand: layer, image or layout.
          flags: its flags.
          entries: of a layer, the file that has them.
        """
        name = f"request.{self._requests}"
        self._requests += 1
        with open(self._directory / name, "w") as file:
            file.writelines(f"{line}\n" for line in (subcommand, "--target=//app:image", *flags))
            if entries:
                with open(self._directory / entries) as source:
                    shutil.copyfileobj(source, file)
        return name

    def _layer(
        self,
        compression: str,
        level: int = 0,
        threads: int = 0,
        grant: str = "",
        entries: str = "entries",
        name: str = "blob",
    ) -> str:
        flags = [f"--output=out/{name}", f"--metadata=out/{name}.json", f"--compression={compression}"]
        flags += [f"--level={level}", "--mtime=0", "--created-by=bench", f"--threads={threads or len(os.sched_getaffinity(0))}"]
        if compression == "libdeflate":
            flags.append(f"--library={self._libdeflate}")
        if grant:
            words = {"attribute": "file_capabilities", "path": grant, "capabilities": ["net_bind_service"]}
            flags.append("--capabilities=" + json.dumps(words))
        return self._request("layer", flags, entries)

    def layer(self, compression: str, grant: str, *, level: int = 0, threads: int = 0) -> Contender:
        """A layer of the whole workload.

        Args:
          compression: none, gzip, libdeflate or zstd.
          grant: path of the file that gets a capability.
          level: of the compression; the default of the rules if 0.
          threads: all that there are if 0.
        """
        words = "tar" if compression == "none" else f"{compression} {level or {'zstd': 3}.get(compression, 5)}"
        name = f"rules_setcap ({words}{', 1 thread' if threads == 1 else ''})"
        return Contender(name, [*self._start, "@" + self._layer(compression, level, threads, grant)])

    def image(self, layers: int) -> Contender:
        """Layers of one file each, over a base, to a layout; each step a process, as without workers."""
        return self._steps(IMAGE, [*self._pack(layers), *self._assemble(layers, "base")])

    def served_image(self, layers: int) -> Contender:
        """The same from one persistent worker, as Bazel runs it where it may."""
        requests = []
        for name in (*self._pack(layers), *self._assemble(layers, "base")):
            # Bazel sends what is in the file.
            requests.append(json.dumps({"arguments": (self._directory / name).read_text().splitlines()}) + "\n")
        (self._directory / "requests").write_text("".join(requests))
        start = shlex.join([*self._start, "--persistent_worker"])
        check = f"test $(grep -c '\"exitCode\": 0' out/answers) = {len(requests)}"
        return _shell(SERVED_IMAGE, f"{start} <requests >out/answers\n{check}", blob="")

    def assembly(self, layers: int, base: str, name: str) -> Contender:
        """image() without the packing: what is done anew when only the base changes."""
        pack = self._steps(name, self._pack(layers))

        def before(out: pathlib.Path) -> None:
            packed = out.parent / "packed"
            if not packed.exists():
                subprocess.run(pack.argv, cwd=out.parent, check=True)
                shutil.copytree(out, packed)
            shutil.copytree(packed, out, dirs_exist_ok=True)

        return dataclasses.replace(self._steps(name, self._assemble(layers, base)), before=before)

    def _pack(self, layers: int) -> list[str]:
        return [self._layer("gzip", entries=f"entries.{number}", name=f"layer{number}") for number in range(layers)]

    def _assemble(self, layers: int, base: str) -> list[str]:
        names = ("manifest", "config", "descriptor")
        outputs = [f"--{name}-output=out/{name}" for name in names]
        metadata = [f"--layer=out/layer{number}.json" for number in range(layers)]
        inputs = [f"--{name}=out/{name}" for name in names]
        blobs = [f"--layer=out/layer{number}.json=out/layer{number}" for number in range(layers)]
        return [
            self._request("image", ["--config=spec", f"--base-layout={base}", *outputs, *metadata]),
            self._request("layout", ["--output=out/layout", f"--base-layout={base}", *inputs, *blobs]),
        ]

    def _steps(self, name: str, requests: Sequence[str]) -> Contender:
        return _shell(name, "\n".join(shlex.join([*self._start, f"@{request}"]) for request in requests), blob="")


IMAGE, SERVED_IMAGE = "rules_setcap, a process for each action", "rules_setcap, a persistent worker"
ASSEMBLY = "rules_setcap, assembling alone"


def _shell(
    name: str,
    script: str,
    *needs: str,
    blob: str = "blob",
    before: Callable[[pathlib.Path], None] | None = None,
) -> Contender:
    """A script of bash, which fails when any part of it does."""
    return Contender(name, ["bash", "-euo", "pipefail", "-c", script], blob, before, ("bash", *needs))


def _fifo(out: pathlib.Path) -> None:
    os.mkfifo(out / "fifo")


def _hashed(source: str, compressor: str) -> str:
    """A pipeline with both hashes: of what goes into the compressor and of what comes out."""
    pipeline = f"{source} | tee out/fifo | {compressor} | tee out/blob | sha256sum >out/digest"
    return f"sha256sum <out/fifo >out/diff_id &\n{pipeline}\nwait"


def _ready(out: pathlib.Path) -> None:
    """The workload as a tar, made once."""
    tar = out.parent / "ready.tar"
    if not tar.exists():
        _run(out.parent, f"{_TAR} -f ready.tar.partial app\nmv ready.tar.partial ready.tar")


def _ready_fifo(out: pathlib.Path) -> None:
    _ready(out)
    _fifo(out)


def plain(single: str, *, linked: bool = False) -> list[Contender]:
    """Peers that make a tar.

    Args:
      single: path of the only file, if there is but one.
      linked: whether files are equal, which rules_img makes hard links of one file: another job.
    """
    peers = [
        _shell("GNU tar, no digest", f"{_TAR} -f out/blob app", "tar"),
        _shell("GNU tar, then sha256sum", f"{_TAR} -f out/blob app\nsha256sum out/blob", "tar", "sha256sum"),
        _shell("tar | tee | sha256sum", f"{_TAR} -f - app | tee out/blob | sha256sum", "tar", "sha256sum"),
        _shell("bsdtar, no digest", f"{_BSDTAR} -f out/blob app", "bsdtar"),
        rules_pkg("none"),
        *([] if linked else [img("none")]),
    ]
    if single:
        argv = [sys.executable, *ISOLATED, str(_HERE / "floor.py"), "none", f"in{single}", "out/blob"]
        peers = [
            Contender(FLOOR, argv),
            _shell(TEE, f"tee out/blob <in{single} | sha256sum", "sha256sum"),
            *peers,
        ]
    return peers


FLOOR, TEE = "read + sha256 + write, no tar", "tee | sha256sum, no tar"


def one_thread(compression: str) -> Contender:
    """The codec's library on one thread, fed with a tar that is there."""
    argv = [sys.executable, *ISOLATED, str(_HERE / "floor.py"), compression, "ready.tar", "out/blob"]
    library = {"gzip": "zlib 5", "zstd": "libzstd 3"}[compression]
    return Contender(f"{library}, 1 thread, of a ready tar", argv, before=_ready)


def gzips(*wanted: str) -> list[Contender]:
    """Peers that make a tar.gz and both digests, by what they are called here; some make more of it."""
    peers = {
        "pigz": _shell("tar | pigz -6", _hashed(f"{_TAR} -f - app", "pigz -n -6"), "pigz", before=_fifo),
        "gzip": _shell("tar | gzip -6", _hashed(f"{_TAR} -f - app", "gzip -n -6"), "gzip", before=_fifo),
        "bsdtar": _shell("bsdtar | gzip -6", _hashed(f"{_BSDTAR} -f - app", "gzip -n -6"), "bsdtar", before=_fifo),
        "rules_pkg": rules_pkg("gzip"),
        "umoci": _umoci(),
        "crane": _crane(),
        "ko": ko.build(),
        "ko, empty": ko.build(files=False),
        "img 1": img("gzip", 1),
        "img": img("gzip"),
    }
    return [peers[name] for name in wanted]


def zstds() -> list[Contender]:
    """Peers that make a tar.zst and both digests."""
    return [
        _shell(ZSTD_READY, _hashed("cat ready.tar", "zstd -q -T0 -3"), "zstd", before=_ready_fifo),
        _shell("tar | zstd -T0 -3", _hashed(f"{_TAR} -f - app", "zstd -q -T0 -3"), "zstd", before=_fifo),
        img("zstd", 1),
        img("zstd"),
    ]


ZSTD_READY = "zstd -T0 -3 of a ready tar"


def rules_pkg(compression: str) -> Contender:
    """rules_pkg's action: its packer with the arguments of pkg_tar's defaults; no digests."""
    program = f"{_RULES_PKG}/pkg/private/tar/build_tar.py"
    argv = [sys.executable, "-B", program, "--output=out/blob", "--mode=0555", "--owner=0.0", "--owner_name=."]
    argv += ["--directory=/", "--mtime=portable", "--manifest=manifest"]
    if compression == "gzip":
        argv.append("--compression=gz")
    name = "rules_pkg" if compression == "none" else "rules_pkg (gzip 9, all it has)"
    return Contender(name, argv, needs=(program,), env=(("PYTHONPATH", _RULES_PKG), ("PYTHONUTF8", "1")))


def img(compression: str, level: int = 0) -> Contender:
    """The program of rules_img as its rules run it.

    Args:
      compression: none, gzip or zstd.
      level: 1, which the rules ask for in fastbuild; 0 for that of its libraries, as in dbg.
    """
    argv = ["img", "layer", "--add-from-file=params", f"--format={compression}", "--metadata=out/metadata"]
    if compression == "gzip":
        argv.append("--compressor-jobs=nproc")
    if level:
        argv.append(f"--compression-level={level}")
    words = "tar" if compression == "none" else f"{compression} {level}, fastbuild" if level else f"{compression}, dbg"
    return Contender(f"rules_img ({words})", [*argv, "out/blob"], needs=("img",), source=_IMG)


_IMG = "from a checkout of rules_img: `cd img_tool && go build ./cmd/img`, then `--peers` with its directory"


def _crane() -> Contender:
    """A tar by GNU tar, an image by crane; gzip at crane's level, 1."""
    script = f"{_TAR} -f out/layer.tar app\ncrane append --oci-empty-base -t app -f out/layer.tar -o out/blob"
    return _shell("tar, then crane append (gzip 1)", script, "crane")


def crane_layers(count: int) -> Contender:
    """A layer each, by tar, and one crane for all."""
    tars = [f"{_TAR} -f out/{number}.tar app/f{number:03}" for number in range(count)]
    files = " ".join(f"-f out/{number}.tar" for number in range(count))
    append = f"crane append --oci-empty-base -t app {files} -o out/blob"
    return _shell(f"{count} × tar, then crane append", "\n".join([*tars, append]), "crane")


def starts(count: int) -> Contender:
    """Nothing but the starts of the interpreter, which as many actions cannot do without."""
    start = shlex.join([sys.executable, *ISOLATED, "-c", "pass"])
    return _shell(f"{count} × start of Python", "\n".join([start] * count), blob="")


def _umoci() -> Contender:
    rootless = "" if os.geteuid() == 0 else "--rootless "
    return _shell(
        "umoci insert (gzip)",
        f"umoci insert {rootless}--image out/blob:app in/app /app",
        "umoci",
        before=lambda out: _run(out, "umoci init --layout blob && umoci new --image blob:app"),
    )


def umoci_layers(count: int, base: str) -> Contender:
    """A layer each, by umoci, over a base."""
    rootless = "" if os.geteuid() == 0 else "--rootless "
    insert = f"umoci insert {rootless}--image out/layout:base"
    inserts = [f"{insert} in/app/f{number:03} /app/f{number:03}" for number in range(count)]
    # Hard links: umoci adds blobs and replaces the index.
    copy = f"cp -rl ../{base} layout && cp --remove-destination ../{base}/index.json layout/"
    return _shell(f"{count} × umoci insert", "\n".join(inserts), "umoci", blob="", before=lambda out: _run(out, copy))


def _run(directory: pathlib.Path, script: str) -> None:
    subprocess.run(["bash", "-euc", script], cwd=directory, check=True, stdout=subprocess.DEVNULL)


def versions() -> dict[str, str]:
    """The peers that are here, and what they say of themselves."""
    commands = {
        **{name: [name, "--version"] for name in ("tar", "bsdtar", "gzip", "pigz", "zstd", "sha256sum", "umoci")},
        **{name: [name, "version"] for name in ("crane", "ko")},
        # It has no command for that; Go may have noted the module's in it.
        "img": ["bash", "-c", 'go version -m "$(command -v img)" | grep -m1 -w mod'],
    }
    found = {"Python": sys.version.split()[0]}
    for name, command in commands.items():
        if shutil.which(name):
            pipe = subprocess.PIPE
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True, check=False)
            # bsdtar lists all its libraries, zstd its author.
            said = re.search(r"\bv?(\d+\.[\w.+~-]+)", done.stdout + done.stderr)
            found[name] = said[1] if said else "of a version it does not say"
    version = pathlib.Path(_RULES_PKG, "version.bzl")
    if version.exists():
        found["rules_pkg"] = version.read_text().rpartition("version =")[2].strip().strip('"')
    return found

"""The commands of the packer and its peers.

All do the same work: they write a tar of `in` to a file, in an order that does not depend on the disk, with root as the owner
and one modification time. Those that can also compute the digests that an image needs: diff_id of the tar, and digest of the
blob.
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
from collections.abc import Callable, Sequence

import ko
from measure import ISOLATED, Contender

_HERE = pathlib.Path(__file__).parent
_RULES_PKG = "/usr/share/bazel/rules/pkg"

_TAR = "tar --create --format=gnu --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C in"
# bsdtar does not sort the files, which is not more work than sorting.
_BSDTAR = "bsdtar -c --no-read-sparse --format=pax --uid 0 --gid 0 --numeric-owner -C in"


def copy_packer(directory: pathlib.Path) -> pathlib.Path:
    """Copies the tools, and returns the program that starts them.

    The inputs of an action have no .pyc files, and the tools must not change while the benchmark runs.
    """
    tools = _HERE.parent.parent / "tools"
    for source in tools.rglob("*.py"):
        target = directory / source.relative_to(tools)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    return directory / "launch.py"


class Packer:
    """The contenders that run the tools of these rules, as the rules run them."""

    def __init__(self, main: pathlib.Path, directory: pathlib.Path, gzip_library: str) -> None:
        """Creates the contenders of a workload.

        Args:
          main: the program, from copy_packer().
          directory: the directory of the workload.
          gzip_library: the path of libdeflate.
        """
        self._gzip_library = os.path.abspath(gzip_library)
        self._directory = directory
        self._program = [sys.executable, *ISOLATED, str(main)]
        self._requests = 0

    def _start(self, room: str) -> list[str]:
        """Returns the words that start the tool of a room."""
        return [*self._program, f"rules_setcap.{room}", ""]

    def _write_request(self, command: str, flags: Sequence[str], entries: str = "") -> str:
        """Writes the file with the arguments of an action.

        Args:
          command: layer, image or layout.
          flags: its flags.
          entries: the file with the entries of a layer.

        Returns:
          The name of the file.
        """
        name = f"request.{self._requests}"
        self._requests += 1
        with open(self._directory / name, "w") as file:
            file.writelines(f"{line}\n" for line in (command, "--target=//app:image", *flags))
            if entries:
                with open(self._directory / entries) as source:
                    shutil.copyfileobj(source, file)
        return name

    def _write_layer_request(
        self,
        compression: str,
        level: int = 0,
        threads: int = 0,
        capable: str = "",
        entries: str = "entries",
        name: str = "blob",
    ) -> str:
        flags = [f"--output=out/{name}", f"--metadata=out/{name}.json"]
        flags.append(f"--compression={'gzip' if compression == 'zlib' else compression}")
        flags += [f"--level={level}", "--mtime=0", "--created-by=bench", f"--threads={threads or len(os.sched_getaffinity(0))}"]
        if compression == "gzip":
            flags.append(f"--library={self._gzip_library}")
        if capable:
            assignment = {"attribute": "file_capabilities", "path": capable, "capabilities": ["net_bind_service"]}
            flags.append("--capabilities=" + json.dumps(assignment))
        return self._write_request("layer", flags, entries)

    def pack_layer(self, compression: str, capable: str, *, level: int = 0, threads: int = 0) -> Contender:
        """Packs the workload into a layer.

        Args:
          compression: none, gzip, zlib (gzip by zlib) or zstd.
          capable: the path of the file to which a capability is assigned; "" if there is none.
          level: the compression level; 0 for the default of the rules.
          threads: the number of threads that compress; 0 for one for each core.
        """
        words = "tar" if compression == "none" else f"{compression} {level or {'zstd': 3}.get(compression, 5)}"
        name = f"rules_setcap ({words}{', 1 thread' if threads == 1 else ''})"
        return Contender(name, [*self._start("packer"), "@" + self._write_layer_request(compression, level, threads, capable)])

    def pack_nothing(self) -> Contender:
        """Packs a layer without entries."""
        (self._directory / "nothing").touch()
        request = self._write_layer_request("gzip", threads=1, entries="nothing")
        return Contender("rules_setcap (gzip 5), nothing", [*self._start("packer"), f"@{request}"])

    def build_image(self, layers: int) -> Contender:
        """Builds an image of layers of one file each, over a base. Each action is a process, as without workers."""
        return self._run_actions(IMAGE, self._pack(layers), self._assemble(layers, "base"))

    def build_image_by_workers(self, layers: int) -> Contender:
        """Builds the same image in a persistent worker for each tool, as Bazel does by default."""
        script = []
        for room, names in (("packer", self._pack(layers)), ("oci", self._assemble(layers, "base"))):
            # Bazel sends the lines of the file.
            requests = [json.dumps({"arguments": (self._directory / name).read_text().splitlines()}) for name in names]
            (self._directory / f"requests.{room}").write_text("".join(request + "\n" for request in requests))
            start = shlex.join([*self._start(room), "--persistent_worker"])
            script.append(f"{start} <requests.{room} >out/answers.{room}")
            script.append(f"test $(grep -c '\"exitCode\": 0' out/answers.{room}) = {len(requests)}")
        return _make_shell(IMAGE_BY_WORKERS, "\n".join(script), blob="")

    def assemble_image(self, layers: int, base: str, name: str) -> Contender:
        """Assembles an image of layers that are packed already, as a build does if only the base changes."""
        pack = self._run_actions(name, self._pack(layers), [])

        def pack_before(out: pathlib.Path) -> None:
            packed = out.parent / "packed"
            if not packed.exists():
                subprocess.run(pack.argv, cwd=out.parent, check=True)
                shutil.copytree(out, packed)
            shutil.copytree(packed, out, dirs_exist_ok=True)

        return dataclasses.replace(self._run_actions(name, [], self._assemble(layers, base)), before=pack_before)

    def _pack(self, layers: int) -> list[str]:
        """Returns the requests that pack layers of one file each."""
        return [self._write_layer_request("gzip", entries=f"entries.{number}", name=f"layer{number}") for number in range(layers)]

    def _assemble(self, layers: int, base: str) -> list[str]:
        """Returns the requests that assemble an image of these layers, and write its layout."""
        names = ("manifest", "config", "descriptor")
        outputs = [f"--{name}-output=out/{name}" for name in names]
        metadata = [f"--layer=out/layer{number}.json" for number in range(layers)]
        inputs = [f"--{name}=out/{name}" for name in names]
        blobs = [
            f"--layer-{kind}=out/layer{n}{end}" for n in range(layers) for kind, end in (("metadata", ".json"), ("blob", ""))
        ]
        return [
            self._write_request("image", ["--spec=spec", f"--base-layout={base}", *outputs, *metadata]),
            self._write_request("layout", ["--output=out/layout", f"--base-layout={base}", *inputs, *blobs]),
        ]

    def _run_actions(self, name: str, pack: Sequence[str], assemble: Sequence[str]) -> Contender:
        """Returns the contender that runs each request in a process.

        Args:
          name: the name of the contender.
          pack: requests of the packer.
          assemble: requests of the tool that assembles images.
        """
        commands = [[*self._start("packer"), f"@{request}"] for request in pack]
        commands += [[*self._start("oci"), f"@{request}"] for request in assemble]
        return _make_shell(name, "\n".join(map(shlex.join, commands)), blob="")


IMAGE, IMAGE_BY_WORKERS = "rules_setcap, a process for each action", "rules_setcap, persistent workers"
ASSEMBLY = "rules_setcap, assembling alone"


def _make_shell(
    name: str,
    script: str,
    *needs: str,
    blob: str = "blob",
    before: Callable[[pathlib.Path], None] | None = None,
) -> Contender:
    """Returns the contender that runs a script of bash, which fails if any part of it fails."""
    return Contender(name, ["bash", "-euo", "pipefail", "-c", script], blob, before, ("bash", *needs))


def _make_fifo(out: pathlib.Path) -> None:
    os.mkfifo(out / "fifo")


def _add_hashes(source: str, compressor: str) -> str:
    """Returns the pipeline of a source and a compressor that also hashes input and output of the compressor."""
    pipeline = f"{source} | tee out/fifo | {compressor} | tee out/blob | sha256sum >out/digest"
    return f"sha256sum <out/fifo >out/diff_id &\n{pipeline}\nwait"


def make_tar(out: pathlib.Path) -> None:
    """Writes the workload as a tar, unless it exists."""
    tar = out.parent / "ready.tar"
    if not tar.exists():
        _run(out.parent, f"{_TAR} -f ready.tar.partial app\nmv ready.tar.partial ready.tar")


def _make_tar_and_fifo(out: pathlib.Path) -> None:
    make_tar(out)
    _make_fifo(out)


def list_tar_peers(single: str, *, has_duplicates: bool = False) -> list[Contender]:
    """Returns the peers that write an uncompressed tar.

    Args:
      single: the path of the only file; "" if there are more.
      has_duplicates: whether files are equal. rules_img writes hard links for them, which is other work.
    """
    peers = [
        _make_shell("GNU tar, no digest", f"{_TAR} -f out/blob app", "tar"),
        _make_shell("GNU tar, then sha256sum", f"{_TAR} -f out/blob app\nsha256sum out/blob", "tar", "sha256sum"),
        _make_shell("tar | tee | sha256sum", f"{_TAR} -f - app | tee out/blob | sha256sum", "tar", "sha256sum"),
        _make_shell("bsdtar, no digest", f"{_BSDTAR} -f out/blob app", "bsdtar"),
        run_rules_pkg("none"),
        *([] if has_duplicates else [run_rules_img("none")]),
    ]
    if single:
        argv = [sys.executable, *ISOLATED, str(_HERE / "floor.py"), "none", f"in{single}", "out/blob"]
        peers = [
            Contender(FLOOR, argv),
            _make_shell(TEE, f"tee out/blob <in{single} | sha256sum", "sha256sum"),
            *peers,
        ]
    return peers


FLOOR, TEE = "read + sha256 + write, no tar", "tee | sha256sum, no tar"


def compress_on_one_thread(compression: str) -> Contender:
    """Returns the library of a compression on one thread, which reads an existing tar."""
    argv = [sys.executable, *ISOLATED, str(_HERE / "floor.py"), compression, "ready.tar", "out/blob"]
    library = {"gzip": "zlib 5", "zstd": "libzstd 3"}[compression]
    return Contender(f"{library}, 1 thread, of a ready tar", argv, before=make_tar)


def list_gzip_peers(*names: str) -> list[Contender]:
    """Returns peers that write a tar.gz and both digests, by their names here. Some write a whole image."""
    peers = {
        "pigz": _make_shell("tar | pigz -6", _add_hashes(f"{_TAR} -f - app", "pigz -n -6"), "pigz", before=_make_fifo),
        "gzip": _make_shell("tar | gzip -6", _add_hashes(f"{_TAR} -f - app", "gzip -n -6"), "gzip", before=_make_fifo),
        "bsdtar": _make_shell("bsdtar | gzip -6", _add_hashes(f"{_BSDTAR} -f - app", "gzip -n -6"), "bsdtar", before=_make_fifo),
        "rules_pkg": run_rules_pkg("gzip"),
        "umoci": _run_umoci(),
        "crane": _run_crane(),
        "ko": ko.run_ko_build(),
        "ko, empty": ko.run_ko_build(has_files=False),
        "img 1": run_rules_img("gzip", 1),
        "img": run_rules_img("gzip"),
    }
    return [peers[name] for name in names]


def list_zstd_peers() -> list[Contender]:
    """Returns peers that write a tar.zst and both digests."""
    return [
        _make_shell(ZSTD_READY, _add_hashes("cat ready.tar", "zstd -q -T0 -3"), "zstd", before=_make_tar_and_fifo),
        _make_shell("tar | zstd -T0 -3", _add_hashes(f"{_TAR} -f - app", "zstd -q -T0 -3"), "zstd", before=_make_fifo),
        run_rules_img("zstd", 1),
        run_rules_img("zstd"),
    ]


ZSTD_READY = "zstd -T0 -3 of a ready tar"


def run_rules_pkg(compression: str) -> Contender:
    """Returns the action of rules_pkg with the defaults of pkg_tar. It computes no digests."""
    program = f"{_RULES_PKG}/pkg/private/tar/build_tar.py"
    argv = [sys.executable, "-B", program, "--output=out/blob", "--mode=0555", "--owner=0.0", "--owner_name=."]
    argv += ["--directory=/", "--mtime=portable", "--manifest=manifest"]
    if compression == "gzip":
        argv.append("--compression=gz")
    name = "rules_pkg" if compression == "none" else "rules_pkg (gzip 9, all it has)"
    return Contender(name, argv, needs=(program,), env=(("PYTHONPATH", _RULES_PKG), ("PYTHONUTF8", "1")))


def run_rules_img(compression: str, level: int = 0) -> Contender:
    """Returns the program of rules_img as its rules run it.

    Args:
      compression: none, gzip or zstd.
      level: 1, as the rules set it in fastbuild; 0 for the default of its libraries, as in dbg.
    """
    argv = ["img", "layer", "--add-from-file=params", f"--format={compression}", "--metadata=out/metadata"]
    if compression == "gzip":
        argv.append("--compressor-jobs=nproc")
    if level:
        argv.append(f"--compression-level={level}")
    words = "tar" if compression == "none" else f"{compression} {level}, fastbuild" if level else f"{compression}, dbg"
    return Contender(f"rules_img ({words})", [*argv, "out/blob"], needs=("img",), source=_IMG)


_IMG = "from a checkout of rules_img: `cd img_tool && go build ./cmd/img`, then `--peers` with its directory"


def _run_crane() -> Contender:
    """Returns GNU tar for the tar and crane for the image, which compresses with gzip at level 1."""
    script = f"{_TAR} -f out/layer.tar app\ncrane append --oci-empty-base -t app -f out/layer.tar -o out/blob"
    return _make_shell("tar, then crane append (gzip 1)", script, "crane")


def append_layers_by_crane(count: int) -> Contender:
    """Returns tar for each layer, and crane once for all of them."""
    tars = [f"{_TAR} -f out/{number}.tar app/f{number:03}" for number in range(count)]
    files = " ".join(f"-f out/{number}.tar" for number in range(count))
    append = f"crane append --oci-empty-base -t app {files} -o out/blob"
    return _make_shell(f"{count} × tar, then crane append", "\n".join([*tars, append]), "crane")


def start_interpreters(count: int) -> Contender:
    """Returns the starts of as many interpreters as there are actions, which take the least time that these can take."""
    start = shlex.join([sys.executable, *ISOLATED, "-c", "pass"])
    return _make_shell(f"{count} × start of Python", "\n".join([start] * count), blob="")


def _run_umoci() -> Contender:
    rootless = "" if os.geteuid() == 0 else "--rootless "
    return _make_shell(
        "umoci insert (gzip)",
        f"umoci insert {rootless}--image out/blob:app in/app /app",
        "umoci",
        before=lambda out: _run(out, "umoci init --layout blob && umoci new --image blob:app"),
    )


def insert_layers_by_umoci(count: int, base: str) -> Contender:
    """Returns umoci for each layer over a base."""
    rootless = "" if os.geteuid() == 0 else "--rootless "
    insert = f"umoci insert {rootless}--image out/layout:base"
    inserts = [f"{insert} in/app/f{number:03} /app/f{number:03}" for number in range(count)]
    # The copy has hard links to the blobs, because umoci adds blobs and replaces only the index.
    copy = f"cp -rl ../{base} layout && cp --remove-destination ../{base}/index.json layout/"
    return _make_shell(f"{count} × umoci insert", "\n".join(inserts), "umoci", blob="", before=lambda out: _run(out, copy))


def _run(directory: pathlib.Path, script: str) -> None:
    subprocess.run(["bash", "-euc", script], cwd=directory, check=True, stdout=subprocess.DEVNULL)


def find_versions() -> dict[str, str]:
    """Returns the versions of the peers that this machine has."""
    commands = {
        **{name: [name, "--version"] for name in ("tar", "bsdtar", "gzip", "pigz", "zstd", "sha256sum", "umoci")},
        **{name: [name, "version"] for name in ("crane", "ko")},
        # It has no command for that, but Go may have written the version of the module into the program.
        "img": ["bash", "-c", 'go version -m "$(command -v img)" | grep -m1 -w mod'],
    }
    versions = {"Python": sys.version.split()[0]}
    for name, command in commands.items():
        if shutil.which(name):
            pipe = subprocess.PIPE
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True, check=False)
            # bsdtar prints the versions of its libraries too, and zstd its author.
            version = re.search(r"\bv?(\d+\.[\w.+~-]+)", done.stdout + done.stderr)
            versions[name] = version[1] if version else "unknown version"
    version_file = pathlib.Path(_RULES_PKG, "version.bzl")
    if version_file.exists():
        versions["rules_pkg"] = version_file.read_text().rpartition("version =")[2].strip().strip('"')
    return versions

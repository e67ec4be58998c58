"""Makes the workloads of the benchmark.

Usage: workloads.py NAME DIRECTORY DIVISOR

A workload is a directory with `in/app`, the files; lists of these files for the packer (`entries`), for rules_pkg (`manifest`)
and for rules_img (`params`); and `facts`, a line of JSON. A process of its own makes it. The process that measures must stay
small, because the peak memory of a process includes what its parent had when it started the process.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
import sys
import sysconfig
from collections.abc import Callable, Iterator

_MIB = 1 << 20


@dataclasses.dataclass(frozen=True)
class Workload:
    """A workload.

    Attributes:
      title: its title in tables.
      make: writes its directory, with everything but the number of layers divided by a number.
    """

    title: str
    make: Callable[[pathlib.Path, int], None]


def _read_machine_code() -> bytes:
    """Returns the interpreter and its libraries, which are as compressible as other binaries."""
    variables = sysconfig.get_config_vars()
    paths = [pathlib.Path(sys.executable).resolve()]
    if variables.get("LDLIBRARY"):
        paths.append(pathlib.Path(variables["LIBDIR"]) / variables["LDLIBRARY"])
    paths += sorted(pathlib.Path(sysconfig.get_path("platstdlib"), "lib-dynload").glob("*.so"))
    data = b"".join(path.read_bytes() for path in paths if path.is_file() and path.suffix != ".a")
    # Longer than the window of each compression, so that none finds the repetitions.
    if len(data) < 8 * _MIB:
        library = pathlib.Path(sysconfig.get_path("stdlib"))
        data += b"".join(path.read_bytes() for path in sorted(library.glob("*.py")))
    return data[: 32 * _MIB]


def make_content(size: int) -> Iterator[bytes]:
    """Yields `size` bytes that are as compressible as a binary. Each repetition has other values than the one before."""
    code = _read_machine_code()
    number = 0
    while size > 0:
        table = bytes(byte ^ (number * 37 & 255) for byte in range(256))
        yield code[:size].translate(table)
        size -= len(code)
        number += 1


def _write_lists(directory: pathlib.Path, names: list[str]) -> None:
    """Writes the lists of files and the facts.

    Args:
      directory: the directory of the workload.
      names: the paths of the files in `in`.
    """
    names = sorted(names)
    with open(directory / "entries", "w") as entries:
        # rules/private/entries.bzl writes such lines.
        entries.writelines(json.dumps(["srcs", f"/{name}", f"in/{name}"], separators=(",", ":")) + "\n" for name in names)
    rest = {"type": "file", "mode": "", "user": None, "group": None, "origin": "@//app:image"}
    (directory / "manifest").write_text(json.dumps([{"dest": name, "src": f"in/{name}", **rest} for name in names]))
    # Path in the image, NUL, "f" for a file, source.
    (directory / "params").write_text("".join(f"{name}\0fin/{name}\n" for name in names))
    total = sum((directory / "in" / name).stat().st_size for name in names)
    (directory / "facts").write_text(json.dumps({"bytes": total, "first": f"/{names[0]}"}))


def _make_binary(size: int) -> Callable[[pathlib.Path, int], None]:
    def make(directory: pathlib.Path, divisor: int) -> None:
        (directory / "in/app").mkdir(parents=True)
        with open(directory / "in/app/server", "wb") as file:
            file.writelines(make_content(size // divisor))
        _write_lists(directory, ["app/server"])

    return make


def _make_zeros(directory: pathlib.Path, divisor: int) -> None:
    (directory / "in/app").mkdir(parents=True)
    with open(directory / "in/app/zeros", "wb") as file:
        file.truncate((1 << 30) // divisor)
    _write_lists(directory, ["app/zeros"])


def _make_files(count: int, size: int) -> Callable[[pathlib.Path, int], None]:
    """Returns a function that writes `count` files of `size` bytes in all, a hundred in a directory."""

    def make(directory: pathlib.Path, divisor: int) -> None:
        names = []
        data = b"".join(make_content(size // divisor)) if size else b""
        position = 0
        for number in range(count // divisor):
            name = f"app/d{number // 100:04}/f{number % 100:02}.py"
            path = directory / "in" / name
            if number % 100 == 0:
                path.parent.mkdir(parents=True)
            # Most files are small, and some are large.
            share = size // count * (number * 7 % 20 + 1) * 2 // 21
            path.write_bytes(data[position : position + share])
            position += share
            names.append(name)
        _write_lists(directory, names)

    return make


def _make_layers(count: int, bases: dict[str, int]) -> Callable[[pathlib.Path, int], None]:
    """Returns a function that writes files for a layer each, and bases of ten layers each.

    Args:
      count: the number of files.
      bases: the sizes of the bases by name.
    """

    def make(directory: pathlib.Path, divisor: int) -> None:
        names = []
        for number in range(count):
            name = f"app/f{number:03}"
            path = directory / "in" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(hashlib.sha512(name.encode()).digest() * 8)
            (directory / f"entries.{number}").write_text(json.dumps(["srcs", f"/{name}", f"in/{name}"]) + "\n")
            names.append(name)
        for name, size in bases.items():
            write_base(directory / name, max(size // divisor, 10_000))
        nothing: dict[str, None] = dict.fromkeys(("entrypoint", "cmd"))
        texts = dict.fromkeys(("variant", "user", "working_dir", "stop_signal", "created"), "")
        lists: dict[str, list[str]] = {"exposed_ports": [], "volumes": []}
        dicts: dict[str, dict[str, str]] = {"env": {}, "labels": {}, "annotations": {}}
        spec = {"os": "linux", "architecture": "amd64", **nothing, **texts, **lists, **dicts}
        (directory / "spec").write_text(json.dumps(spec))
        _write_lists(directory, names)

    return make


def write_base(layout: pathlib.Path, size: int, layers: int = 10) -> object:
    """Writes an OCI image layout of one image. Its layers are sparse files, which nothing reads.

    Args:
      layout: the path of the directory.
      size: bytes of all layers.
      layers: the number of layers.

    Returns:
      The digest of the manifest.
    """
    blobs = layout / "blobs/sha256"
    blobs.mkdir(parents=True)

    def write_blob(media_type: str, value: object) -> dict[str, object]:
        data = json.dumps(value).encode()
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    descriptors = []
    for number in range(layers):
        partial = layout / "layer"
        with open(partial, "w+b") as file:
            file.write(b"%d" % number)
            file.truncate(size // layers)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        partial.rename(blobs / digest)
        descriptors.append({"mediaType": _LAYER, "digest": f"sha256:{digest}", "size": size // layers})
    config = write_blob(
        "application/vnd.oci.image.config.v1+json",
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in descriptors]},
            "history": [{"created_by": "base"} for _ in descriptors],
        },
    )
    media_type = "application/vnd.oci.image.manifest.v1+json"
    parts = {"config": config, "layers": descriptors}
    manifest = write_blob(media_type, {"schemaVersion": 2, "mediaType": media_type, **parts})
    named = {**manifest, "annotations": {"org.opencontainers.image.ref.name": "base"}}
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [named]}))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return manifest["digest"]


_LAYER = "application/vnd.oci.image.layer.v1.tar"

WORKLOADS = {
    "binary-1g": Workload("a binary of 1 GiB", _make_binary(1 << 30)),
    "binary-120m": Workload("a binary of 120 MB", _make_binary(120_000_000)),
    "small-files": Workload("20,000 files, 130 MB", _make_files(20_000, 130_000_000)),
    "empty-files": Workload("100,000 empty files", _make_files(100_000, 0)),
    "zeros": Workload("a sparse file, 1 GiB of zeros", _make_zeros),
    "layers": Workload("200 tiny layers, packed and assembled", _make_layers(200, {"base": 10_000})),
    "base": Workload("30 tiny layers over a base of 2 GiB", _make_layers(30, {"base": 2 << 30, "small-base": 10_000})),
}
"""The workloads by the names that --only takes."""


if __name__ == "__main__":
    WORKLOADS[sys.argv[1]].make(pathlib.Path(sys.argv[2]), int(sys.argv[3]))

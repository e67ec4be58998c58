"""What there is to pack.

Usage: workloads.py NAME DIRECTORY

Each workload is a directory with `in/app`, the files; `entries`, the packer's list of
them; `manifest`, that of rules_pkg; `params`, that of rules_img; and `facts`, a line of
JSON. A process of its own makes it: the one that measures must stay small, because the
peak memory of a child counts from what its parent had when it started.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
import sys
import sysconfig
from typing import Callable, Iterator

_MIB = 1 << 20


@dataclasses.dataclass(frozen=True)
class Workload:
    """A workload.

    Attributes:
      title: what the tables call it.
      make: fills its directory.
    """

    title: str
    make: Callable[[pathlib.Path], None]


def _machine_code() -> bytes:
    """The interpreter and its libraries: what binaries look like, and compress to."""
    variables = sysconfig.get_config_vars()
    places = [pathlib.Path(sys.executable).resolve()]
    if variables.get("LDLIBRARY"):
        places.append(pathlib.Path(variables["LIBDIR"]) / variables["LDLIBRARY"])
    places += sorted(pathlib.Path(sysconfig.get_path("platstdlib"), "lib-dynload").glob("*.so"))
    data = b"".join(path.read_bytes() for path in places if path.is_file() and path.suffix != ".a")
    # Longer than the window of any codec here, so that no repetition of it is found.
    if len(data) < 8 * _MIB:
        library = pathlib.Path(sysconfig.get_path("stdlib"))
        data += b"".join(path.read_bytes() for path in sorted(library.glob("*.py")))
    return data[: 32 * _MIB]


def _content(size: int) -> Iterator[bytes]:
    """`size` bytes as compressible as a binary, each repetition of other values than the one before."""
    code = _machine_code()
    number = 0
    while size > 0:
        table = bytes(byte ^ (number * 37 & 255) for byte in range(256))
        yield code[:size].translate(table)
        size -= len(code)
        number += 1


def _finish(directory: pathlib.Path, names: list[str]) -> None:
    """Writes the lists of files; `names` are paths below `in`."""
    names = sorted(names)
    with open(directory / "entries", "w") as entries:
        for name in names:
            # As rules/private/entries.bzl writes it.
            entry = {"attribute": "srcs", "mode": "0755", "path": f"/{name}", "source": f"in/{name}"}
            entries.write(json.dumps(entry, separators=(",", ":")) + "\n")
    rest = {"type": "file", "mode": "", "user": None, "group": None, "origin": "@//app:image"}
    (directory / "manifest").write_text(json.dumps([{"dest": name, "src": f"in/{name}", **rest} for name in names]))
    # Path in the image, NUL, the letter of a file, source.
    (directory / "params").write_text("".join(f"{name}\0fin/{name}\n" for name in names))
    total = sum((directory / "in" / name).stat().st_size for name in names)
    (directory / "facts").write_text(json.dumps({"bytes": total, "first": f"/{names[0]}"}))


def _binary(size: int) -> Callable[[pathlib.Path], None]:
    def make(directory: pathlib.Path) -> None:
        (directory / "in/app").mkdir(parents=True)
        with open(directory / "in/app/server", "wb") as file:
            for data in _content(size):
                file.write(data)
        _finish(directory, ["app/server"])

    return make


def _zeros(directory: pathlib.Path) -> None:
    (directory / "in/app").mkdir(parents=True)
    with open(directory / "in/app/zeros", "wb") as file:
        file.truncate(1 << 30)
    _finish(directory, ["app/zeros"])


def _files(count: int, size: int) -> Callable[[pathlib.Path], None]:
    """`count` files, `size` bytes in all, a hundred to a directory."""

    def make(directory: pathlib.Path) -> None:
        names = []
        data = b"".join(_content(size)) if size else b""
        at = 0
        for number in range(count):
            name = f"app/d{number // 100:04}/f{number % 100:02}.py"
            path = directory / "in" / name
            if number % 100 == 0:
                path.parent.mkdir(parents=True)
            # Most files of a program are small, a few are not.
            share = size // count * (number * 7 % 20 + 1) * 2 // 21
            path.write_bytes(data[at : at + share])
            at += share
            names.append(name)
        _finish(directory, names)

    return make


def _layers(count: int, bases: dict[str, int]) -> Callable[[pathlib.Path], None]:
    """`count` files, to be a layer each; and bases, name to size, of ten layers each."""

    def make(directory: pathlib.Path) -> None:
        names = []
        for number in range(count):
            name = f"app/f{number:03}"
            path = directory / "in" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(hashlib.sha512(name.encode()).digest() * 8)
            (directory / f"entries.{number}").write_text(
                json.dumps({"path": f"/{name}", "source": f"in/{name}"}) + "\n"
            )
            names.append(name)
        for name, size in bases.items():
            base(directory / name, size)
        nothing: dict[str, None] = dict.fromkeys(("entrypoint", "cmd"))
        texts = dict.fromkeys(("variant", "user", "working_dir", "stop_signal", "created"), "")
        lists: dict[str, list[str]] = {"exposed_ports": [], "volumes": []}
        dicts: dict[str, dict[str, str]] = {"env": {}, "labels": {}, "annotations": {}}
        spec = {"os": "linux", "architecture": "amd64", **nothing, **texts, **lists, **dicts}
        (directory / "spec").write_text(json.dumps(spec))
        _finish(directory, names)

    return make


def base(layout: pathlib.Path, size: int, layers: int = 10) -> object:
    """An OCI image layout of one image, its layers sparse files, for nobody is to read them.

    Args:
      layout: the directory to make.
      size: bytes of all layers.
      layers: how many.

    Returns:
      Digest of the manifest.
    """
    blobs = layout / "blobs/sha256"
    blobs.mkdir(parents=True)

    def put(media_type: str, value: object) -> dict[str, object]:
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
    config = put(
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
    manifest = put(media_type, {"schemaVersion": 2, "mediaType": media_type, **parts})
    named = {**manifest, "annotations": {"org.opencontainers.image.ref.name": "base"}}
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [named]}))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return manifest["digest"]


_LAYER = "application/vnd.oci.image.layer.v1.tar"

WORKLOADS = {
    "binary-1g": Workload("a binary of 1 GiB", _binary(1 << 30)),
    "binary-120m": Workload("a binary of 120 MB", _binary(120_000_000)),
    "small-files": Workload("20,000 files, 130 MB", _files(20_000, 130_000_000)),
    "empty-files": Workload("100,000 empty files", _files(100_000, 0)),
    "zeros": Workload("a sparse file, 1 GiB of zeros", _zeros),
    "layers": Workload("200 tiny layers, packed and assembled", _layers(200, {"base": 10_000})),
    "base": Workload("30 tiny layers over a base of 2 GiB", _layers(30, {"base": 2 << 30, "small-base": 10_000})),
}
"""By the name that --only takes."""


if __name__ == "__main__":
    WORKLOADS[sys.argv[1]].make(pathlib.Path(sys.argv[2]))

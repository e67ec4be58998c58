"""Makes random pairs of images that differ in one known thing."""

from __future__ import annotations

import copy
import gzip
import hashlib
import io
import json
import pathlib
import random
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rules_setcap import capabilities
from support.image import RECORD

CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
_NAMES = ("cap_net_bind_service", "cap_sys_admin", "cap_net_raw", "cap_setuid", "cap_bpf", "cap_ipc_owner")


@dataclass
class Entry:
    """An entry of a layer: the fields of its header, its pax records and its content."""

    path: str
    kind: bytes = tarfile.REGTYPE
    content: bytes = b""
    link: str = ""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: float = 0
    uname: str = ""
    gname: str = ""
    device: tuple[int, int] = (0, 0)
    records: dict[str, str] = field(default_factory=dict)

    def set_capabilities(self, text: str, rootid: int = 0) -> None:
        """Assigns capabilities."""
        value = capabilities.from_text(text)._replace(rootid=rootid).to_xattr()
        self.records[RECORD] = value.decode("utf-8", "surrogateescape")


@dataclass
class Layer:
    """A layer: its entries, and how it is written."""

    entries: list[Entry]
    compression: str = ""
    gzip_time: int = 0
    padding: int = 0

    def write_tar(self) -> bytes:
        """Returns the tar."""
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for entry in self.entries:
                info = tarfile.TarInfo(entry.path.strip("/"))
                info.type, info.linkname, info.mode, info.mtime = entry.kind, entry.link, entry.mode, entry.mtime
                info.uid, info.gid, info.uname, info.gname = entry.uid, entry.gid, entry.uname, entry.gname
                info.devmajor, info.devminor = entry.device
                info.size = len(entry.content)
                info.pax_headers = dict(entry.records)
                archive.addfile(info, io.BytesIO(entry.content))
        return made.getvalue() + bytes(self.padding)

    def write_blob(self) -> tuple[bytes, str]:
        """Returns the blob and its media type."""
        tar = self.write_tar()
        if self.compression == "gzip":
            return gzip.compress(tar, 6, mtime=self.gzip_time), LAYER + "+gzip"
        if self.compression == "zstd":
            from compression import zstd

            return zstd.compress(tar), LAYER + "+zstd"
        return tar, LAYER


@dataclass
class Image:
    """An image, or an index with one image for each platform.

    Attributes:
      layers: the layers.
      config: the config, without rootfs.
      manifest: further fields of the manifest.
      index: further fields of the index; None without an index.
      platforms: the architectures of the index.
      indent: the indentation of the config's JSON.
    """

    layers: list[Layer]
    config: dict[str, Any]
    manifest: dict[str, Any] = field(default_factory=dict)
    index: dict[str, Any] | None = None
    platforms: list[str] = field(default_factory=lambda: ["amd64"])
    indent: int | None = None

    def list_capable_paths(self) -> set[str]:
        """Returns the paths of the files with capabilities."""
        return {entry.path for layer in self.layers for entry in layer.entries if RECORD in entry.records}

    def write_layout(self, directory: pathlib.Path) -> pathlib.Path:
        """Writes an OCI layout."""
        blobs = directory / "blobs/sha256"
        blobs.mkdir(parents=True)

        def put(data: bytes, media_type: str, **more: Any) -> dict[str, Any]:
            digest = hashlib.sha256(data).hexdigest()
            (blobs / digest).write_bytes(data)
            return {"mediaType": media_type, "digest": "sha256:" + digest, "size": len(data), **more}

        descriptors = []
        for architecture in self.platforms:
            diff_ids = ["sha256:" + hashlib.sha256(layer.write_tar()).hexdigest() for layer in self.layers]
            rootfs = {"type": "layers", "diff_ids": diff_ids}
            config = {"architecture": architecture, "os": "linux", **self.config, "rootfs": rootfs}
            manifest = {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": put(json.dumps(config, indent=self.indent).encode(), CONFIG),
                "layers": [put(*layer.write_blob()) for layer in self.layers],
                **self.manifest,
            }
            platform = {"os": "linux", "architecture": architecture}
            descriptors.append(put(json.dumps(manifest).encode(), MANIFEST, platform=platform))
        if self.index is not None:
            index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": descriptors, **self.index}
            descriptors = [put(json.dumps(index).encode(), INDEX)]
        (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": descriptors}))
        (directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        return directory


@dataclass(frozen=True)
class Pair:
    """Two images that differ in one thing.

    Attributes:
      before, after: the images.
      kind: the kind of the change.
      path: the path of the change.
    """

    before: Image
    after: Image
    kind: str
    path: str


Mutation = Callable[[Image, random.Random], tuple[str, str]]
"""Changes one thing of an image; returns the kind and the path of the change that has to be reported."""


def draw_image(rng: random.Random) -> Image:
    """Returns a random image."""
    layers = []
    for number in range(rng.randint(1, 3)):
        folder = f"/opt/{number}{rng.choice('abc')}"
        entries = [Entry(folder, tarfile.DIRTYPE, mode=0o755)]
        for index in range(rng.randint(4, 12)):
            path = f"{folder}/{rng.choice(('file', 'bin', 'data'))}{index}"
            entry = Entry(path, content=rng.randbytes(rng.choice((0, 1, 511, 512, 3000))), mode=rng.choice((0o644, 0o755)))
            if rng.random() < 0.3:
                entry.set_capabilities(f"{rng.choice(_NAMES)}={rng.choice(('p', 'ep', 'ei'))}")
            entries.append(entry)
        entries.append(Entry(f"{folder}/link", tarfile.SYMTYPE, link="file0", mode=0o777))
        entries.append(Entry(f"{folder}/first", content=b"first"))
        entries.append(Entry(f"{folder}/second", content=b"first"))
        entries.append(Entry(f"{folder}/hard", tarfile.LNKTYPE, link=f"{folder.strip('/')}/first"))
        entries.append(Entry(f"{folder}/tty", tarfile.CHRTYPE, device=(5, number + 1)))
        layers.append(Layer(entries, rng.choice(("", "gzip", "zstd"))))
    history = [{"created": "1970-01-01T00:00:00Z", "created_by": f"layer {number}"} for number in range(len(layers))]
    config = {
        "created": "1970-01-01T00:00:00Z",
        "config": {"User": "65532", "Env": ["PATH=/bin", "HOME=/"], "Entrypoint": ["/app"], "Labels": {"a.b": "c"}},
        "history": history,
    }
    return Image(layers, config, index=rng.choice((None, None, {})))


def draw_pair(rng: random.Random, mutate: Mutation) -> Pair:
    """Returns a random image, and the same image with one change; which of them is the first is random."""
    before = draw_image(rng)
    if mutate in _OF_INDEXES:
        before.index = {}
    after = copy.deepcopy(before)
    kind, path = mutate(after, rng)
    if rng.random() < 0.5:
        before, after = after, before
    return Pair(before, after, kind, path)


def _choose_file(image: Image, rng: random.Random, *, least: int = 0) -> Entry:
    """Returns a file with at least so many bytes of content."""
    files = [entry for layer in image.layers for entry in layer.entries if entry.kind == tarfile.REGTYPE]
    return rng.choice([entry for entry in files if len(entry.content) >= least])


def _choose_kind(image: Image, rng: random.Random, kind: bytes) -> Entry:
    return rng.choice([entry for layer in image.layers for entry in layer.entries if entry.kind == kind])


def _change_user(image: Image, rng: random.Random) -> tuple[str, str]:
    image.config["config"]["User"] = str(rng.randint(1, 65531))
    return "config", "config.User"


def _change_variable(image: Image, rng: random.Random) -> tuple[str, str]:
    image.config["config"]["Env"][0] = f"PATH=/{rng.random()}"
    return "config", "config.Env.PATH"


def _add_variable(image: Image, rng: random.Random) -> tuple[str, str]:
    image.config["config"]["Env"].insert(rng.randint(0, 2), "NEW=1")
    return "config", "config.Env.NEW"


def _reorder_variables(image: Image, _rng: random.Random) -> tuple[str, str]:
    image.config["config"]["Env"].reverse()
    return "config", "config.Env"


def _add_label(image: Image, rng: random.Random) -> tuple[str, str]:
    image.config["config"]["Labels"]["org.example.time"] = str(rng.random())
    return "config", 'config.Labels["org.example.time"]'


def _add_argument(image: Image, rng: random.Random) -> tuple[str, str]:
    image.config["config"]["Entrypoint"].append(str(rng.random()))
    return "config", "config.Entrypoint[1]"


def _change_creation(image: Image, rng: random.Random) -> tuple[str, str]:
    image.config["created"] = f"2026-11-26T00:00:{rng.randint(10, 59)}Z"
    return "config", "created"


def _change_history(image: Image, rng: random.Random) -> tuple[str, str]:
    number = rng.randrange(len(image.layers))
    image.config["history"][number]["created"] = f"2026-11-26T00:00:{rng.randint(10, 59)}Z"
    return "config", f"history[{number}].created"


def _add_annotation(image: Image, rng: random.Random) -> tuple[str, str]:
    image.manifest["annotations"] = {"revision": str(rng.random())}
    return "manifest", "annotations"


def _annotate_index(image: Image, rng: random.Random) -> tuple[str, str]:
    image.index = {"annotations": {"revision": str(rng.random())}}
    return "index", "annotations"


def _add_platform(image: Image, _rng: random.Random) -> tuple[str, str]:
    image.platforms = ["amd64", "arm64"]
    return "index", "manifests"


def _add_layer(image: Image, rng: random.Random) -> tuple[str, str]:
    number = rng.randint(0, len(image.layers))
    image.layers.insert(number, Layer([Entry("/added", content=rng.randbytes(10))]))
    image.config["history"].insert(number, {"created": "1970-01-01T00:00:00Z", "created_by": "added"})
    return "layers", ""


def _remove_layer(image: Image, rng: random.Random) -> tuple[str, str]:
    if len(image.layers) == 1:
        return _add_layer(image, rng)
    number = rng.randrange(len(image.layers))
    del image.layers[number], image.config["history"][number]
    return "layers", ""


def _change_compression(image: Image, rng: random.Random) -> tuple[str, str]:
    layer = rng.choice(image.layers)
    layer.compression = rng.choice([name for name in ("", "gzip", "zstd") if name != layer.compression])
    return "compression", ""


def _move_entry(image: Image, rng: random.Random) -> tuple[str, str]:
    """Moves a file far enough that it is the one entry whose place has changed."""
    layer = rng.choice(image.layers)
    files = [number for number, entry in enumerate(layer.entries[:-2]) if entry.kind == tarfile.REGTYPE]
    number = rng.choice([number for number in files if not layer.entries[number].path.endswith(("/first", "/second"))])
    entry = layer.entries.pop(number)
    layer.entries.append(entry)
    return "order", entry.path


def _write_owner_name(image: Image, rng: random.Random) -> tuple[str, str]:
    entry = _choose_file(image, rng)
    setattr(entry, rng.choice(("uname", "gname")), "root")
    return "encoding", entry.path


def _write_access_time(image: Image, rng: random.Random) -> tuple[str, str]:
    entry = _choose_file(image, rng)
    entry.records[rng.choice(("atime", "ctime"))] = f"{rng.randint(1, 2_000_000_000)}.5"
    return "encoding", entry.path


def _pad_archive(image: Image, rng: random.Random) -> tuple[str, str]:
    rng.choice(image.layers).padding = 10240
    return "encoding", ""


def _indent_config(image: Image, _rng: random.Random) -> tuple[str, str]:
    image.indent = 1
    return "encoding", "config"


def _change_mtime(image: Image, rng: random.Random) -> tuple[str, str]:
    entry = _choose_file(image, rng)
    entry.mtime = rng.choice((1, 1_700_000_000, 0.25, -5))
    return "mtime", entry.path


def _change_owner(image: Image, rng: random.Random) -> tuple[str, str]:
    entry = _choose_file(image, rng)
    setattr(entry, rng.choice(("uid", "gid")), rng.choice((1, 65532, 3_000_000)))
    return "owner", entry.path


def _change_mode(image: Image, rng: random.Random) -> tuple[str, str]:
    entry = _choose_file(image, rng)
    entry.mode ^= rng.choice((0o4000, 0o2000, 0o100, 0o002))
    return "mode", entry.path


def _add_capability(image: Image, rng: random.Random) -> tuple[str, str]:
    entry = _choose_file(image, rng)
    entry.set_capabilities(f"{rng.choice(_NAMES)},cap_sys_ptrace=p", rng.choice((0, 0, 1000)))
    return "capabilities", entry.path


def _remove_capability(image: Image, rng: random.Random) -> tuple[str, str]:
    having = [entry for layer in image.layers for entry in layer.entries if RECORD in entry.records]
    if not having:
        return _add_capability(image, rng)
    entry = rng.choice(having)
    del entry.records[RECORD]
    return "capabilities", entry.path


def _damage_capability(image: Image, rng: random.Random) -> tuple[str, str]:
    entry = _choose_file(image, rng)
    entry.records[RECORD] = "x" * rng.randint(0, 30)
    return "capabilities", entry.path


def _add_attribute(image: Image, rng: random.Random) -> tuple[str, str]:
    entry = _choose_file(image, rng)
    entry.records[f"SCHILY.xattr.{rng.choice(('user.note', 'security.selinux', 'trusted.x'))}"] = str(rng.random())
    return "xattrs", entry.path


def _add_entry(image: Image, rng: random.Random) -> tuple[str, str]:
    layer = rng.choice(image.layers)
    path = f"{layer.entries[0].path}/added"
    layer.entries.insert(rng.randint(1, len(layer.entries)), Entry(path, content=rng.randbytes(rng.choice((0, 9, 600)))))
    return "entries", path


def _remove_entry(image: Image, rng: random.Random) -> tuple[str, str]:
    layer = rng.choice(image.layers)
    removable = [entry for entry in layer.entries if not entry.path.endswith("/first") and entry.kind != tarfile.DIRTYPE]
    entry = rng.choice([entry for entry in removable if not entry.records])
    layer.entries.remove(entry)
    return "entries", entry.path


def _add_whiteout(image: Image, rng: random.Random) -> tuple[str, str]:
    layer = rng.choice(image.layers)
    path = f"{layer.entries[0].path}/.wh.gone"
    layer.entries.append(Entry(path))
    return "entries", path


def _change_type(image: Image, rng: random.Random) -> tuple[str, str]:
    entry = _choose_kind(image, rng, tarfile.CHRTYPE)
    entry.kind = rng.choice((tarfile.BLKTYPE, tarfile.FIFOTYPE))
    return "type", entry.path


def _change_target(image: Image, rng: random.Random) -> tuple[str, str]:
    entry = _choose_kind(image, rng, tarfile.SYMTYPE)
    entry.link = f"{rng.random()}" * rng.choice((1, 20))
    return "link", entry.path


def _change_hard_link(image: Image, rng: random.Random) -> tuple[str, str]:
    entry = _choose_kind(image, rng, tarfile.LNKTYPE)
    entry.link = entry.link.replace("first", "second")
    return "link", entry.path


def _change_device(image: Image, rng: random.Random) -> tuple[str, str]:
    entry = _choose_kind(image, rng, tarfile.CHRTYPE)
    entry.device = rng.randint(6, 200), rng.randint(1, 200)
    return "device", entry.path


def _change_byte(image: Image, rng: random.Random) -> tuple[str, str]:
    entry = _choose_file(image, rng, least=1)
    at = rng.randrange(len(entry.content))
    entry.content = entry.content[:at] + bytes([entry.content[at] ^ 1 << rng.randrange(8)]) + entry.content[at + 1 :]
    return "content", entry.path


def _append_byte(image: Image, rng: random.Random) -> tuple[str, str]:
    entry = _choose_file(image, rng)
    entry.content += rng.randbytes(rng.choice((1, 512, 5000)))
    return "content", entry.path


def _change_large_file(image: Image, rng: random.Random) -> tuple[str, str]:
    """Changes a byte of a file that is too large to be compared in memory."""
    entry = _choose_file(image, rng)
    entry.content = bytes(5 << 20) + b"x"
    return "content", entry.path


_OF_INDEXES = (_annotate_index, _add_platform)
MUTATIONS: tuple[Mutation, ...] = (
    _change_user,
    _change_variable,
    _add_variable,
    _reorder_variables,
    _add_label,
    _add_argument,
    _change_creation,
    _change_history,
    _add_annotation,
    _annotate_index,
    _add_platform,
    _add_layer,
    _remove_layer,
    _change_compression,
    _move_entry,
    _write_owner_name,
    _write_access_time,
    _pad_archive,
    _indent_config,
    _change_mtime,
    _change_owner,
    _change_mode,
    _add_capability,
    _remove_capability,
    _damage_capability,
    _add_attribute,
    _add_entry,
    _remove_entry,
    _add_whiteout,
    _change_type,
    _change_target,
    _change_hard_link,
    _change_device,
    _change_byte,
    _append_byte,
    _change_large_file,
)

"""Changes one thing of an image, and returns which change has to be reported."""

from __future__ import annotations

import random
import tarfile
from collections.abc import Callable

from drawn_images import CAPABILITY_NAMES, Entry, Image, Layer

from support.image import RECORD

Mutation = Callable[[Image, random.Random], tuple[str, str]]
"""Changes one thing of an image; returns the kind and the path of the change that has to be reported."""


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
    entry.set_capabilities(f"{rng.choice(CAPABILITY_NAMES)},cap_sys_ptrace=p", rng.choice((0, 0, 1000)))
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


INDEX_MUTATIONS: tuple[Mutation, ...] = (_annotate_index, _add_platform)
"""Mutations of images that have an index."""
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

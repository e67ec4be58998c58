"""The packer's command line, as rules/private/packer.bzl calls it.

layer   packs entries into a blob, and says its digests and capabilities
setcap  copies a tar into a blob, with capabilities of other entries
copy    packs files of the layers below again, with other capabilities
check   looks for what would keep programs from their capabilities, or from starting with them
unpack  turns an image in one file into an OCI image layout directory
image   makes config, manifest and descriptor, from the layers' metadata alone
layout  links it all into an OCI image layout directory
index   makes an image index of images' descriptors
index-layout  links the layouts of images into that of their index
destination   says where an image goes
export  writes a layout as one tar

The arguments are in a file, @FILE, a line each: the subcommand, then flags (--name=value)
and, for a layer, its entries (JSON objects, see entries.py). A --problem is one that the
rule found; it is said with those found here. The exit code is 0; 1, and a line for each
problem, if the input is wrong; 2 if the packer is called wrongly.
"""

from __future__ import annotations

import gc
import json
import os
import sys

from .errors import InputError

TYPE_CHECKING = False  # The module typing takes longer to load than a small layer to pack.
if TYPE_CHECKING:
    from typing import Any, Callable, Container, Sequence


class _UsageError(Exception):
    """The rules call the packer wrongly."""


class _Arguments:
    """Flags by name, and entries."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.entries: list[str] = []
        self._flags: dict[str, list[str]] = {}
        for line in lines:
            name, equals, value = line.partition("=")
            if not line.startswith("--"):
                self.entries.append(line)
            elif equals:
                self._flags.setdefault(name[2:], []).append(value)
            else:
                raise _UsageError(f"{line}: not --name=value")

    def all(self, name: str) -> list[str]:
        """The values of a flag that may be repeated, or left out."""
        return self._flags.pop(name, [])

    def one(self, name: str, default: str | None = None) -> str:
        """The value of a flag that is given once."""
        values = self._flags.pop(name, [] if default is None else [default])
        if len(values) != 1:
            raise _UsageError(f"--{name}: given {len(values)} times")
        return values[0]

    def number(self, name: str, default: str | None = None) -> int:
        """The value of a flag that is a number."""
        value = self.one(name, default)
        if not (value.isascii() and value.removeprefix("-").isdecimal()):
            raise _UsageError(f"--{name}={value}: not a number")
        return int(value)

    def end(self) -> None:
        """No flag is left."""
        if self._flags:
            raise _UsageError(f"unknown flags: {', '.join(self._flags)}")


def main(arguments: Sequence[str]) -> int:
    """Runs one subcommand, or serves as a persistent worker; returns the exit code."""
    if "--persistent_worker" in arguments:
        from .worker import serve

        return serve()
    gc.disable()  # One action makes no garbage that goes in circles; to look for it takes time.
    lines: list[str] = []
    for argument in arguments:
        if argument.startswith("@"):
            with open(argument[1:], encoding="utf-8", errors="surrogateescape") as file:
                lines += [line.removesuffix("\n") for line in file]
        else:
            lines.append(argument)
    status, said = run(lines)
    if said:
        print(said, file=sys.stderr)
    return status


def run(lines: Sequence[str]) -> tuple[int, str]:
    """Runs one subcommand.

    Args:
      lines: the arguments, as in the file.

    Returns:
      The exit code, and what there is to say: a line for each problem.
    """
    target = ""
    try:
        if not lines or lines[0] not in _SUBCOMMANDS:
            raise _UsageError(f"subcommands: {', '.join(_SUBCOMMANDS)}")
        arguments = _Arguments(lines[1:])
        target = arguments.one("target")
        _SUBCOMMANDS[lines[0]](arguments, arguments.all("problem"))
    except _UsageError as error:
        return 2, f"packer: {error}"
    except InputError as error:
        return 1, "\n".join(f"{target}: {text}" for text in error.problems)
    except OSError as error:
        return 1, f"{target}: {error.filename or 'output'}: {error.strerror}"
    return 0, ""


class _Everything:
    """Every directory is there: none is added."""

    def __contains__(self, path: object) -> bool:
        return True


def _present(parents: str, metadata: list[str], layout: str, platform: str) -> Container[str]:
    """The directories that are not to be added."""
    if parents == "none":
        return _Everything()
    if parents == "all":
        return ()
    from . import directories

    return directories.Below(metadata, layout, platform).load()


def _blob(arguments: _Arguments) -> dict[str, Any]:
    """How a blob is written."""
    return {
        "compression": arguments.one("compression"),
        "level": arguments.number("level", "0"),
        "library": arguments.one("library", ""),
        "threads": arguments.number("threads", "0") or len(os.sched_getaffinity(0)),
        "created_by": arguments.one("created-by"),
    }


def _layer(arguments: _Arguments, problems: list[str]) -> None:
    from . import changes, duplicates, entries, files, grants, layer, stamps, styles

    output, metadata = arguments.one("output"), arguments.one("metadata")
    mtime = arguments.number("mtime", "0")
    if stamp := arguments.one("stamp", ""):
        mtime = stamps.timestamp(stamp)
    blob = _blob(arguments)
    wanted, changed = arguments.all("capabilities"), arguments.all("change")
    if held := arguments.one("capabilities-from", ""):
        wanted += grants.held(held, arguments.one("capabilities-to"), problems)
    parents, hard_links = arguments.one("parents", "all"), arguments.one("hard-links", "")
    below = arguments.all("below"), arguments.one("below-layout", ""), arguments.one("platform", "")
    style = styles.STYLES[arguments.one("style", "plain")]
    elsewhere = arguments.one("elsewhere", "")
    arguments.end()

    found = entries.read(arguments.entries, problems)
    entries.set_directories(found, style.directory_mode)
    changes.apply(changed, found, problems)
    entries.settle_links(found, problems)
    entries.add_parents(found, _present(parents, *below), style.directory_mode, problems)
    parsed = grants.parse(wanted, problems)
    if elsewhere:
        # Whether the layers below have the other paths is for the action "copy" to say.
        others = [grant for grant in parsed if grant.attribute == "file_capabilities" and grant.path not in found]
        parsed = [grant for grant in parsed if grant not in others]
    granted = grants.resolve(parsed, found, problems)
    if problems:
        raise InputError(problems)
    if hard_links:
        duplicates.link(found, granted)
    said = layer.write(output, found.values(), granted, mtime=mtime, style=style, **blob)
    files.write_whole(metadata, layer.encode(said))
    if elsewhere:
        files.write_whole(elsewhere, json.dumps(sorted(grant.path for grant in others)).encode())


def _copy(arguments: _Arguments, problems: list[str]) -> None:
    import tempfile

    from . import below, copies, files, grants, layer, styles

    output, metadata = arguments.one("output"), arguments.one("metadata")
    blob, mtime = _blob(arguments), arguments.number("mtime", "0")
    parsed = grants.parse(arguments.all("capabilities"), problems)
    if elsewhere := arguments.one("elsewhere", ""):
        with open(elsewhere, encoding="utf-8") as file:
            missing = json.load(file)
        parsed = [grant for grant in parsed if grant.path in missing]
    layouts, platform, pairs = arguments.all("below-layout"), arguments.one("platform"), arguments.all("below-blob")
    arguments.end()
    if problems:
        raise InputError(problems)

    with tempfile.TemporaryDirectory(dir=os.path.dirname(output) or ".") as directory:
        found: dict[str, Any] = {}
        if parsed:
            blobs = [each for layout in layouts for each in below.of_layout(layout, platform)] + below.of_pairs(pairs)
            found, parsed = copies.find(parsed, blobs, directory, problems)
        granted = grants.resolve(parsed, found, problems)
        if problems:
            raise InputError(problems)
        said = layer.write(output, found.values(), granted, mtime=mtime, style=styles.STYLES["plain"], **blob)
    # One without entries is not made a part of the image.
    removed = sorted(set(found) - set(granted))
    files.write_whole(metadata, layer.encode({**said, "empty": not found, "removed": removed}))


def _setcap(arguments: _Arguments, problems: list[str]) -> None:
    from . import files, grants, layer, setcap

    output, metadata, tar = arguments.one("output"), arguments.one("metadata"), arguments.one("tar")
    blob = _blob(arguments)
    granted = grants.parse(arguments.all("capabilities"), problems)
    others, revision_2 = arguments.one("existing", setcap.KEEP), arguments.one("revision-2", "")
    arguments.end()
    said = setcap.Retrofit(tar, granted, others, bool(revision_2), problems).write(output, **blob)
    files.write_whole(metadata, layer.encode(said))


def _check(arguments: _Arguments, problems: list[str]) -> None:
    import capabilities

    from . import checks, files

    output, off = arguments.one("output"), json.loads(arguments.one("off"))
    carried: dict[str, str] = {}
    for path in arguments.all("layer"):
        with open(path, encoding="utf-8") as file:
            metadata = json.load(file)
        carried.update(metadata["capabilities"])
        for removed in metadata.get("removed", ()):
            carried.pop(removed, None)
    config: dict[str, Any] = {}
    if path := arguments.one("config", ""):
        with open(path, encoding="utf-8") as file:
            config = json.load(file)
    programs = [checks.Program(**json.loads(said), source=source) for said, source in zip(arguments.all("program"), arguments.all("source"))]
    arguments.end()

    # An empty set raises nothing, and keeps nothing from its libraries.
    values = {path: capabilities.from_text(text) for path, text in carried.items()}
    capable = {path for path, value in values.items() if value.permitted | value.inheritable}
    started = [word for name in ("Entrypoint", "Cmd") for word in config.get("config", {}).get(name) or ()]
    problems += checks.unknown(off)
    for program in programs:
        if program.path in capable:
            problems += checks.check(program, config.get("architecture", ""), started, capable)
    if problems:
        raise InputError(problems)
    files.write_whole(output, b"")


def _unpack(arguments: _Arguments, problems: list[str]) -> None:
    from . import unpack

    output, source = arguments.one("output"), arguments.one("archive")
    arguments.end()
    if problems:
        raise InputError(problems)
    unpack.write(output, source)


def _image(arguments: _Arguments, problems: list[str]) -> None:
    from . import annotations, base, files, oci, stamps

    with open(arguments.one("config"), encoding="utf-8") as file:
        spec = json.load(file)
    layers = []
    for path in arguments.all("layer"):
        with open(path, encoding="utf-8") as file:
            metadata = json.load(file)
        if not metadata.get("empty"):
            layers.append(metadata)
    outputs = [arguments.one(f"{name}-output") for name in ("manifest", "config", "descriptor")]
    layout, manifest_file = arguments.one("base-layout", ""), arguments.one("base-manifest", "")
    config_file = arguments.one("base-config", "")
    if (stamp := arguments.one("stamp", "")) and not spec["created"]:
        spec["created"] = stamps.rfc3339(stamps.timestamp(stamp))
    arguments.end()

    if layout:
        below = base.load_layout(layout, spec)
    elif manifest_file:
        below = base.load_files(manifest_file, config_file)
    else:
        below = base.Base({"layers": []}, {})

    config = oci.build_config(spec, layers, below.config, problems)
    if problems:
        raise InputError(problems)
    encoded_config = oci.encode(config)
    descriptors = below.manifest["layers"] + [layer["descriptor"] for layer in layers]
    said = dict(spec["annotations"])
    if spec.get("annotate_capabilities"):
        descriptors = below.manifest["layers"] + [annotations.of_layer(layer) for layer in layers]
        said.update(annotations.of_image(descriptors, problems))
    if problems:
        raise InputError(problems)
    manifest = oci.encode(oci.build_manifest(encoded_config, descriptors, said))
    descriptor = {**oci.descriptor(oci.MANIFEST, manifest), "platform": oci.platform(config)}
    for path, data in zip(outputs, (manifest, encoded_config, oci.encode(descriptor))):
        files.write_whole(path, data)


def _layout(arguments: _Arguments, problems: list[str]) -> None:
    from . import layout

    contents = {}
    for name in ("manifest", "config", "descriptor"):
        with open(arguments.one(name), "rb") as file:
            contents[name] = file.read()
    blobs = {}
    for pair in arguments.all("layer"):
        metadata, _, blob = pair.partition("=")
        with open(metadata, encoding="utf-8") as file:
            blobs[json.load(file)["descriptor"]["digest"]] = blob
    base_layouts, output = arguments.all("base-layout"), arguments.one("output")
    arguments.end()
    if problems:
        raise InputError(problems)
    layout.write(output, blobs=blobs, base_layouts=base_layouts, **contents)


def _index(arguments: _Arguments, problems: list[str]) -> None:
    from . import files, index, oci

    images = []
    for name, path in zip(arguments.all("name"), arguments.all("image")):
        with open(path, encoding="utf-8") as file:
            images.append((name, json.load(file)))
    annotations = json.loads(arguments.one("annotations"))
    outputs = [arguments.one(f"{name}-output") for name in ("index", "descriptor")]
    arguments.end()

    data = oci.encode(index.build(images, annotations, problems))
    if problems:
        raise InputError(problems)
    for path, content in zip(outputs, (data, oci.encode(oci.descriptor(oci.INDEX, data)))):
        files.write_whole(path, content)


def _index_layout(arguments: _Arguments, problems: list[str]) -> None:
    from . import layout

    contents = {}
    for name in ("index", "descriptor"):
        with open(arguments.one(name), "rb") as file:
            contents[name] = file.read()
    layouts, output = arguments.all("layout"), arguments.one("output")
    arguments.end()
    if problems:
        raise InputError(problems)
    layout.write_index(output, layouts=layouts, **contents)


def _destination(arguments: _Arguments, problems: list[str]) -> None:
    from . import destination, files, oci, stamps

    attributes = json.loads(arguments.one("attributes"))
    held = {f"{name}_file": arguments.one(f"{name.replace('_', '-')}-file", "") for name in ("repository", "remote_tags")}
    status, output = stamps.read(arguments.all("stamp")), arguments.one("output")
    arguments.end()

    if "tag" in attributes:
        found = destination.engine(attributes["tag"], status, problems)
    else:
        found = destination.registry(**attributes, **held, status=status, problems=problems)
    if problems:
        raise InputError(problems)
    files.write_whole(output, oci.encode(found))


def _export(arguments: _Arguments, problems: list[str]) -> None:
    from . import export, files

    with open(arguments.one("destination"), encoding="utf-8") as file:
        name = json.load(file)["name"]
    layout, output = arguments.one("layout"), arguments.one("output")
    arguments.end()
    if problems:
        raise InputError(problems)
    with files.whole(output) as stream:
        export.write(stream, layout, name)


_SUBCOMMANDS: dict[str, Callable[[_Arguments, list[str]], None]] = {
    "layer": _layer,
    "setcap": _setcap,
    "copy": _copy,
    "check": _check,
    "unpack": _unpack,
    "image": _image,
    "layout": _layout,
    "index": _index,
    "index-layout": _index_layout,
    "destination": _destination,
    "export": _export,
}

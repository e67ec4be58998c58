"""The packer's command line, as rules/private/packer.bzl calls it.

layer   packs entries into a blob, and says its digests and capabilities
image   makes config, manifest and descriptor, from the layers' metadata alone
layout  links it all into an OCI image layout directory

Flags are --name=value; a --problem is one that the rule found, and is said with those
found here. It ends with 0; with 1 and a line per problem if the input is
wrong; with 2 if it is called wrongly.
"""

from __future__ import annotations

import sys
from typing import Any, Callable, Sequence

from .errors import InputError


class _Flags:
    """The flags of one call."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._values: dict[str, list[str]] = {}
        for argument in arguments:
            name, equals, value = argument.partition("=")
            if not name.startswith("--") or not equals:
                raise _UsageError(f"{argument}: not --name=value")
            self._values.setdefault(name[2:], []).append(value)

    def all(self, name: str) -> list[str]:
        """The values of a flag that may be repeated, or left out."""
        return self._values.pop(name, [])

    def one(self, name: str, default: str | None = None) -> str:
        """The value of a flag that is given once."""
        values = self._values.pop(name, [] if default is None else [default])
        if len(values) != 1:
            raise _UsageError(f"--{name}: given {len(values)} times")
        return values[0]

    def number(self, name: str) -> int:
        """The value of a flag that is a number."""
        value = self.one(name)
        if not value.removeprefix("-").isdecimal():
            raise _UsageError(f"--{name}={value}: not a number")
        return int(value)

    def end(self) -> None:
        """No flag is left."""
        if self._values:
            raise _UsageError(f"unknown flags: {', '.join(self._values)}")


class _UsageError(Exception):
    """The rules call the packer wrongly."""


def main(arguments: Sequence[str]) -> int:
    """Runs one subcommand; returns the exit code."""
    target = ""
    try:
        if not arguments or arguments[0] not in _SUBCOMMANDS:
            raise _UsageError(f"subcommands: {', '.join(_SUBCOMMANDS)}")
        flags = _Flags(arguments[1:])
        target = flags.one("target")
        problems = flags.all("problem")
        _SUBCOMMANDS[arguments[0]](flags, problems)
    except _UsageError as error:
        print(f"packer: {error}", file=sys.stderr)
        return 2
    except InputError as error:
        for text in error.problems:
            print(f"{target}: {text}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{target}: {error.filename or 'output'}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def _layer(flags: _Flags, problems: list[str]) -> None:
    from . import entries, files, grants, layer

    output, metadata = flags.one("output"), flags.one("metadata")
    settings: dict[str, Any] = {
        "compression": flags.one("compression"),
        "level": flags.number("level"),
        "mtime": flags.number("mtime"),
        "created_by": flags.one("created-by"),
    }
    path, wanted = flags.one("entries"), flags.all("capabilities")
    flags.end()

    with open(path, encoding="utf-8", errors="surrogateescape") as lines:
        found = entries.read(lines, problems)
    entries.add_parents(found, problems)
    granted = grants.resolve(wanted, found, problems)
    if problems:
        raise InputError(problems)
    said = layer.write(output, found.values(), granted, **settings)
    files.write_whole(metadata, layer.encode(said))


def _image(flags: _Flags, problems: list[str]) -> None:
    import json

    from . import base, files, oci

    with open(flags.one("config"), encoding="utf-8") as file:
        spec = json.load(file)
    layers = []
    for path in flags.all("layer"):
        with open(path, encoding="utf-8") as file:
            layers.append(json.load(file))
    outputs = [flags.one(f"{name}-output") for name in ("manifest", "config", "descriptor")]
    layout, manifest_file = flags.one("base-layout", ""), flags.one("base-manifest", "")
    config_file = flags.one("base-config", "")
    flags.end()

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
    manifest = oci.encode(oci.build_manifest(encoded_config, descriptors, spec["annotations"]))
    descriptor = {**oci.descriptor(oci.MANIFEST, manifest), "platform": oci.platform(config)}
    for path, data in zip(outputs, (manifest, encoded_config, oci.encode(descriptor))):
        files.write_whole(path, data)


def _layout(flags: _Flags, problems: list[str]) -> None:
    import json

    from . import layout

    contents = {}
    for name in ("manifest", "config", "descriptor"):
        with open(flags.one(name), "rb") as file:
            contents[name] = file.read()
    blobs = {}
    for pair in flags.all("layer"):
        metadata, _, blob = pair.partition("=")
        with open(metadata, encoding="utf-8") as file:
            blobs[json.load(file)["descriptor"]["digest"]] = blob
    base_layouts, output = flags.all("base-layout"), flags.one("output")
    flags.end()
    if problems:
        raise InputError(problems)
    layout.write(output, blobs=blobs, base_layouts=base_layouts, **contents)


_SUBCOMMANDS: dict[str, Callable[[_Flags, list[str]], None]] = {"layer": _layer, "image": _image, "layout": _layout}

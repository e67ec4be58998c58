"""The command line."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from packer.errors import InputError

from . import images, progress

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from capabilities import FileCapabilities

_DESCRIPTION = """\
Prints the file capabilities of images, as getcap(8) does: OCI layout directories, OCI archives, what docker save writes,
and other tars, plain or compressed. "getcap explain --help" is about what a container's process gets of them."""
_EPILOG = "exit status: 0; 1 if capabilities in an image are wrong; 2 if an image cannot be read, or a flag is"


class Parser(argparse.ArgumentParser):
    """One that says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str]) -> int:
    """Runs it; returns the exit status."""
    try:
        if arguments[:1] == ["explain"]:
            status = _with_runtimes("explain", arguments[1:])
        elif "--review" in (arguments[: arguments.index("--")] if "--" in arguments else arguments):
            at = arguments.index("--review")
            status = _with_runtimes("review", [*arguments[:at], *arguments[at + 1 :]])
        else:
            status = _main(arguments)
        sys.stdout.flush()
        return status
    except InputError as error:
        for text in error.problems:
            _complain(text)
    except BrokenPipeError:
        # Whoever reads has seen enough; the interpreter's own flush at exit would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        _complain(f"{plain(str(error.filename))}: {error.strerror}" if error.filename else str(error))
    except KeyboardInterrupt:
        return 130
    return 2


def _with_runtimes(name: str, arguments: Sequence[str]) -> int:
    """Runs what knows the runtimes: "explain" or "review"."""
    if sys.version_info < (3, 14):
        _complain(f"{name} needs Python 3.14; bazel run brings it")
        return 2
    try:
        if name == "review":
            from . import review_main

            return review_main.main(arguments)
        from . import explain

        return explain.main(arguments)
    except ModuleNotFoundError as error:
        if error.name != "yaml":
            raise
        _complain("YAML needs PyYAML; bazel run brings it")
        return 2


def _main(arguments: Sequence[str]) -> int:
    parser = Parser(prog="getcap", description=_DESCRIPTION, epilog=_EPILOG, allow_abbrev=False)
    parser.add_argument("paths", nargs="+", metavar="PATH", help="an image")
    parser.add_argument("--platform", default="", metavar="OS/ARCH[/VARIANT]", help="of an index, the images for this; all by default")
    parser.add_argument("--layer", action="store_true", help="say which layer has the file")
    parser.add_argument("--all-layers", action="store_true", help="what each layer says, even if those above it hide that")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--review", action="store_true", help='say what is dangerous: see "getcap --review --help"')
    options = parser.parse_args(arguments)
    status = 0
    found: list[dict[str, Any]] = []
    for path in options.paths:
        try:
            there = read(path, options.platform)
        except InputError as error:
            for text in error.problems:
                _complain(text)
            status = 2
            continue
        except OSError as error:
            _complain(f"{plain(path)}: {error.strerror or error}")
            status = 2
            continue
        for image in there:
            found.append(_json(path, image, options.all_layers))
            prefix = f"{plain(path)}: " if len(options.paths) > 1 else ""
            prefix += f"{image.platform}: " if len(there) > 1 else ""
            for text in image.problems:
                _complain(f"{plain(path)}: {text}")
                status = status or 1
            if not options.json:
                for line in _lines(image, options.layer, options.all_layers):
                    print(prefix + line)
    if options.json:
        print(json.dumps({"images": found}, indent=2))
    return status


def read(path: str, platform: str) -> list[images.Image]:
    """As images.read(), with a line on the terminal while that takes long."""
    with progress.shown(f"getcap: {plain(path)}"):
        return images.read(path, platform)


def _lines(image: images.Image, layer: bool, all_layers: bool) -> Iterator[str]:
    if all_layers:
        for each in image.layers:
            for path, known in sorted(each.capabilities.items()):
                yield f"{each.digest} {plain(path)} {text(known)}"
        return
    for path, known in image.capabilities.items():
        yield f"{plain(path)} {text(known)}" + (f" {image.layers[image.origin[path]].digest}" if layer else "")


def _json(path: str, image: images.Image, all_layers: bool) -> dict[str, Any]:
    made: dict[str, Any] = {
        "path": path,
        "platform": image.platform,
        "files": [{**_file(name, known), "layer": image.layers[image.origin[name]].digest} for name, known in image.capabilities.items()],
        "problems": image.problems,
    }
    if all_layers:
        made["layers"] = [
            {"digest": layer.digest, "files": [_file(*item) for item in sorted(layer.capabilities.items())]} for layer in image.layers
        ]
    return made


def _file(path: str, known: FileCapabilities) -> dict[str, Any]:
    return {"path": path, "capabilities": known.to_text(), "rootid": known.rootid}


def text(known: FileCapabilities) -> str:
    """As getcap -n prints them."""
    return known.to_text() + (f" [rootid={known.rootid}]" if known.rootid else "")


def plain(line: str) -> str:
    """A line for a terminal: what is no text, or would move the cursor, is escaped."""
    if line.isprintable():
        return line
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in line)


def _complain(what: str) -> None:
    print(f"getcap: {what}", file=sys.stderr)

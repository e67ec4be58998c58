"""The command line."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from rules_setcap.diagnostics import progress
from rules_setcap.diagnostics.errors import INTERNAL, InputError, escape, format_internal_error, printable
from rules_setcap.getcap import names
from rules_setcap.oci import image_reader

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rules_setcap.capabilities import FileCapabilities
    from rules_setcap.oci import base

_DESCRIPTION = """\
Prints the file capabilities of images, as getcap(8) does: OCI layout directories, image archives (docker save, podman save,
crane pull and others), and layers as tars, plain or compressed. "getcap explain --help" is about what a container's process
gets of them."""
_EPILOG = f"""\
In a path, a backslash is written as \\\\, a space as "\\ ", and what is not printable as \\n, \\r, \\t, \\uHHHH or \\UHHHHHHHH;
a byte that is not UTF-8 as \\xHH. In JSON, which is ASCII, such a byte is the lone surrogate \\udcHH.

exit status: 0; 1 if capabilities in an image are wrong, and for nothing else; 2 if an image cannot be read, or a flag is
wrong; {INTERNAL} after an internal error; 130 if interrupted; 141 if nobody reads the output"""


class Formatter(argparse.HelpFormatter):
    """Fills the paragraphs of the epilog one by one."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n\n".join(super(Formatter, self)._fill_text(each, width, indent) for each in text.split("\n\n"))


class Parser(argparse.ArgumentParser):
    """A parser that reports an error in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {printable(message)}\n")


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
        _complain(f"{escape(str(error.filename))}: {error.strerror}" if error.filename else str(error))
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        # Python's own exit status for these is 1, which says that capabilities are wrong.
        _complain(format_internal_error(error))
        return INTERNAL
    return 2


def _with_runtimes(name: str, arguments: Sequence[str]) -> int:
    """Runs what knows the runtimes: "explain" or "review"."""
    if sys.version_info < (3, 14):
        _complain(f"{name} needs Python 3.14; bazel run brings it")
        return 2
    try:
        if name == "review":
            from rules_setcap.getcap import review_main

            return review_main.main(arguments)
        from rules_setcap.getcap import explain

        return explain.main(arguments)
    except ModuleNotFoundError as error:
        if error.name != "yaml":
            raise
        _complain("YAML needs PyYAML; bazel run brings it")
        return 2


def _main(arguments: Sequence[str]) -> int:
    parser = Parser(prog="getcap", description=_DESCRIPTION, epilog=_EPILOG, allow_abbrev=False, formatter_class=Formatter)
    parser.add_argument("paths", nargs="+", metavar="PATH", help="an image")
    parser.add_argument("--platform", default="", metavar="OS/ARCH[/VARIANT]", help="of an index, the images for this; all by default")
    parser.add_argument("--layer", action="store_true", help="say which layer has the file")
    parser.add_argument("--all-layers", action="store_true", help="what each layer says, even if those above it hide that")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--review", action="store_true", help='say what is dangerous: see "getcap --review --help"')
    options = parser.parse_args(arguments)
    status = 0
    found: list[dict[str, Any]] = []
    others: list[dict[str, str]] = []
    for path in options.paths:
        passed_over: list[base.Other] = []
        try:
            there = read(path, options.platform, passed_over)
        except InputError as error:
            for text in error.problems:
                _complain(text)
            status = 2
            continue
        except OSError as error:
            _complain(f"{escape(path)}: {error.strerror or error}")
            status = 2
            continue
        for other in passed_over:
            _complain(f"note: {escape(path)}: passed over {other.digest}: {other.why}")
            others.append({"path": path, "digest": other.digest, "why": other.why})
        for image in there:
            found.append(_json(path, image, options.all_layers))
            prefix = f"{escape(path)}: " if len(options.paths) > 1 else ""
            prefix += f"{escape(image.platform)}: " if len(there) > 1 else ""
            for text in image.problems:
                _complain(f"{escape(path)}: {text}")
                status = status or 1
            if not options.json:
                for line in _lines(image, options.layer, options.all_layers):
                    print(prefix + line)
    if options.json:
        print(to_json({"images": found, "passed_over": others}))
    return status


def read(path: str, platform: str, passed_over: list[base.Other] | None = None) -> list[image_reader.Image]:
    """Reads images as images.read() does, and shows the progress on a terminal if that takes long."""
    names.check(path)
    with progress.show_progress(f"getcap: {escape(path)}"):
        return image_reader.read(path, platform, passed_over)


def _lines(image: image_reader.Image, layer: bool, all_layers: bool) -> Iterator[str]:
    if all_layers:
        for each in image.layers:
            for path, known in sorted(each.capabilities.items()):
                yield f"{each.digest} {escape(path)} {text(known)}"
        return
    for path, known in image.capabilities.items():
        yield f"{escape(path)} {text(known)}" + (f" {image.layers[image.origin[path]].digest}" if layer else "")


def _json(path: str, image: image_reader.Image, all_layers: bool) -> dict[str, Any]:
    made: dict[str, Any] = {
        "path": path,
        "platform": image.platform,
        "files": [{**_file(name, known), "layer": image.layers[image.origin[name]].digest} for name, known in image.capabilities.items()],
        "problems": image.problems,
        "differences": [{"path": each.path, "engines": each.engines} for each in image.differences],
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


def to_json(value: object) -> str:
    """Returns JSON for people: indented, and printable ASCII."""
    return json.dumps(value, indent=2).replace("\x7f", "\\u007f")


def _complain(what: str) -> None:
    print(f"getcap: {printable(what)}", file=sys.stderr)

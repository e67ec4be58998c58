"""The command `getcap PATH...`, or `imagecap get PATH...`: lists the file capabilities of images.

With --json it prints one object:

    version      1
    images       a list of objects, one for each image and platform:
      path         the path of the image, as on the command line
      names        a list of the names of the image in its archive or layout
      platform     os/architecture[/variant]; "" if it is not known
      files        a list of the files with capabilities; the keys of a file are below
      problems     a list of sentences: invalid capabilities, and files about which container engines differ
      differences  a list of objects, one for each of these files: `path`, and `engines` with the file's capabilities by
                   engine and storage driver (text, null for none, "refused" if the engine refuses the image)
      layers       with --all-layers, a list of objects, the lowest layer first: `digest`, and `files` without the key `layer`
    passed_over  a list of objects, one for each artifact that is not an image: `path` of the image, `digest` and `why`

    The keys of a file: `path`; `capabilities`, as text; `rootid`, 0 without one; `layer`, the digest of its layer.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from rules_setcap.diagnostics.command_line import CommandParser
from rules_setcap.diagnostics.console import format_json, print_error
from rules_setcap.diagnostics.errors import InputError, escape
from rules_setcap.diagnostics.program_names import GETCAP
from rules_setcap.diagnostics.standard_input import reject_repeated_standard_input
from rules_setcap.getcap import exit_statuses
from rules_setcap.getcap.inputs import read_images
from rules_setcap.getcap.output import JSON_VERSION
from rules_setcap.oci.named_images import IMAGE_FLAG, IMAGE_FLAG_HELP

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rules_setcap.capabilities import FileCapabilities
    from rules_setcap.diagnostics.program_names import ProgramNames
    from rules_setcap.oci import image_documents, image_reader

_DESCRIPTION = """\
Prints the file capabilities of images, as getcap(8) does. Images are OCI layout directories, image archives (of docker save,
podman save, crane pull and others), and layers as tars, compressed or not. "{explain} --help" describes how to find out
which capabilities a container's process gets, and "{review} --help" how to review what an attacker could gain."""
_EXAMPLES = (
    "{get} bazel-bin/app/image",
    "docker save app:dev | {get} -",
    "{get} --layer --platform linux/arm64 index.tar",
    "{get} --json app.tar | jq '.images[].files'",
)
_NOTES = (
    """\
In a path, a backslash is printed as \\\\, a space as "\\ ", other characters that are not printable as \\n, \\r, \\t, \\uHHHH or
\\UHHHHHHHH, and a byte that is not UTF-8 as \\xHH. JSON is printed in ASCII, and has such a byte as the lone surrogate \\udcHH.""",
)


def list_capabilities(arguments: Sequence[str], names: ProgramNames) -> int:
    """Runs the command and returns the exit status: 0, 1 or 2, as exit_statuses.LIST describes them."""
    options = _parse_options(arguments, names)
    invalid = unreadable = False
    json_images: list[dict[str, Any]] = []
    json_artifacts: list[dict[str, str]] = []
    for path in options.paths:
        artifacts: list[image_documents.NonImage] = []
        try:
            images = read_images(path, options.platform, names, artifacts, image_name=options.image_name)
        except InputError as error:
            for message in error.problems:
                print_error(names.program, message)
            unreadable = True
            continue
        except OSError as error:
            print_error(names.program, f"{escape(path)}: {error.strerror or error}")
            unreadable = True
            continue
        for artifact in artifacts:
            print_error(names.program, f"note: {escape(path)}: passed over {artifact.digest}: {artifact.description}")
            json_artifacts.append({"path": path, "digest": artifact.digest, "why": artifact.description})
        have_names = len({image.names for image in images}) > 1
        for image in images:
            json_images.append(_image_to_json(path, image, options.all_layers))
            for message in image.problems:
                print_error(names.program, f"{escape(path)}: {message}")
                invalid = True
            if not options.json:
                prefix = f"{escape(path)}: " if len(options.paths) > 1 else ""
                prefix += f"{escape(image.names[0])}: " if have_names and image.names else ""
                prefix += f"{escape(image.platform)}: " if len(images) > 1 else ""
                for line in _format_image(image, options.layer, options.all_layers):
                    print(prefix + line)
    if options.json:
        print(format_json({"version": JSON_VERSION, "images": json_images, "passed_over": json_artifacts}))
    return 2 if unreadable else 1 if invalid else 0


def make_parser(names: ProgramNames) -> CommandParser:
    """Returns the parser of the command line."""
    parser = CommandParser(
        names.get,
        names.fill(_DESCRIPTION),
        examples=[names.fill(example) for example in _EXAMPLES],
        statuses=exit_statuses.LIST,
        notes=_NOTES,
        program=names.program,
    )
    parser.add_argument("paths", nargs="+", metavar="PATH", help='an image; "-" for an archive or a tar on standard input')
    parser.add_argument(
        "--platform", default="", metavar="OS/ARCH[/VARIANT]", help="of an index, the images for this platform; all by default"
    )
    parser.add_argument(IMAGE_FLAG, default="", metavar="NAME", dest="image_name", help=IMAGE_FLAG_HELP)
    parser.add_argument("--layer", action="store_true", help="print the digest of the layer that has the file")
    parser.add_argument("--all-layers", action="store_true", help="print the files of each layer, hidden ones too")
    parser.add_argument("--json", action="store_true", help="print JSON")
    if names is GETCAP:  # Elsewhere it is a command of its own.
        parser.add_argument("--review", action="store_true", help='print the dangers of an image: see "getcap --review --help"')
    parser.add_argument(
        "-r", "-n", action="store_true", help="not needed: images are always read completely, and rootids printed"
    )
    parser.add_argument("-v", action="store_true", help=argparse.SUPPRESS)
    return parser


def _parse_options(arguments: Sequence[str], names: ProgramNames) -> argparse.Namespace:
    """Parses the command line; exits with 2 if a flag is wrong."""
    parser = make_parser(names)
    options = parser.parse_command(arguments)
    if options.v:
        parser.error(
            'argument -v: files without capabilities are not printed; leave it out, or write "tar -tvf" to list all files of a tar'
        )
    reject_repeated_standard_input(parser, options.paths)
    return options


def _format_image(image: image_reader.Image, layer: bool, all_layers: bool) -> Iterator[str]:
    """Yields the lines about an image.

    Args:
      image: the image.
      layer: whether lines end with the digest of the file's layer.
      all_layers: whether the lines are about the files of each layer, and begin with its digest.
    """
    if all_layers:
        for image_layer in image.layers:
            for path, capabilities in sorted(image_layer.capabilities.items()):
                yield f"{image_layer.digest} {escape(path)} {capabilities.to_getcap_text()}"
        return
    for path, capabilities in image.capabilities.items():
        suffix = f" {image.layers[image.origin[path]].digest}" if layer else ""
        yield f"{escape(path)} {capabilities.to_getcap_text()}{suffix}"


def _image_to_json(path: str, image: image_reader.Image, all_layers: bool) -> dict[str, Any]:
    """Returns the JSON object of an image."""
    layers = image.layers
    result: dict[str, Any] = {
        "path": path,
        "names": list(image.names),
        "platform": image.platform,
        "files": [{**_file_to_json(*item), "layer": layers[image.origin[item[0]]].digest} for item in image.capabilities.items()],
        "problems": image.problems,
        "differences": [{"path": difference.path, "engines": difference.engines} for difference in image.differences],
    }
    if all_layers:
        result["layers"] = [
            {"digest": layer.digest, "files": [_file_to_json(*item) for item in sorted(layer.capabilities.items())]}
            for layer in layers
        ]
    return result


def _file_to_json(path: str, capabilities: FileCapabilities) -> dict[str, Any]:
    """Returns the JSON object of a file, without its layer."""
    return {"path": path, "capabilities": capabilities.to_text(), "rootid": capabilities.rootid}

"""The command line of `imagecap set`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_setcap.diagnostics.command_line import CommandParser
from rules_setcap.diagnostics.program_names import IMAGECAP
from rules_setcap.diagnostics.standard_input import STANDARD_INPUT
from rules_setcap.imagecap import exit_statuses
from rules_setcap.oci.named_images import IMAGE_FLAG, IMAGE_FLAG_HELP

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

FORMATS = ("oci", "oci-archive", "docker-archive")
"""The kinds of images, as --format names them: an OCI layout directory, an OCI archive, an archive of `docker save`."""
COMPRESSIONS = ("gzip", "zlib", "zstd", "none")
"""The values of --compression: gzip by libdeflate, gzip by zlib, zstd, and an uncompressed tar."""

_DESCRIPTION = """\
Assigns capabilities to files of an image, and writes the new image. With --layer, the files are copied into a new layer with their
capabilities: the layers below keep their digests, and the new image has the digest that the rules of rules_setcap give. With
--rewrite, the capabilities are put into the layers that have the files: nothing is in the image twice, and the digests of these
layers change."""
_EXAMPLES = (
    "imagecap set app.tar new.tar /usr/sbin/nginx=cap_net_bind_service=ep",
    "imagecap set --rewrite image new-image /app/agent=bpf,perfmon /bin/ping=",
    "docker save app | imagecap set - - /app/server=net_bind_service | docker load",
    "docker save app web | imagecap set --image app - - /app/server=net_bind_service | docker load",
    "imagecap set --strip --rewrite --format oci-archive image stripped.tar",
)
_NOTES = (
    """\
Capability text is that of cap_from_text(3), or names such as "bpf,perfmon", which mean permitted. In the shell, quote text with
spaces. docs/imagecap.md describes which way to choose, and the keys of JSON.""",
)


def make_parser() -> CommandParser:
    """Returns the parser of the command line after `set`."""
    parser = CommandParser(
        "imagecap set", _DESCRIPTION, examples=_EXAMPLES, statuses=exit_statuses.SET, notes=_NOTES, program=IMAGECAP.program
    )
    parser.add_argument(
        "source", metavar="IN", help='an OCI layout directory, or an archive of an image; "-" for an archive on standard input'
    )
    parser.add_argument(
        "output", metavar="OUT", help='the new image, of the same kind as IN; "-" for an archive on standard output'
    )
    parser.add_argument(
        "grants",
        nargs="*",
        metavar="PATH=CLAUSES",
        help='a file and its capabilities, such as "/usr/sbin/nginx=cap_net_bind_service=ep"; "PATH=" takes them away',
    )
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--layer", action="store_true", help="copy the files into a new layer; this is the default")
    way.add_argument("--rewrite", action="store_true", help="change the layers that have the files")
    others = parser.add_mutually_exclusive_group()
    others.add_argument("--only", action="store_true", help="take the capabilities of all other files away")
    others.add_argument("--strip", action="store_true", help="take the capabilities of all files away")
    parser.add_argument(
        "--platform",
        default="",
        metavar="OS/ARCH[/VARIANT]",
        help="of an index, change the images for this platform; all by default",
    )
    parser.add_argument(IMAGE_FLAG, default="", metavar="NAME", dest="image_name", help=f"{IMAGE_FLAG_HELP}; all by default")
    parser.add_argument(
        "--format", choices=FORMATS, help="the kind of OUT: a layout directory or an uncompressed archive; that of IN by default"
    )
    parser.add_argument(
        "--compression",
        choices=COMPRESSIONS,
        help="how written layers are compressed: gzip (by libdeflate) by default; zlib, which is gzip by Python's zlib; zstd; none, "
        "the default in a Docker archive of layers that are not compressed. "
        "With --rewrite, gzip or zlib (the default) for layers that are gzip; others stay as they are",
    )
    parser.add_argument("--force", action="store_true", help="replace OUT if it exists")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Parses the command line; exits with 2 if an argument is wrong."""
    parser = make_parser()
    options = parser.parse_command(arguments)
    if options.strip and options.grants:
        parser.error("argument --strip: takes no PATH=CLAUSES; write --only to assign these and take the others away")
    if not (options.strip or options.only or options.grants):
        parser.error('a file is missing; write PATH=CLAUSES, as "/usr/sbin/nginx=cap_net_bind_service=ep"')
    if options.rewrite and options.compression in ("zstd", "none"):
        parser.error(f"argument --compression: {options.compression}: --rewrite keeps the compression of a layer; leave it out")
    if options.output == STANDARD_INPUT and options.format == "oci":
        parser.error("argument --format: oci: standard output cannot be a directory; write oci-archive or docker-archive")
    return options

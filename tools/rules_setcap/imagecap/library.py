"""The library of imagecap, for Python programs. The package `imagecap` exports it, and docs/without-bazel.md describes it.

The functions print nothing. They raise InputError if an image or an argument is not valid, and OSError if a file cannot be read or
written.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rules_setcap.diagnostics.errors import InputError, format_problem, quote
from rules_setcap.diagnostics.problems import Problems
from rules_setcap.diagnostics.program_names import IMAGECAP
from rules_setcap.getcap.inputs import describe_choice
from rules_setcap.oci import image_reader
from rules_setcap.oci.image_names import reject_image_name, reject_plain_directory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Literal


@dataclass(frozen=True, slots=True)
class File:
    """A file of an image that has capabilities.

    Attributes:
      path: the absolute path in the image.
      capabilities: the capabilities, as capability text.
      rootid: the uid that is root in the user namespace of the capabilities; 0 without one.
      layer: the digest of the layer that has the file.
    """

    path: str
    capabilities: str
    rootid: int
    layer: str


@dataclass(frozen=True, slots=True)
class Image:
    """The file capabilities of an image.

    Attributes:
      platform: os/architecture[/variant]; "" if it is not known.
      files: the files that have capabilities, sorted by path.
      problems: invalid capabilities, and files that container engines read differently, a sentence each.
    """

    platform: str
    files: tuple[File, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NewImage:
    """An image that set_capabilities() has changed.

    Attributes:
      platform: os/architecture[/variant].
      digest: the digest of the new manifest; "" for a Docker archive without manifests.
      config_digest: the digest of the new config, which is the image ID of Docker.
    """

    platform: str
    digest: str
    config_digest: str


@dataclass(frozen=True, slots=True)
class SetResult:
    """What set_capabilities() has done.

    Attributes:
      images: the images of the output that it was to change, in the order of the index.
      notes: sentences for the user, such as that a signature is for another digest now.
      json: all that `imagecap set --json` prints.
    """

    images: tuple[NewImage, ...]
    notes: tuple[str, ...]
    json: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Which capabilities the process of a container gets.

    Attributes:
      is_good: whether the process gets what its files and settings ask for; None if that is unknown.
      verdict: the verdict, a sentence.
      why: the reasons, a sentence each.
      fix: the changes that are needed, a sentence each.
      notes: notes on the settings, a sentence each.
      permitted: the permitted set, names of capabilities; empty if the process does not start or is unknown.
      effective: the effective set, likewise.
      json: all that `imagecap explain --json` prints.
    """

    is_good: bool | None
    verdict: str
    why: tuple[str, ...]
    fix: tuple[str, ...]
    notes: tuple[str, ...]
    permitted: tuple[str, ...]
    effective: tuple[str, ...]
    json: dict[str, Any] = field(repr=False)


def read_image(path: str | os.PathLike[str], *, platform: str = "", image_name: str = "") -> Image:
    """Reads the file capabilities of an image.

    Args:
      path: an OCI layout directory, an archive of an image, or a tar of files.
      platform: os/architecture[/variant] of the image in an index; "" if there is only one image.
      image_name: of several images, the name, such as "app:dev", or the digest of the image; "" if there is only one.

    Raises:
      InputError: there is not exactly one valid image.
      OSError: a file cannot be read.
    """
    name = os.fspath(path)
    reject_image_name(name)
    reject_plain_directory(name, f"{IMAGECAP.get} -")
    images = image_reader.read_images(name, platform, name=image_name)
    if len(images) != 1:
        raise InputError([format_problem("image", name, describe_choice(images, "image_name", "platform"))])
    (image,) = images
    files = [
        File(path, capabilities.to_text(), capabilities.rootid, image.layers[image.origin[path]].digest)
        for path, capabilities in image.capabilities.items()
    ]
    return Image(image.platform, tuple(files), tuple(image.problems))


def set_capabilities(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    capabilities: Mapping[str, str | Sequence[str]],
    *,
    rewrite: bool = False,
    only: bool = False,
    platform: str = "",
    image_name: str = "",
    format: Literal["oci", "oci-archive", "docker-archive"] | None = None,  # noqa: A002 (as the flag)
    compression: Literal["gzip", "zlib", "zstd", "none"] | None = None,
    force: bool = False,
) -> SetResult:
    """Assigns capabilities to files of an image, and writes the new image. The arguments are those of `imagecap set`.

    Args:
      source: an OCI layout directory, or an archive of an image.
      output: the path of the new image.
      capabilities: by the absolute path of a file, capability text, or a list of names and clauses; "" or an empty list takes the
        capabilities of the file away.
      rewrite: whether to change the layers that have the files; otherwise the files are copied into a new layer.
      only: whether all other files lose their capabilities.
      platform: of an index, the platform of the images to change; "" for all.
      image_name: of several images, the name, such as "app:dev", or the digest of the image to change; "" for all.
      format: the kind of the output; None for that of the source.
      compression: how written layers are compressed; None for the default.
      force: whether an existing output is replaced.

    Raises:
      InputError: the image is not valid, or a file cannot have the capabilities; nothing is written.
      OSError: a file cannot be read or written.
    """
    from rules_setcap.imagecap.set_arguments import COMPRESSIONS, FORMATS
    from rules_setcap.imagecap.set_report import make_json_report
    from rules_setcap.imagecap.setting import SetRequest, set_image_capabilities
    from rules_setcap.packer.assignments import parse_assignments

    problems = Problems()
    for name, value, known in (("format", format, FORMATS), ("compression", compression, COMPRESSIONS)):
        if value is not None and value not in known:
            problems.add(name, value, f"is unknown; pass one of {', '.join(map(quote, known))}")
    if rewrite and compression in ("zstd", "none"):
        problems.add("compression", compression, "rewrite keeps the compression of a layer; leave it out")
    assignments = parse_assignments(
        [{"attribute": "capabilities", "path": path, "capabilities": _list_words(value)} for path, value in capabilities.items()],
        problems,
    )
    problems.raise_if_any()
    result = set_image_capabilities(
        SetRequest(
            source=os.path.join(".", os.fspath(source)),
            output=os.path.join(".", os.fspath(output)),
            assignments=assignments,
            rewrite=rewrite,
            removes_others=only,
            platform=platform,
            image_name=image_name,
            format=format,
            compression=compression or "",
            force=force,
        )
    )
    report = make_json_report(result, os.fspath(output))
    images = [
        NewImage(image["platform"], image["after"]["manifest"] or "", image["after"]["config"]) for image in report["images"]
    ]
    return SetResult(tuple(images), tuple(report["notes"]), report)


def _list_words(value: str | Sequence[str]) -> list[str]:
    """Returns capabilities as a list of names and clauses."""
    return ([value] if value.strip() else []) if isinstance(value, str) else list(value)


def explain(
    image: str | os.PathLike[str],
    *,
    docker_run: str | None = None,
    kubernetes: str | os.PathLike[str] | None = None,
    container: str | None = None,
    compose: str | os.PathLike[str] | None = None,
    service: str | None = None,
    runtime: str | None = None,
    platform: str = "",
    image_name: str = "",
    program: str = "",
) -> Explanation:
    """Computes which capabilities the process of a container gets. The arguments are those of `imagecap explain`.

    Args:
      image: an OCI layout directory, an archive of an image, or a tar of files.
      docker_run: a whole command line of docker or podman.
      kubernetes: a file of Kubernetes manifests; it needs PyYAML, as compose does.
      container: the container in the manifests, as name or Kind/name/container.
      compose: a Compose file.
      service: the service in the Compose file.
      runtime: name[@version] of the container runtime.
      platform: os/architecture[/variant] of the image in an index; "" if there is only one image.
      image_name: of several images, the name, such as "app:dev", or the digest of the image; "" if there is only one.
      program: the container's own program, if its command does not lead to it.

    Raises:
      InputError: the image, the settings or the arguments are not valid.
      ModuleNotFoundError: PyYAML is missing.
      OSError: a file cannot be read.
    """
    from rules_setcap.getcap import explain_command

    if sum(source is not None for source in (docker_run, kubernetes, compose)) > 1:
        raise InputError(["explain: docker_run, kubernetes and compose are alternatives; pass one of them"])
    if (compose is None) != (service is None):
        raise InputError(["explain: compose and service belong together; pass both or none"])
    if container is not None and kubernetes is None:
        raise InputError(["explain: container needs kubernetes; pass the file of manifests"])
    options = argparse.Namespace(
        image=os.fspath(image),
        docker_run=docker_run,
        kubernetes=None if kubernetes is None else os.fspath(kubernetes),
        container=container,
        compose=None if compose is None else os.fspath(compose),
        service=service,
        runtime=runtime,
        platform=platform,
        image_name=image_name,
        program=program,
    )
    report, status = explain_command.make_report(options, IMAGECAP)
    return Explanation(
        is_good={0: True, 1: False}.get(status),
        verdict=report["verdict"],
        why=tuple(report["why"]),
        fix=tuple(report["fix"]),
        notes=tuple(report["notes"]),
        permitted=tuple(report.get("permitted", ())),
        effective=tuple(report.get("effective", ())),
        json=report,
    )

"""The attribute `images` of kubernetes_manifests: what each image is called in the manifests, and what is written instead."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rules_setcap.containers.kubernetes import names_image
from rules_setcap.diagnostics import files
from rules_setcap.diagnostics.errors import InputError, quote
from rules_setcap.diagnostics.suggestions import find_closest
from rules_setcap.oci import archive_import, image_documents
from rules_setcap.oci.reference import check_repository, parse_reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rules_setcap.diagnostics.problems import Problems

_KO_NAME = re.compile(r"ko://[A-Za-z0-9._~/-]+", re.ASCII)
_MAX_NAMES = 20


@dataclass(frozen=True, slots=True)
class Mapping:
    """An entry of the attribute `images`, with the files that Bazel made of its value.

    Attributes:
      name: the key, what the image is called in manifests.
      label: the label of the image, or of its image_push.
      descriptor: the path of the descriptor; "" if another ruleset built the image.
      layout: otherwise the path of the image: an OCI layout directory, its index.json, or an archive; "" if the value is not an
        image, which has been reported.
      destination: the path of the destination of the image_push; "" if the value is an image.
    """

    name: str
    label: str
    descriptor: str = ""
    layout: str = ""
    destination: str = ""


@dataclass(frozen=True, slots=True)
class MappedImage:
    """An image, and where it is.

    Attributes:
      name: what it is called in manifests: a repository, with a tag or a digest if those matter, or a ko:// reference.
      repository: the repository that has it; "" if there is a problem with it.
      digest: its digest; "" if there is a problem with it.
    """

    name: str
    repository: str
    digest: str

    @property
    def reference(self) -> str:
        """The name that is written."""
        return f"{self.repository}@{self.digest}"


class ImageMap:
    """Finds the image that a text in a manifest names."""

    def __init__(self, images: Iterable[MappedImage]) -> None:
        """Creates the map of some images. If a name is not valid, only the same text names the image."""
        self.images = list(images)
        self._by_repository: dict[str, list[MappedImage]] = defaultdict(list)
        for image in self.images:
            self._by_repository[_find_repository(image.name)].append(image)

    def find_image(self, text: str) -> MappedImage | None:
        """Returns the image that a text names; None if it is another one."""
        candidates = self._by_repository.get(_find_repository(text), [])
        return next((image for image in candidates if names_image(text, image.name)), None)


def check_names(names: Sequence[str], problems: Problems) -> None:
    """Adds a problem for each name that is not valid, or that names the same images as another one."""
    by_repository = defaultdict(list)
    for name in names:
        if name.startswith("ko://"):
            if not _KO_NAME.fullmatch(name):
                problems.add("images", name, "not a ko:// reference; write ko:// and an import path")
            continue
        try:
            by_repository[parse_reference(name).repository].append(name)
        except ValueError as error:
            problems.add("images", name, str(error))
    for others in by_repository.values():
        for number, name in enumerate(others):
            for other in others[:number]:
                if names_image(name, other) or names_image(other, name):
                    problems.add("images", name, f"names images that {quote(other)} names too; give both a tag, or leave one out")


def read_image(mapping: Mapping, problems: Problems) -> MappedImage:
    """Reads the repository and the digest of an image.

    Args:
      mapping: the entry of the attribute `images`.
      problems: the collector of problems.
    """
    digest = repository = ""
    try:
        if mapping.descriptor:
            digest = files.read_json(mapping.descriptor)["digest"]
        elif mapping.layout:
            digest = _read_digest(mapping.layout)
    except InputError as error:
        problems.extend(text.replace(quote(mapping.layout), quote(mapping.label)) for text in error.problems)
    if mapping.destination:
        repository = files.read_json(mapping.destination)["repository"]
        if not repository:
            problems.add("images", mapping.name, f"{mapping.label} has no repository; set its attribute repository")
    elif mapping.name.startswith("ko://"):
        problems.add("images", mapping.name, f"{mapping.label} has no repository; give an image_push of it")
    else:
        repository = _strip_tag(mapping.name)
        with contextlib.suppress(ValueError):  # check_names() reports it.
            parse_reference(mapping.name)
            try:
                check_repository(repository)
            except ValueError as error:
                problems.add("images", mapping.name, f"{error}; or give an image_push of {mapping.label}")
    return MappedImage(mapping.name, repository, digest)


def describe_unused(image: MappedImage, texts: Iterable[str]) -> str:
    """Returns what is wrong with an image that no manifest names.

    Args:
      image: the image.
      texts: the images that the manifests name.
    """
    names = sorted(set(texts))
    if closest := find_closest(image.name, names):
        return f"no container of the manifests runs it; did you mean {quote(closest)}?"
    others = ", ".join(map(quote, names[:_MAX_NAMES])) + (", ..." if len(names) > _MAX_NAMES else "")
    return f"no container of the manifests runs it; they run {others or 'no image'}"


def _read_digest(path: str) -> str:
    """Returns the digest of the image in an OCI layout directory or an archive.

    Raises:
      InputError: there is not exactly one image or index.
    """
    with tempfile.TemporaryDirectory() as directory:
        layout = path
        if os.path.basename(path) == "index.json":
            layout = os.path.dirname(path)
        elif not os.path.isdir(path):
            layout = os.path.join(directory, "layout")
            archive_import.import_archive(layout, path, attribute="images")
        try:
            return str(image_documents.find_only_descriptor(layout, "images")["digest"])
        except InputError as error:
            raise InputError(text.replace(quote(layout), quote(path)) for text in error.problems) from None


def _find_repository(text: str) -> str:
    """Returns the repository of a name, with its host; the text itself if it is not a valid name."""
    try:
        return str(parse_reference(text).repository)
    except ValueError:
        return text


def _strip_tag(name: str) -> str:
    """Returns a valid name without its tag and its digest."""
    name = name.partition("@")[0]
    return name.rpartition(":")[0] if ":" in name.rpartition("/")[2] else name

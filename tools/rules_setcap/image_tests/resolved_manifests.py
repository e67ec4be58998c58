"""Writes digests into Kubernetes manifests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_setcap.containers.kubernetes import find_custom_image_fields, find_image_fields, parse_manifest
from rules_setcap.diagnostics import limits
from rules_setcap.diagnostics.errors import format_problem
from rules_setcap.diagnostics.files import open_regular
from rules_setcap.documents.yaml_edits import replace_scalars
from rules_setcap.image_tests.mapped_images import describe_unused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rules_setcap.diagnostics.problems import Problems
    from rules_setcap.image_tests.mapped_images import ImageMap


class ManifestResolver:
    """Replaces the names of images in manifests by their repositories and digests.

    Attributes:
      problems: the collector of problems.
    """

    def __init__(
        self, images: ImageMap, problems: Problems, *, engine_name: str = "containerd", digests_required: bool = False
    ) -> None:
        """Creates a resolver.

        Args:
          images: the images.
          problems: the collector of problems.
          engine_name: the container runtime of the nodes, as for parse_manifest().
          digests_required: whether the images of all pods must have a digest in the end.
        """
        self.problems = problems
        self._images = images
        self._engine_name = engine_name
        self._digests_required = digests_required
        self._names = {image.name for image in images.images}
        self._used: set[str] = set()
        self._other_texts: set[str] = set()

    def resolve_files(self, paths: Sequence[str]) -> list[bytes]:
        """Returns the bytes of manifests with digests, and adds problems; without those that have problems.

        Args:
          paths: the paths of YAML or JSON files.
        """
        resolved = []
        before = len(self.problems)
        for path in paths:
            with self.problems.collect(), open_regular(path) as file:
                resolved.append(self._resolve_manifest(file.read(limits.YAML + 1), path))
        # A manifest that cannot be read may name the image.
        if paths and len(self.problems) == before:
            for image in self._images.images:
                if image.name not in self._used:
                    self.problems.add("images", image.name, describe_unused(image, self._other_texts))
        return resolved

    def _resolve_manifest(self, data: bytes, file: str) -> bytes:
        """Returns a manifest with digests.

        Raises:
          InputError: the manifest is not valid.
        """
        manifest = parse_manifest(data, file, self._engine_name, placeholders=self._names)
        for kind in filter(None, (each.get("kind") for each in manifest.kustomizations)):
            what = "a file for Kustomize, which clusters do not have; give what kustomize build prints"
            self.problems.add_message(format_problem(kind.where, str(kind.node.value), what))
        replacements = {}
        for field in find_image_fields(manifest):
            text = str(field.node.value)
            if image := self._images.find_image(text):
                replacements[field.node.span] = image.reference
                self._used.add(image.name)
            elif text:
                self._other_texts.add(text)
                if self._digests_required and "@" not in text:
                    what = "has no digest; write one, or name the image in images"
                    self.problems.add_message(format_problem(field.where, text, what))
        for field in find_custom_image_fields(manifest):
            if image := self._images.find_image(str(field.node.value)):
                replacements[field.node.span] = image.reference
                self._used.add(image.name)
        return replace_scalars(data, replacements) if replacements else data

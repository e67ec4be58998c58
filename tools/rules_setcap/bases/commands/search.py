"""Finds files of a base in its layers from the highest one down, and fetches no layer below those that decide about them.

rules/private/base_search.bzl writes the command line. The bytes of the outputs depend on the digests of the layers alone, so the
action can be cached, although Bazel does not know which layers it fetches.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from rules_setcap.archive.budget import ReadBudget
from rules_setcap.archive.entry import FILE
from rules_setcap.archive.paths import normalize_path
from rules_setcap.bases.layer_store import LayerStore
from rules_setcap.diagnostics import files
from rules_setcap.diagnostics.errors import InputError
from rules_setcap.executables import elf
from rules_setcap.oci import base_contents, extraction, found_files
from rules_setcap.oci.layer_blobs import list_layout_layers
from rules_setcap.oci.layer_search import LayerSearch

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rules_setcap.actions.arguments import Arguments
    from rules_setcap.diagnostics.problems import Problems
    from rules_setcap.oci.layer_blobs import LayerBlob


class _FetchError(Exception):
    """A layer has not been fetched. The action fails, because it may be fetched at another time."""


def run_command(arguments: Arguments, problems: Problems) -> None:
    """Writes the files that have been found, and the list of the files of all layers that have been read.

    If the base is not valid, the action does not fail: it writes the problems, and those that read the outputs report them
    together with their own.

    Args:
      arguments: the flags.
      problems: the collector of problems.

    Raises:
      InputError: a layer has not been fetched.
      OSError: a file cannot be written.
    """
    store = LayerStore.take_from(arguments)
    output, contents = arguments.take_value("output"), arguments.take_value("contents")
    layout, platform = arguments.take_value("layout"), arguments.take_value("platform")
    paths = _normalize_paths(json.loads(text) for text in arguments.take_values("path"))
    arguments.check_all_taken()
    problems.raise_if_any()

    def fetch(blob: LayerBlob) -> LayerBlob:
        """Fetches a layer."""
        try:
            path = store.fetch_layer(blob.descriptor["digest"], blob.descriptor["size"])
        except InputError as error:
            raise _FetchError(error) from None
        return blob._replace(path=path)

    try:
        metadata = _search(layout, platform, paths, fetch, output)
    except _FetchError as error:
        raise error.args[0] from None
    except InputError as error:
        problem_texts = arguments.labels.apply(error.problems)
        found_files.write_found(output, {}, {}, (), problem_texts)
        metadata = {**base_contents.EMPTY, "problems": problem_texts}
    files.write_json(contents, metadata)


def _search(layout: str, platform: str, paths: Sequence[str], fetch: Any, output: str) -> dict[str, Any]:
    """Finds files, and writes them to a directory.

    Args:
      layout: the path of an OCI image layout directory with the manifests.
      platform: os/architecture/variant of the image.
      paths: the paths of the files.
      fetch: fetches a layer.
      output: the directory.

    Returns:
      The metadata of a base, as if the layers that have been read were one. `unread` is the number of the other layers.

    Raises:
      InputError: the base is not valid.
    """
    budget, collector = ReadBudget(blobs=True), base_contents.InterpreterCollector()
    search = LayerSearch(list_layout_layers(layout, platform), fetch, collector.inspect, budget)
    search.find_paths(paths)
    nodes = found_files.list_nodes(search.root, paths)
    extracted = extraction.extract_files(found_files.list_contents(nodes), search.blobs, output, budget)
    if not search.is_complete and any(_needs_libraries(file.source) for file in extracted.values()):
        search.read_all()
    missing = [path for path in paths if not _exists(search, path)]
    names = [path for path, node in search.root.walk() if node.type == FILE] if missing else []
    found_files.write_found(output, nodes, extracted, names)
    metadata = base_contents.describe_files(search.root, collector, search.differing, budget, layout)
    return {**metadata, "unread": search.first}


def _normalize_paths(paths: Iterable[str]) -> list[str]:
    """Returns those of the paths that are valid; the action that copies the files reports the others."""
    normalized = []
    for path in paths:
        with contextlib.suppress(ValueError):
            normalized.append(normalize_path(path))
    return normalized


def _exists(search: LayerSearch, path: str) -> bool:
    try:
        return search.root.find_node(path) is not None
    except ValueError:
        return True  # Links lead in a circle, which has a message of its own.


def _needs_libraries(path: str) -> bool:
    """Returns whether the check `runpath` has to know where the libraries of a program are."""
    with open(path, "rb") as file:
        headers = elf.describe_program(file) or {}
    return "$" in headers.get("runpath", "") + headers.get("rpath", "")

"""Reads what a build made from the build events that Bazel writes as JSON (--build_event_json_file)."""

from __future__ import annotations

import json
import os
import urllib.parse
from typing import TYPE_CHECKING, NamedTuple

from rules_setcap.diagnostics.errors import InputError, format_problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.xz", ".tar.bz2")


class BuiltImage(NamedTuple):
    """An image that a build made.

    Attributes:
      label: the label of the target.
      execution_path: the path below the execution root, as in the execution log.
      path: the absolute path: an OCI layout directory, or an archive.
    """

    label: str
    execution_path: str
    path: str

    def find_execution_root(self) -> str:
        """Returns the absolute path of the execution root; "" if the image has been copied out of it."""
        return self.path.removesuffix("/" + self.execution_path) if self.path.endswith("/" + self.execution_path) else ""


class TargetImages(NamedTuple):
    """The images of one target.

    Attributes:
      label: the label of the target.
      images: its images; empty if none of its files is one.
      files: the number of its files.
    """

    label: str
    images: list[BuiltImage]
    files: int


def read_targets(path: str) -> list[TargetImages]:
    """Returns the targets that a build was asked for, by label, with their images.

    Args:
      path: the path of the file.

    Raises:
      InputError: the file is not what Bazel writes.
      OSError: it cannot be read.
    """
    try:
        with open(path, encoding="utf-8") as file:
            events = [json.loads(line) for line in file]
        sets = {event["id"]["namedSet"]["id"]: event["namedSetOfFiles"] for event in events if "namedSetOfFiles" in event}
        targets: dict[str, dict[str, str]] = {}
        for event in events:
            completed = event["id"].get("targetCompleted")
            if completed and "aspect" not in completed and event.get("completed", {}).get("success"):
                targets.setdefault(completed["label"], {}).update(_list_files(event["completed"], sets))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError([format_problem("build events", path, f"are not those of a build ({error!r})")]) from None
    return [_find_images(label, files) for label, files in sorted(targets.items())]


def _list_files(completed: Any, sets: Any) -> Iterator[tuple[str, str]]:
    """Yields the files that may be images: the path below the execution root, and the absolute path."""
    groups = [group for group in completed.get("outputGroup", ()) if group["name"] in ("default", "oci_layout")]
    stack = [each["id"] for group in groups for each in group["fileSets"]]
    seen = set(stack)
    while stack:
        named = sets[stack.pop()]
        for file in named.get("files", ()):
            path = "/".join([*file.get("pathPrefix", ()), file["name"]])
            if file.get("uri", "").startswith("file://"):
                yield path, urllib.parse.unquote(urllib.parse.urlsplit(file["uri"]).path)
        for each in named.get("fileSets", ()):
            if each["id"] not in seen:
                seen.add(each["id"])
                stack.append(each["id"])


def _find_images(label: str, files: dict[str, str]) -> TargetImages:
    """Finds the images among the files of a target: layouts by their index.json, archives by their names."""
    images = []
    for path, absolute in sorted(files.items()):
        directory, _, name = path.rpartition("/")
        if name == "index.json" and f"{directory}/oci-layout" in files:
            images.append(BuiltImage(label, directory, os.path.dirname(absolute)))
    if not images:
        images = [BuiltImage(label, path, absolute) for path, absolute in sorted(files.items()) if path.endswith(_ARCHIVES)]
    return TargetImages(label, images, len(files))

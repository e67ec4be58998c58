"""Prints what a release does, and writes the file of digests."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

from rules_setcap.delivery.release.model import FAILED, PUSHED, TAGGED, UNCHANGED, list_blobs
from rules_setcap.diagnostics.console import format_json
from rules_setcap.diagnostics.errors import printable
from rules_setcap.diagnostics.progress import print_line
from rules_setcap.oci import media_types

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from rules_setcap.delivery.release.model import ImagePlan, ReleaseImage

STATUSES = (PUSHED, TAGGED, UNCHANGED, FAILED)
VERSION = 1
"""The version of the file of digests."""


class Reporter:
    """Prints a line for each image on which work was done, and has the line of the progress."""

    def __init__(self) -> None:
        """Starts without a phase."""
        self._phase, self._total, self._done = "", 0, 0
        self._lock = threading.Lock()

    def begin(self, phase: str, total: int) -> None:
        """Begins a phase.

        Args:
          phase: its name.
          total: the number of its images.
        """
        with self._lock:
            self._phase, self._total, self._done = phase, total, 0

    def advance(self, text: str = "") -> None:
        """Counts an image of the phase, and prints a line about it.

        Args:
          text: the line; "" for none.
        """
        with self._lock:
            self._done += 1
            if text:
                print_line(printable(f"[{self._done}/{self._total}] {text}"))

    def print_remark(self, text: str) -> None:
        """Prints a line about a registry."""
        with self._lock:
            print_line(printable(text))

    def describe(self) -> str:
        """Returns the line of the progress."""
        return f"{self._phase}: {self._done} of {self._total} images"


def format_size(size: int) -> str:
    """Returns a number of bytes for people."""
    if size < 1000:
        return f"{size} B"
    return f"{size / 1e3:.1f} kB" if size < 1e6 else f"{size / 1e6:.1f} MB"


def format_table(plans: Sequence[ImagePlan], *, dry_run: bool) -> list[str]:
    """Returns a line for each image, and one with the totals."""
    rows = [(plan.status, plan.image.reference, ", ".join(plan.image.tags)) for plan in plans]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(2)]
    lines = [printable(f"{status:<{widths[0]}}  {name:<{widths[1]}}  {tags}".rstrip()) for status, name, tags in rows]
    counts = {status: sum(plan.status == status for plan in plans) for status in STATUSES}
    total = f"{len(plans)} image{'' if len(plans) == 1 else 's'}: "
    total += ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    if dry_run:
        size = sum(sum(plan.missing_blobs.values()) for plan in plans)
        return [*lines, f"{total}; nothing was pushed (--dry-run), at most {format_size(size)} would be uploaded"]
    most = "" if all(plan.has_known_blobs for plan in plans) else "at most "
    return [*lines, f"{total}; {most}{format_size(sum(plan.uploaded for plan in plans))} uploaded"]


def build_digests(plans: Sequence[ImagePlan], *, dry_run: bool) -> dict[str, Any]:
    """Returns the file of digests, which docs/reference/schemas/release.schema.json describes."""
    return {"version": VERSION, "dry_run": dry_run, "images": [_describe_plan(plan) for plan in plans]}


def encode_digests(document: dict[str, Any]) -> bytes:
    """Returns the bytes of the file of digests."""
    return format_json(document).encode() + b"\n"


def _describe_plan(plan: ImagePlan) -> dict[str, Any]:
    image = plan.image
    described = {
        "label": image.label,
        "repository": image.repository,
        "tags": list(image.tags),
        "digest": image.digest,
        "media_type": image.descriptor["mediaType"],
        "size": _compute_size(image),
        "status": plan.status,
        "platforms": [
            {"digest": each.digest, "platform": each.platform, "capabilities": each.capabilities}
            for each in image.platform_images
        ],
    }
    return {**described, "error": printable(plan.error)} if plan.error else described


def _compute_size(image: ReleaseImage) -> int:
    """Returns the size of all manifests, configs and layers of an image in bytes; each blob counts once."""
    sizes: dict[str, int] = {}
    for manifest in image.manifests:
        sizes[manifest["digest"]] = manifest["size"]
        if manifest["mediaType"] not in media_types.INDEXES:
            sizes.update(list_blobs(json.loads(image.documents[manifest["digest"]])))
    return sum(sizes.values())

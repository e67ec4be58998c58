"""Compares the images of a release with the file of digests of an earlier one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rules_setcap.delivery.release.report import VERSION
from rules_setcap.diagnostics import files, strict_json
from rules_setcap.diagnostics.errors import InputError, escape, format_problem, quote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rules_setcap.delivery.release.model import ReleaseImage

_CapabilitiesByPlatform = dict[str, "dict[str, str] | None"]
_DIGESTS_SIZE = 64 << 20
"""The largest file of digests, in bytes; an image takes some 500."""


@dataclass(frozen=True, slots=True)
class RecordedImage:
    """An image of an earlier release.

    Attributes:
      label: the target of image_push.
      repository: the repository.
      digest: the digest.
      capabilities: by platform, the capabilities of files by path; None if they are not known.
    """

    label: str
    repository: str
    digest: str
    capabilities: _CapabilitiesByPlatform


@dataclass(frozen=True, slots=True)
class ImageChange:
    """An image that differs between two releases.

    Attributes:
      label: the target of image_push.
      before: the image of the earlier release; None if it had none.
      after: the image of this release; None if it has none.
      capabilities: a line for each file whose capabilities differ.
      is_certain: whether the capabilities of both are known.
    """

    label: str
    before: RecordedImage | None
    after: ReleaseImage | None
    capabilities: Sequence[str]
    is_certain: bool


def read_digests(path: str) -> list[RecordedImage]:
    """Reads a file of digests.

    Args:
      path: the path of the file.

    Raises:
      InputError: the file cannot be read, or is not a file of digests.
    """
    try:
        with files.open_regular(path) as file:
            data = file.read(_DIGESTS_SIZE + 1)
        if len(data) > _DIGESTS_SIZE:
            raise ValueError(f"has more than {_DIGESTS_SIZE} bytes")
        document = strict_json.parse_document(data)
        if not isinstance(document, dict) or not isinstance(document.get("images"), list):
            raise ValueError("is not a file of digests; give a file that image_release has written by --output")
        if document.get("version") != VERSION:
            raise ValueError(f"has the version {quote(document.get('version'))}; this program reads version {VERSION}")
        return [_parse_image(image) for image in document["images"]]
    except OSError as error:
        raise InputError([format_problem("--against", path, f"cannot be read: {error.strerror}")]) from None
    except ValueError as error:
        raise InputError([format_problem("--against", path, str(error))]) from None


def _parse_image(value: Any) -> RecordedImage:
    fields = value if isinstance(value, dict) else {}
    texts = [fields.get(name) for name in ("label", "repository", "digest")]
    platforms = fields.get("platforms")
    if not all(isinstance(text, str) for text in texts) or not isinstance(platforms, list):
        raise ValueError(f"has an image without label, repository, digest and platforms: {quote(str(texts))}")
    capabilities: _CapabilitiesByPlatform = {}
    for platform in platforms:
        recorded = platform.get("capabilities") if isinstance(platform, dict) else ""
        if not isinstance(recorded, dict | None) or not all(isinstance(text, str) for text in (recorded or {}).values()):
            raise ValueError(f"has an image with invalid capabilities: {quote(texts[0])}")
        capabilities[str(platform.get("platform"))] = recorded
    label, repository, digest = map(str, texts)
    return RecordedImage(label, repository, digest, capabilities)


def compare_releases(before: Sequence[RecordedImage], after: Sequence[ReleaseImage]) -> list[ImageChange]:
    """Returns the images that differ, those whose capabilities differ first.

    Args:
      before: the images of the earlier release.
      after: the images of this release.
    """
    recorded = {image.label: image for image in before}
    built = {image.label: image for image in after}
    changes = []
    for label in sorted({*recorded, *built}):
        old, new = recorded.get(label), built.get(label)
        if old and new and old.digest == new.digest:
            continue
        old_capabilities = old.capabilities if old else {}
        new_capabilities: _CapabilitiesByPlatform = (
            {each.platform: None if each.capabilities is None else dict(each.capabilities) for each in new.platform_images}
            if new
            else {}
        )
        is_certain = None not in (*old_capabilities.values(), *new_capabilities.values())
        changes.append(ImageChange(label, old, new, list(_list_changes(old_capabilities, new_capabilities)), is_certain))
    return sorted(changes, key=lambda change: not change.capabilities)


def _list_changes(before: _CapabilitiesByPlatform, after: _CapabilitiesByPlatform) -> Iterator[str]:
    """Yields a line for each file whose capabilities differ; equal lines of several platforms are one."""
    platforms_by_line: dict[str, list[str]] = {}
    for platform in sorted({*before, *after}):
        old, new = before.get(platform, {}), after.get(platform, {})
        if old is None or new is None:
            continue
        for path in sorted({*old, *new}):
            if old.get(path) != new.get(path):
                line = f"{escape(path)}: {escape(old.get(path, 'none'))} -> {escape(new.get(path, 'none'))}"
                platforms_by_line.setdefault(line, []).append(platform)
    for line, platforms in platforms_by_line.items():
        yield f"{line}  ({', '.join(map(escape, platforms))})"


def format_changes(changes: Sequence[ImageChange], total: int, name: str) -> Iterator[str]:
    """Yields the lines of the report.

    Args:
      changes: the images that differ.
      total: the number of images of this release.
      name: the path of the file of digests, as the user wrote it.
    """
    counts: Mapping[str, int] = {
        "changed": sum(1 for change in changes if change.before and change.after),
        "new": sum(1 for change in changes if not change.before),
        "gone": sum(1 for change in changes if not change.after),
    }
    listed = ", ".join(f"{count} {what}" for what, count in counts.items() if count) or "none changed"
    yield f"{total} image{'' if total == 1 else 's'} against {escape(name)}: {listed}"
    for change in changes:
        yield ""
        yield f"{escape(change.label)}: {_describe_change(change)}"
        yield from (f"  {line}" for line in change.capabilities)
        if change.before:
            yield f"  - {escape(change.before.repository)}@{escape(change.before.digest)}"
        if change.after:
            yield f"  + {change.after.reference}"


def _describe_change(change: ImageChange) -> str:
    what = "changed" if change.before and change.after else "new" if change.after else "gone"
    if change.capabilities:
        return f"{what}, also in its capabilities" if what == "changed" else f"{what}, with capabilities"
    return (
        f"{what}, {'the same capabilities' if what == 'changed' else 'without capabilities'}"
        if change.is_certain
        else f"{what}, capabilities are not known"
    )

"""Compares configs, manifests and indexes by field, without what follows from the layers."""

from __future__ import annotations

import json
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any

from rules_setcap.diff.model import Change
from rules_setcap.oci import media_types
from rules_setcap.oci.platforms import format_platform

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rules_setcap.diff.sources import SourceImage

_MISSING = object()
_FROM_CONTENT = ("digest", "size", "data")  # The fields of a descriptor that follow from the content.


def compare_configs(
    before: Mapping[str, Any], after: Mapping[str, Any], pairs: Sequence[tuple[int | None, int | None]]
) -> Iterator[Change]:
    """Yields the changes of a config.

    Args:
      before: the first config.
      after: the second config.
      pairs: the positions of the layers that are compared with each other, from 0; None for a layer that only one image has.
        The history of such a layer is left out.
    """
    only_before = {left for left, right in pairs if right is None}
    only_after = {right for left, right in pairs if left is None}
    yield from compare_values(
        "config", _prepare_config(before, only_before), _prepare_config(after, only_after), "", frozenset({"config.Env"})
    )


def _prepare_config(config: Mapping[str, Any], left_out: set[int | None]) -> dict[str, Any]:
    """Returns a config without diff_ids, and without the history of some layers."""
    prepared = dict(config)
    rootfs = config.get("rootfs")
    if isinstance(rootfs, dict):
        prepared["rootfs"] = {key: value for key, value in rootfs.items() if key != "diff_ids"}
    history = config.get("history")
    if isinstance(history, list):
        kept, layer = [], 0
        for entry in history:
            is_layer = not (isinstance(entry, dict) and entry.get("empty_layer"))
            if not is_layer or layer not in left_out:
                kept.append(entry)
            layer += is_layer
        prepared["history"] = kept
    return prepared


def compare_manifests(
    before: SourceImage, after: SourceImage, pairs: Sequence[tuple[int | None, int | None]], notes: list[str]
) -> Iterator[Change]:
    """Yields the changes of a manifest.

    Args:
      before: the first image, which has a manifest.
      after: the second image, likewise.
      pairs: as for compare_configs().
      notes: a list to which a sentence is added if the media types differ only in who defines them.
    """
    left, right = _prepare_manifest(before.manifest), _prepare_manifest(after.manifest)
    if _list_definers(before.manifest) != _list_definers(after.manifest):
        notes.append("the media types are those of Docker in one image and those of OCI in the other; they mean the same")
    yield from compare_values("manifest", left, right)
    for left_number, right_number in pairs:
        if left_number is None or right_number is None:
            continue
        old, new = (
            {key: value for key, value in image.manifest["layers"][number].items() if key not in (*_FROM_CONTENT, "mediaType")}
            for image, number in ((before, left_number), (after, right_number))
        )
        yield from compare_values("manifest", old, new, f"layers[{right_number}]")


def _prepare_manifest(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a manifest without its layers, without what follows from the config, and with the media types of OCI."""
    prepared = {key: value for key, value in manifest.items() if key != "layers"}
    prepared["mediaType"] = media_types.MANIFEST  # Both have been read as manifests.
    config = {key: value for key, value in manifest["config"].items() if key not in _FROM_CONTENT}
    if config.get("mediaType") in media_types.CONFIGS:
        config["mediaType"] = media_types.CONFIG
    prepared["config"] = config
    return prepared


def _list_definers(manifest: Mapping[str, Any]) -> set[bool]:
    """Returns whether the media types of a manifest are Docker's: a set, because a manifest may mix them."""
    types = [manifest.get("mediaType", media_types.MANIFEST), manifest["config"]["mediaType"]]
    types += [layer["mediaType"] for layer in manifest["layers"]]
    return {".docker." in media_type for media_type in types if isinstance(media_type, str)}


def compare_indexes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    """Yields the changes of an index, without those of its images: each image is compared by itself."""
    old, new = (
        {key: value for key, value in index.items() if key not in ("manifests", "mediaType")} for index in (before, after)
    )
    yield from compare_values("index", old, new)
    left, right = (_list_descriptors(index) for index in (before, after))
    orders = [platform for platform in left if platform in right], [platform for platform in right if platform in left]
    if orders[0] != orders[1]:
        old_order, new_order = (_format_value(order) for order in orders)
        yield Change("index", "manifests", "", old_order, new_order, ("only the order differs",))
    for platform in orders[1]:
        yield from compare_values("index", left[platform], right[platform], f"manifests[{json.dumps(platform)}]")


def _list_descriptors(index: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns the descriptors of an index by platform, without what follows from the images.

    Descriptors of artifacts, such as attestations, and further ones for the same platform are left out.
    """
    descriptors: dict[str, dict[str, Any]] = {}
    for descriptor in index.get("manifests", ()):
        platform = descriptor.get("platform")
        name = format_platform(platform) if isinstance(platform, dict) else ""
        if name and not name.startswith("unknown/"):
            fields = {key: value for key, value in descriptor.items() if key not in (*_FROM_CONTENT, "mediaType")}
            descriptors.setdefault(name, fields)
    return descriptors


def compare_values(
    kind: str, before: Any, after: Any, path: str = "", variables: frozenset[str] = frozenset()
) -> Iterator[Change]:
    """Yields the changes of a JSON value.

    Args:
      kind: the kind of the changes.
      before: the first value.
      after: the second value.
      path: the path of the value in its document.
      variables: the paths of lists of NAME=VALUE, which are compared by name.
    """
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys([*before, *after]):
            yield from compare_values(kind, before.get(key, _MISSING), after.get(key, _MISSING), _join_path(path, key), variables)
    elif isinstance(before, list) and isinstance(after, list):
        if path in variables and _are_variables(before) and _are_variables(after):
            yield from _compare_variables(kind, before, after, path)
        else:
            yield from _compare_lists(kind, before, after, path, variables)
    elif type(before) is not type(after) or before != after:  # In Python, true equals 1.
        yield Change(kind, path, before=_format_value(before), after=_format_value(after))


def _compare_lists(kind: str, before: list[Any], after: list[Any], path: str, variables: frozenset[str]) -> Iterator[Change]:
    """Yields the changes of a list by position, after the items that both have are found."""
    left, right = ([json.dumps(item, sort_keys=True) for item in items] for items in (before, after))
    if left == right:
        return
    if sorted(left) == sorted(right):
        yield Change(kind, path, before=_format_value(before), after=_format_value(after), details=("only the order differs",))
        return
    blocks: Sequence[tuple[str, int, int, int, int]]
    if len(before) == len(after):
        blocks = [("replace", 0, len(before), 0, len(after))]
    else:
        blocks = SequenceMatcher(None, left, right, autojunk=False).get_opcodes()
    for tag, start, end, other_start, other_end in blocks:
        if tag == "equal":
            continue
        common = min(end - start, other_end - other_start)
        for offset in range(common):
            place = f"{path}[{other_start + offset}]"
            yield from compare_values(kind, before[start + offset], after[other_start + offset], place, variables)
        for position in range(start + common, end):
            yield Change(kind, f"{path}[{position}]", before=_format_value(before[position]))
        for position in range(other_start + common, other_end):
            yield Change(kind, f"{path}[{position}]", after=_format_value(after[position]))


def _compare_variables(kind: str, before: list[str], after: list[str], path: str) -> Iterator[Change]:
    """Yields the changes of a list of NAME=VALUE by name."""
    if before == after:
        return
    values = [dict(text.partition("=")[::2] for text in items) for items in (before, after)]
    if values[0] == values[1]:
        yield Change(kind, path, before=_format_value(before), after=_format_value(after), details=("only the order differs",))
        return
    for name in dict.fromkeys([*values[0], *values[1]]):
        left, right = values[0].get(name, _MISSING), values[1].get(name, _MISSING)
        if left != right:
            yield Change(kind, _join_path(path, name), before=_format_value(left), after=_format_value(right))


def _are_variables(items: list[Any]) -> bool:
    """Returns whether a list has only texts, each with another name before its first "="."""
    return all(isinstance(item, str) for item in items) and len({item.partition("=")[0] for item in items}) == len(items)


def _join_path(path: str, key: str) -> str:
    """Returns the path of a field; a key that is not a word is in brackets and quotes, as in JavaScript."""
    if key.isidentifier():
        return f"{path}.{key}" if path else key
    return f"{path}[{json.dumps(key)}]"


def _format_value(value: Any) -> str | None:
    """Returns a value as JSON; None for a missing one."""
    return None if value is _MISSING else json.dumps(value, ensure_ascii=False)

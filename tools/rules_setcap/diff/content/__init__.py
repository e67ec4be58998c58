"""The difference between the contents of two files, by what the files are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_setcap.diff.model import ContentDifference

if TYPE_CHECKING:
    from typing import BinaryIO

_CHUNK = 1 << 20


def compare_contents(name: str, before: BinaryIO, after: BinaryIO) -> ContentDifference:
    """Compares two files.

    Args:
      name: the path of the files in the images.
      before: the first file, which can be sought.
      after: the second file, which can be sought.
    """
    offset = 0
    while True:
        pair = before.read(_CHUNK), after.read(_CHUNK)
        if pair[0] != pair[1] or not pair[0]:
            break
        offset += len(pair[0])
    offset += next(
        (number for number, (left, right) in enumerate(zip(*pair, strict=False)) if left != right), min(map(len, pair))
    )
    return ContentDifference("data", f"the first difference is at byte {offset}")

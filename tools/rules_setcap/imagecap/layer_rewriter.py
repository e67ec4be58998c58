"""Copies a layer and changes the capabilities of some of its entries, in one pass. All other bytes of its tar stay as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rules_setcap.archive.entry import HARDLINK
from rules_setcap.archive.reader import TarError
from rules_setcap.diagnostics.errors import InputError, format_problem
from rules_setcap.oci.layer_blobs import open_layer
from rules_setcap.packer.assignments import START, find_fault
from rules_setcap.packer.layer_writer import open_blob
from rules_setcap.packer.tar_rewriter import rewrite_pax_header

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rules_setcap.archive.budget import ReadBudget
    from rules_setcap.diagnostics.problems import Problems
    from rules_setcap.oci.layer_blobs import LayerBlob


class EntryChange(NamedTuple):
    """The new capabilities of an entry.

    Attributes:
      path: the path of the file, for messages.
      value: the extended attribute; None to take the capabilities away.
      mode: the permissions of the file in the image.
      attribute: what messages about the file begin with; "" if the user did not name the file, so that it is not checked.
    """

    path: str
    value: bytes | None
    mode: int
    attribute: str


class RewrittenLayer(NamedTuple):
    """A layer that was rewritten.

    Attributes:
      path: the path of the blob.
      digest, size: of the blob.
      diff_id: the digest of its tar.
    """

    path: str
    digest: str
    size: int
    diff_id: str


def rewrite_layer(
    blob: LayerBlob,
    changes: Mapping[int, EntryChange],
    output: str,
    codec: tuple[str, str, int],
    budget: ReadBudget,
    problems: Problems,
) -> RewrittenLayer:
    """Writes a layer with other capabilities.

    Args:
      blob: the layer.
      changes: the changes by the number of the entry.
      output: the path of the new blob.
      codec: how the new blob is compressed: the arguments compression, library and threads of layer_writer.open_blob().
      budget: counts what is read.
      problems: the collector of problems: files that cannot have capabilities.

    Raises:
      InputError: the layer is not valid.
      OSError: the blob cannot be written.
    """
    compression, library, threads = codec
    by_path: dict[str, EntryChange] = {}  # Of changed entries, which hard links of the layer may name.
    with open_blob(output, compression, 0, library, threads) as copy, open_layer(blob, budget) as archive:
        for number, member in enumerate(archive):
            content = archive.read_content()
            first = next(content, b"")
            change = changes.get(number)
            if change is not None and change.attribute and change.value is not None:
                start = None if member.sparse else first[: min(START, member.size)]
                if fault := find_fault(member.type, change.mode, start):
                    problems.add(change.attribute, change.path, fault)
            if change is None and member.type == HARDLINK:
                change = by_path.get(member.link)
            copy.write(member.before)
            if change is None:
                copy.write(member.extended)
            else:
                by_path[member.path] = change
                try:
                    copy.write(rewrite_pax_header(member, change.value))
                except TarError as error:
                    raise InputError([format_problem(change.attribute or "file", change.path, str(error))]) from None
            copy.write(member.between + member.header + first)
            for piece in content:
                copy.write(piece)
        for piece in archive.read_rest():
            copy.write(piece)
    return RewrittenLayer(output, copy.digest, copy.size, copy.diff_id)

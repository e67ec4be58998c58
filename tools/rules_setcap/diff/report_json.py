"""Reports a difference as JSON.

`image_diff --json` prints one object:

    version        1
    same           whether there is no change, apart from ignored ones
    kinds          a list of the kinds of the changes, in the order of the report
    before, after  the two inputs: `name`, `digest` ("" for several images without an index) and `platforms` (a list of the
                   platforms that only this input has)
    index          a list of changes of the index
    images         a list of objects, one for each pair of images that was compared
    ignored        by kind, the number of changes that --ignore leaves out
    notes          a list of sentences about what was not compared, or is not a change

    An image:
    platform       os/architecture[/variant]; "" for a tar of files
    before, after  `digest`, and `layers`, the number of its layers
    documents      a list of changes of the config and the manifest
    capabilities   a list of the files whose capabilities a container sees differently: `path`; `before` and `after` (text, null
                   without capabilities); `in_before` and `in_after` (whether the image has the file); `layer` (a digest)
    layers         a list of the layers that differ: `before` and `after` (below, null if only one image has it), `changes`, and
                   `omitted` (by kind, the number of changes beyond the limit, which are only counted)
    notes          as above

    A layer of an image: `number` (1 for the lowest), `digest`, `diff_id`, `size`, `compression` ("" without) and `created_by`

    A change:
    kind           one of the kinds of --ignore
    path           the path of an entry, or of a field of a document
    field          what differs of the entry; "" if the kind tells it
    before, after  the values, as text; null if there is none
    details        a list of lines
    content        for other content of a file: `type`, `summary`, `details` and `causes`; null if it was not looked at
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rules_setcap.diff.model import Difference

JSON_VERSION = 1
"""The value of the key `version`. It changes when a key is removed or gets another meaning. New keys do not change it."""


def make_json_report(difference: Difference) -> dict[str, Any]:
    """Returns the JSON object."""
    # The names of the model's fields are those of the keys.
    return {
        "version": JSON_VERSION,
        "same": difference.is_same,
        "kinds": difference.list_kinds(),
        **asdict(difference),
    }

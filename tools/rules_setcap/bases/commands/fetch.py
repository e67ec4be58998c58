"""Fetches a layer from a registry, and verifies its digest and size.

rules/private/pulled_image.bzl writes the command line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_setcap.bases.layer_store import LayerStore, link_layer

if TYPE_CHECKING:
    from rules_setcap.actions.arguments import Arguments
    from rules_setcap.diagnostics.problems import Problems


def run_command(arguments: Arguments, problems: Problems) -> None:
    """Writes the layer.

    Args:
      arguments: the flags.
      problems: the collector of problems.

    Raises:
      InputError: the client has not fetched the layer.
      OSError: the layer cannot be written.
    """
    store, output = LayerStore.take_from(arguments), arguments.take_value("output")
    digest, size = arguments.take_value("digest"), arguments.take_number("size")
    arguments.check_all_taken()
    problems.raise_if_any()
    link_layer(store.fetch_layer(digest, size), output)

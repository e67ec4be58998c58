"""Fetches a layer from a registry, and verifies its digest and size.

rules/private/pulled_image.bzl writes the command line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_setcap.bases.registry_client import RegistryError, choose_client
from rules_setcap.diagnostics import files
from rules_setcap.diagnostics.errors import InputError, format_problem

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
    image, output = arguments.take_value("image"), arguments.take_value("output")
    manifest_digest, digest = arguments.take_value("manifest"), arguments.take_value("digest")
    size, is_insecure = arguments.take_number("size"), arguments.take_value("insecure") == "yes"
    settings, program = arguments.take_value("client"), arguments.take_value("program", "")
    kind = arguments.take_value("kind", "")
    arguments.check_all_taken()
    problems.raise_if_any()
    try:
        client = choose_client(settings, kind, program)
        with files.open_new_file(output) as file:
            client.fetch_blob(file, image, manifest_digest, digest, size, insecure=is_insecure)
    except RegistryError as error:
        raise InputError([format_problem("image", image, str(error))]) from None

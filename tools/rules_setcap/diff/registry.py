"""Pulls an image from a registry to an OCI layout directory, by a client that is on PATH, with its own credentials."""

from __future__ import annotations

import os
import re
import shutil
import sys
from typing import TYPE_CHECKING

from rules_setcap.diagnostics.errors import InputError, format_problem
from rules_setcap.diagnostics.programs import IDLE_LIMIT, HangingError, run_limited
from rules_setcap.oci import reference

if TYPE_CHECKING:
    from collections.abc import Callable

_PREFIX = "docker://"


def parse_registry_name(text: str) -> str:
    """Returns the name of an image in a registry; "" if an argument is not one.

    It is a name if it begins with docker://, or if no file has this path and it begins with the host of a registry.
    """
    name = text.removeprefix(_PREFIX)
    if name == text and (os.path.lexists(text) or text.startswith(("/", "."))):
        return ""
    repository = re.sub(r"(:[^/:@]*)?(@.*)?$", "", name)
    try:
        reference.parse_reference(name)
        if name == text:
            reference.check_repository(repository)
    except ValueError:
        return ""
    return name


def pull_image(name: str, text: str, directory: str) -> str:
    """Pulls an image or an index with all its images.

    Args:
      name: the name from parse_registry_name().
      text: the argument as the user wrote it, for messages.
      directory: an empty directory.

    Returns:
      The path of the OCI layout directory.

    Raises:
      InputError: there is no client, or it has not pulled the image.
    """
    client = next((client for client in _COMMANDS if shutil.which(client)), None)
    if client is None:
        what = f"an image in a registry needs a client on PATH; install {' or '.join(_COMMANDS)}, or give a file or a directory"
        raise InputError([format_problem("image", text, what)])
    layout = os.path.join(directory, "layout")
    insecure = reference.is_loopback(name)
    try:
        status = run_limited([client, *_COMMANDS[client](name, layout, insecure)], IDLE_LIMIT, stdout=sys.stderr)
    except HangingError as error:
        raise InputError([format_problem("image", text, f"{client} has not pulled it: it {error}")]) from None
    if status:
        raise InputError([format_problem("image", text, f"{client} has not pulled it (exit code {status})")])
    return layout


def _pull_by_crane(name: str, layout: str, insecure: bool) -> list[str]:
    return [*(["--insecure"] if insecure else []), "pull", "--format=oci", name, layout]


def _pull_by_skopeo(name: str, layout: str, insecure: bool) -> list[str]:
    flags = ["--src-tls-verify=false"] if insecure else []
    return ["copy", "--all", "--preserve-digests", "--quiet", *flags, _PREFIX + name, f"oci:{layout}"]


_COMMANDS: dict[str, Callable[[str, str, bool], list[str]]] = {"crane": _pull_by_crane, "skopeo": _pull_by_skopeo}
"""The arguments of each client, the preferred one first. Both keep the digests."""

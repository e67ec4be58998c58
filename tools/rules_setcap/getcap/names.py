"""Tells how to get an image that is given by its name: images are read from files and directories."""

from __future__ import annotations

import os
import re
import shlex

from rules_setcap.diagnostics.errors import InputError, problem

# containers/image transports/transports.go.
_STORES = ("docker", "docker-daemon", "containers-storage")
_FILES = ("dir", "docker-archive", "oci", "oci-archive")
# The grammar of github.com/distribution/reference, roughly.
_NAME = re.compile(r"(?:[\w.-]+(?::[0-9]+)?/)*[a-z0-9][a-z0-9._-]*(?::[\w][\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?", re.ASCII)


def check(path: str) -> None:
    """Checks that a path is not the name of an image.

    Raises:
      InputError: there is nothing at the path, and it may be the name of an image; with the command that gets the image.
    """
    if os.path.lexists(path):
        return
    transport, colon, rest = path.partition(":")
    if colon and transport in _FILES and rest:
        file = rest if os.path.lexists(rest) else rest.partition(":")[0]
        raise InputError([problem("image", path, f"paths have no {transport}: before them; write {shlex.quote(file)}")])
    if colon and transport in _STORES and rest:
        source = path
    elif _NAME.fullmatch(path) and (os.path.dirname(path) == "" or not os.path.isdir(os.path.dirname(path))):
        source = "docker://" + path
    else:
        return
    name = re.sub("@sha256:.*|:[^/]*$", "", rest.removeprefix("//") if source == path else path).rpartition("/")[2]
    name = re.sub(r"[^A-Za-z0-9._-]", "", name).lstrip("-.") or "image"
    command = f"skopeo copy {shlex.quote(source)} oci:{name}"
    what = f'no such file or directory; if it is the name of an image, get that first: "{command}", and give "{name}"'
    raise InputError([problem("image", path, what)])

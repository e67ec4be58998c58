"""Recognizes the name of an image, or a directory of files, where the path of an image is expected.

Programs read images from files and directories. For an image in a registry or in an engine, the message tells how to copy it
to a directory. For a directory of files, the message tells how to pack them.
"""

from __future__ import annotations

import errno
import os
import re
import shlex

from rules_setcap.diagnostics.errors import InputError, format_problem
from rules_setcap.diagnostics.files import open_regular
from rules_setcap.oci.layout_reader import describe_layout_hint
from rules_setcap.oci.reference import is_loopback

# Transports of skopeo: containers/image, transports/transports.go.
_STORE_TRANSPORTS = ("docker", "docker-daemon", "containers-storage")
_FILE_TRANSPORTS = ("dir", "docker-archive", "oci", "oci-archive")
_DOCUMENT = 1 << 16  # The bytes that are read of a descriptor, and of the index.json of a layout that Bazel built.
_ARCHIVE_NAME = re.compile(r"\.(tar(\.\w+)?|tgz|tzst)$", re.ASCII)  # An image is hardly called so.
# An approximation of the grammar of github.com/distribution/reference.
_REFERENCE = re.compile(
    r"(?:[\w.-]+(?::[0-9]+)?/)*[a-z0-9][a-z0-9._-]*(?::[\w][\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?", re.ASCII
)


def reject_image_name(path: str) -> None:
    """Reports a path that does not exist and looks like the name of an image, and a layout that is not of the last build.

    Raises:
      InputError: with the command that copies or builds the image, or the path without its transport.
    """
    _reject_old_layout(path)
    if os.path.lexists(path):
        return
    transport, colon, rest = path.partition(":")
    if colon and transport in _FILE_TRANSPORTS and rest:
        file = rest if os.path.lexists(rest) else rest.partition(":")[0]
        raise InputError(
            [format_problem("image", path, f"must be a path, without the transport {transport}:; write {shlex.quote(file)}")]
        )
    if colon and transport in _STORE_TRANSPORTS and rest:
        source, reference = path, rest.removeprefix("//")
    elif (
        _REFERENCE.fullmatch(path)
        and not _ARCHIVE_NAME.search(path)
        and (os.path.dirname(path) == "" or not os.path.isdir(os.path.dirname(path)))
    ):
        source, reference = "docker://" + path, path
    else:
        return
    repository = re.sub("@sha256:.*|:[^/]*$", "", reference)
    directory = re.sub(r"[^A-Za-z0-9._-]", "", repository.rpartition("/")[2]).lstrip("-.") or "image"
    flag = "--src-tls-verify=false " if source.startswith("docker:") and is_loopback(reference) else ""
    command = f"skopeo copy {flag}{shlex.quote(source)} oci:{directory}"
    what = f'no such file or directory; if it is the name of an image, copy the image with "{command}", and write "{directory}"'
    raise InputError([format_problem("image", path, what)])


def _reject_old_layout(path: str) -> None:
    """Reports the layout of an `image` if `bazel build` has written only the other outputs of the target since.

    Raises:
      InputError: with the command that builds the layout.
    """
    built = _read_digests(path.rstrip("/") + ".descriptor.json")
    if not built:
        return
    package, _, name = path.rstrip("/").removeprefix("bazel-bin/").rpartition("/")
    label = f"//{package}:{name}" if path.startswith("bazel-bin/") else "its label"
    command = f'run "bazel build --output_groups=oci_layout {label}"'
    if not os.path.lexists(path):
        raise InputError([format_problem("image", path, f"has not been built; {command}")])
    digests = _read_digests(os.path.join(path, "index.json"))
    if digests and built[0] not in digests:
        what = f"is of an earlier build: it has {digests[0]}, and the last build made {built[0]}; {command}"
        raise InputError([format_problem("image", path, what)])


def _read_digests(path: str) -> list[str]:
    """Returns the digests in a small JSON file; an empty list if it is not one, or cannot be read."""
    try:
        with open_regular(path) as file:
            data = file.read(_DOCUMENT)
    except OSError:
        return []
    return [digest.decode() for digest in re.findall(rb'"digest": ?"(sha256:[0-9a-f]{64})"', data)]


def reject_plain_directory(path: str, reader: str = "") -> None:
    """Reports a directory that has nothing of an OCI image layout.

    Args:
      path: the path of the directory.
      reader: the command that reads a tar of files from standard input; "" if the program reads none.

    Raises:
      InputError: with the command that reads its files as one layer, as `getcap -r` of libcap would, if there is one.
    """
    if not os.path.isdir(path) or any(
        os.path.lexists(os.path.join(path, name)) for name in ("index.json", "oci-layout", "blobs")
    ):
        return
    hint = describe_layout_hint(path)
    if reader and not hint.endswith("..."):
        tar = "tar --xattrs --xattrs-include=security.capability"
        hint += f', or the files of a directory as a tar: "{tar} -cC {shlex.quote(path)} . | {reader}"'
    raise InputError([format_problem("image", path, f"index.json cannot be read: {os.strerror(errno.ENOENT)}{hint}")])

"""Finds the blobs of layers among the outputs of the build, and has Bazel download those that it has not downloaded."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import sys
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rules_setcap.delivery.errors import DeliveryError
from rules_setcap.diagnostics.errors import quote
from rules_setcap.diagnostics.programs import HangingError
from rules_setcap.oci.blobs import blob_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rules_setcap.delivery.release.model import ReleaseImage
    from rules_setcap.delivery.release.running_programs import RunningPrograms

_REGEX_SIZE = 60_000
"""The longest regular expression in one argument; Linux takes 131,072 bytes (MAX_ARG_STRLEN)."""
_CHUNK = 1 << 20
_PROGRESS = ("--show_progress", "--show_progress_rate_limit=10")
"""Flags with which Bazel prints something now and then while it works."""
_SILENCE = 120.0
"""The time in which Bazel prints something, in seconds. While an action runs, it prints a line every 20 to 30 seconds."""


@dataclass(frozen=True, slots=True)
class NestedBuild:
    """How Bazel is called to download blobs.

    Attributes:
      command: the command, such as "bazel"; "" for the first that is found.
      flags: the flags of `bazel build` that the user adds.
    """

    command: str
    flags: Sequence[str]


class LocalBlobs:
    """The blobs of a release on this machine."""

    def __init__(self, execution_root: str, build: NestedBuild, programs: RunningPrograms) -> None:
        """Creates an instance.

        Args:
          execution_root: the path of Bazel's execution root; "" if it is not known.
          build: how Bazel is called.
          programs: runs Bazel.
        """
        self._root, self._build, self._programs = execution_root, build, programs
        self._paths: dict[str, str] = {}

    def find(self, image: ReleaseImage, digest: str, size: int) -> str:
        """Returns the path of a blob; "" if it is not on this machine."""
        path = self._paths.get(digest, "")
        if not path:
            candidates = [image.blob_paths[digest]] if digest in image.blob_paths else []
            candidates += [blob_path(layout, digest) for layout in image.layouts]
            for candidate in map(self._resolve, candidates):
                if os.path.isfile(candidate) and os.stat(candidate).st_size == size:
                    path = self._paths[digest] = candidate
                    break
        return path

    def fetch(self, missing: Mapping[str, tuple[ReleaseImage, int]]) -> None:
        """Has Bazel download blobs. It finds them in its remote cache, or builds them.

        Args:
          missing: for each digest, an image that has it, and its size.

        Raises:
          DeliveryError: Bazel fails, or does not write the blobs.
        """
        workspace = os.environ.get("BUILD_WORKSPACE_DIRECTORY")
        if not self._root or not workspace:
            raise DeliveryError(
                f"{len(missing)} blobs are not on this machine, for instance {next(iter(missing))}; "
                "start the release by bazel run, which lets it have Bazel download them"
            )
        command = find_bazel(self._build.command, workspace)
        labels = sorted({image.label for image, _ in missing.values()})
        built = [image.blob_paths[digest] for digest, (image, _) in missing.items() if digest in image.blob_paths]
        with tempfile.NamedTemporaryFile("w", suffix=".targets") as targets:
            targets.write("".join(f"{label}\n" for label in labels))
            targets.flush()
            flags = list_download_flags(built) if len(built) == len(missing) else ["--remote_download_outputs=toplevel"]
            arguments = [*command, "build", *_PROGRESS, *self._build.flags, "--output_groups=layers", *flags, "--show_result=0"]
            print(f"downloading {len(missing)} blobs by {shlex.join(command)} build", file=sys.stderr)
            try:
                status = self._programs.run(
                    [*arguments, f"--target_pattern_file={targets.name}"],
                    stdout=sys.stderr,
                    directory=workspace,
                    limit=max(self._programs.limit, _SILENCE),
                    rate=0,
                )
            except HangingError as error:
                what = f"it {error}, and has not downloaded the blobs; --timeout sets this limit"
                raise DeliveryError(f"{shlex.join(command)} build: {what}") from None
            except OSError as error:
                raise DeliveryError(f"{command[0]} cannot be started: {error.strerror}; set --bazel") from None
        if status:
            raise DeliveryError(
                f"{shlex.join(command)} build has not downloaded the blobs (exit code {status}); if bazel run has flags, "
                "such as --config, repeat them as --build-flag=--config=..."
            )
        lacking = [digest for digest, (image, size) in missing.items() if not self.find(image, digest, size)]
        if lacking:
            image, _ = missing[lacking[0]]
            raise DeliveryError(
                f"{shlex.join(command)} build has not written {len(lacking)} blobs, for instance {lacking[0]} of {image.label}; {_HINT}"
            )

    def verify(self, image: ReleaseImage, digest: str, size: int) -> str:
        """Returns the path of a blob, after a check of its content.

        Raises:
          DeliveryError: the file is missing, or has another digest.
        """
        path = self.find(image, digest, size)
        if not path:
            raise DeliveryError(f"the blob {digest} is not on this machine")
        hashed = hashlib.sha256()
        with open(path, "rb") as file:
            while piece := file.read(_CHUNK):
                hashed.update(piece)
        if f"sha256:{hashed.hexdigest()}" != digest:
            raise DeliveryError(
                f"the blob {path} has the digest sha256:{hashed.hexdigest()}, and the image needs {digest}; {_HINT}"
            )
        return path

    def _resolve(self, path: str) -> str:
        """Returns the absolute path of an execution path."""
        absolute = os.path.join(self._root, path)
        if path.startswith("external/") and not os.path.exists(absolute):
            # Bazel links the external repositories that a build uses into the execution root, and only those.
            return os.path.join(os.path.dirname(os.path.dirname(self._root)), path)
        return absolute


_HINT = (
    "the build that the release started differs from yours: repeat the flags of bazel run as --build-flag=--config=..., "
    'and its startup options in --bazel="bazel --output_base=..."'
)


def find_bazel(command: str, workspace: str) -> list[str]:
    """Returns the command that runs Bazel.

    Args:
      command: the command that the user has set; "" for none.
      workspace: the path of the workspace.

    Raises:
      DeliveryError: no Bazel is found.
    """
    if chosen := command or os.environ.get("BAZEL", ""):
        try:
            check_command(chosen)
        except ValueError as error:
            raise DeliveryError(f"$BAZEL: {quote(chosen)}: {error}") from None
        return shlex.split(chosen)
    wrapper = os.path.join(workspace, "bazelw")
    for path in (wrapper if os.access(wrapper, os.X_OK) else None, shutil.which("bazelisk"), shutil.which("bazel")):
        if path:
            return [path]
    raise DeliveryError("neither bazelisk nor bazel is on PATH, to download blobs; set --bazel")


def check_command(text: str) -> None:
    """Checks the command that runs Bazel.

    Raises:
      ValueError: it is not one; the message is a sentence.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ValueError(f"is not a command: {str(error).lower()}; write it as in a shell") from None
    if not words:
        raise ValueError("is not a command; write it as in a shell, or leave the flag out")


def list_download_flags(paths: Iterable[str]) -> list[str]:
    """Returns the flags of `bazel build` that download nothing but some outputs.

    Args:
      paths: the execution paths of the outputs.
    """
    patterns: list[list[str]] = [[]]
    size = 0
    for path in sorted(set(paths)):
        escaped = re.sub(r"([^A-Za-z0-9_/-])", r"\\\1", path)
        if size + len(escaped) > _REGEX_SIZE:
            patterns.append([])
            size = 0
        patterns[-1].append(escaped)
        size += len(escaped) + 1
    return ["--remote_download_outputs=minimal", *(f"--remote_download_regex=^(?:{'|'.join(group)})$" for group in patterns)]

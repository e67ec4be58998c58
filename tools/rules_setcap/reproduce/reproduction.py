"""Builds images twice and compares them."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, NamedTuple

from rules_setcap.diagnostics.errors import InputError, format_problem
from rules_setcap.reproduce import explanations
from rules_setcap.reproduce.bazel import Bazel, Flags
from rules_setcap.reproduce.build_events import BuiltImage, read_targets
from rules_setcap.reproduce.built_images import hash_tree, read_digest
from rules_setcap.reproduce.host import Host, runs
from rules_setcap.reproduce.outcome import ComparedImage, Outcome
from rules_setcap.reproduce.surroundings import Surroundings, make_user_command
from rules_setcap.reproduce.variations import vary
from rules_setcap.reproduce.workspace_copies import replace_mount_points

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

_WILDCARDS = ("...", ":all", ":*", ":all-targets")


class Request(NamedTuple):
    """The request of a user.

    Attributes:
      targets: labels and patterns.
      workspace: the absolute path of the workspace.
      bazel: the path of Bazel.
      flags: flags for both builds.
      kept: the names of the variations that are not made.
      work_directory: the directory below which both builds are made.
      keeps_outputs: whether the builds stay there.
    """

    targets: Sequence[str]
    workspace: str
    bazel: str
    flags: Flags
    kept: Collection[str]
    work_directory: str
    keeps_outputs: bool


def reproduce(request: Request) -> Outcome:
    """Builds images twice and compares them.

    Raises:
      InputError: a build fails, or a target is not an image.
      OSError: the directories cannot be made.
    """
    with _make_directory(request) as directory:
        first, second = (_make_surroundings(request, directory, name) for name in ("first", "second"))
        varied, not_varied = vary(first, second, Host(request.bazel), request.kept)
        outcome = Outcome(list(request.targets), "", varied, not_varied)
        bazels = (
            Bazel(request.bazel, first, "first build", request.flags),
            Bazel(request.bazel, second, "second build", request.flags),
        )
        is_kept = first.output_base == second.output_base
        try:
            labels = _build_first(request, bazels[0], second, outcome)
            images = _select_images(request, bazels[0], outcome)
            if is_kept:
                images = [_copy_image(image, first.directory) for image in images]
                _remove_tree(first.output_base)
            _hand_over(second)
            _say("2/3 second build")
            _build(bazels[1], labels, outcome)
        finally:
            _clean_up(second)
        _say("3/3 comparing")
        start = time.monotonic()
        others = {image.execution_path: image for target in read_targets(bazels[1].events) for image in target.images}
        pairs = [(image, others.get(image.execution_path)) for image in images]
        outcome.images = [_compare_image(*pair) for pair in pairs]
        explanations.explain(outcome, bazels, (first, second), pairs)
        outcome.seconds.append(time.monotonic() - start)
        return outcome


def _build_first(request: Request, bazel: Bazel, second: Surroundings, outcome: Outcome) -> list[str]:
    """Makes the first build and returns the labels of the targets that it built."""
    _say("1/3 first build")
    try:
        patterns = [target for target in request.targets if target.endswith(_WILDCARDS) or target.startswith("-")]
        labels = [target for target in request.targets if target not in patterns]
        if patterns:
            labels += bazel.find_images(patterns)
        if not labels:
            raise InputError([format_problem("targets", " ".join(patterns), "match no image; give the label of one")])
        _build(bazel, labels, outcome, stops=False)
        info = bazel.read_info()
        outcome.bazel = info.get("release", "")
        _share_downloads(info, second)
    finally:
        bazel.stop()
    return labels


def _build(bazel: Bazel, labels: Sequence[str], outcome: Outcome, *, stops: bool = True) -> None:
    """Makes a build and notes its times."""
    start = time.monotonic()
    outcome.started.append(time.time())
    try:
        bazel.build(labels)
    finally:
        if stops:
            bazel.stop()
    outcome.seconds.append(time.monotonic() - start)


def _select_images(request: Request, bazel: Bazel, outcome: Outcome) -> list[BuiltImage]:
    """Returns the images of the first build.

    Raises:
      InputError: a target that the user named is not an image.
    """
    images: list[BuiltImage] = []
    problems = []
    has_pattern = any(target.endswith(_WILDCARDS) for target in request.targets)
    for target in read_targets(bazel.events):
        images += target.images
        if target.images:
            continue
        outcome.skipped.append(target.label)
        if not has_pattern:
            what = f"none of its outputs ({target.files}) is an OCI layout or archive; give an image, an image_index, or a target that makes one"
            problems.append(format_problem("target", target.label, what))
    if problems:
        raise InputError(problems)
    if not images:
        raise InputError([format_problem("targets", " ".join(request.targets), "match no image; give the label of one")])
    return images


def _compare_image(first: BuiltImage, second: BuiltImage | None) -> ComparedImage:
    """Compares the files of an image."""
    if not second:
        image = ComparedImage(first.label, first.execution_path, read_digest(first.path), "", is_same=False)
        image.problems.append("the second build did not make it")
        return image
    same = hash_tree(first.path) == hash_tree(second.path)
    image = ComparedImage(first.label, first.execution_path, read_digest(first.path), read_digest(second.path), same)
    if not same:
        explanations.compare_images(image, first.path, second.path)
    return image


def _make_surroundings(request: Request, directory: str, name: str) -> Surroundings:
    """Returns the surroundings of a build, before anything is varied."""
    own = os.path.join(directory, name)
    os.makedirs(own)
    return Surroundings(own, os.path.join(directory, "first", "output_base"), request.workspace)


@contextlib.contextmanager
def _make_directory(request: Request) -> Iterator[str]:
    """Makes the directory of both builds, and removes it afterwards."""
    directory = tempfile.mkdtemp(prefix="rules_setcap_reproduce_", dir=request.work_directory)
    os.chmod(directory, 0o755)  # The second build may run as another user.
    try:
        yield directory
    finally:
        if request.keeps_outputs:
            _say(f"the builds are in {directory}")
        else:
            _remove_tree(directory)


def _share_downloads(info: dict[str, str], second: Surroundings) -> None:
    """Lets the second build use what Bazel unpacked and downloaded for the first, although it may have another HOME.

    Args:
      info: what `bazel info` says in the first build.
      second: the surroundings of the second build.
    """
    if "HOME" not in second.environment:
        return
    base, cache = info.get("install_base", ""), info.get("repository_cache", "")
    become = [] if second.user is None else make_user_command(second.user)
    if runs([*become, "test", "-r", os.path.join(base, "install_base_key")]):
        second.startup_options.append(f"--install_base={base}")
    if not os.path.isdir(cache):
        return
    if second.user is None:
        second.options.append(f"--repository_cache={cache}")
        return
    # Another user cannot write into the cache. Directories of its own with links to the files take no space.
    own = os.path.join(second.directory, "repository_cache")
    if subprocess.run(["cp", "-al", "--", cache, own], check=False, capture_output=True).returncode == 0:
        second.options.append(f"--repository_cache={own}")


def _hand_over(surroundings: Surroundings) -> None:
    """Gives the directories of a build to the user that builds."""
    directories = [surroundings.directory]
    if surroundings.sandbox_base:
        os.makedirs(surroundings.sandbox_base, exist_ok=True)
        directories.append(surroundings.sandbox_base)
    if surroundings.user is None:
        return
    for top in directories:
        for directory, _, _ in os.walk(top):
            os.chown(directory, surroundings.user, surroundings.user)


def _clean_up(surroundings: Surroundings) -> None:
    """Removes what a build leaves outside its directory, and lets links into its workspace lead to the real one."""
    if surroundings.sandbox_base:
        _remove_tree(surroundings.sandbox_base)
    with contextlib.suppress(OSError):
        replace_mount_points([pair for pair in surroundings.mounts if pair[1].startswith(surroundings.directory + "/")])


def _copy_image(image: BuiltImage, directory: str) -> BuiltImage:
    """Copies an image out of an output base that the second build will use too."""
    target = os.path.join(directory, "images", image.execution_path)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.isdir(image.path):
        shutil.copytree(image.path, target)
    else:
        shutil.copyfile(image.path, target)
    return image._replace(path=target)


def _remove_tree(path: str) -> None:
    """Removes a directory, with directories that Bazel has made read-only."""

    def add_permission(function: object, name: str, _error: object) -> None:
        with contextlib.suppress(OSError):
            for each in (os.path.dirname(name), name):
                if not os.path.islink(each):
                    os.chmod(each, os.lstat(each).st_mode | stat.S_IRWXU)
            shutil.rmtree(name) if os.path.isdir(name) and not os.path.islink(name) else os.unlink(name)

    shutil.rmtree(path, onerror=add_permission)


def _say(step: str) -> None:
    """Prints a step on stderr."""
    print(f"reproduce: {step}", file=sys.stderr, flush=True)

"""The archive of a release has what users need and nothing else, and a workspace builds and tests with it.

The archive is made of the source tree as a commit of it would be: the test commits a copy, and runs tools/release/prep.py there.
"""

from __future__ import annotations

import base64
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from support import require

# The source tree, which is not an input of the test.
ROOT = pathlib.Path("pyproject.toml").resolve().parent
# What is in the archive beside //:distribution: documentation, and what the Bazel Central Registry tests.
OTHER_FILES = {".bazelignore", "CHANGELOG.md", "README.md", "SECURITY.md"}
OTHER_DIRECTORIES = ("docs/", "e2e/smoke/")
MAX_SIZE = 750_000
"""Bytes. A larger archive has something that users do not need."""


@dataclass(frozen=True)
class Release:
    """The output of tools/release/prep.py.

    Attributes:
      repository: the copy of the source tree.
      tag: the tag that was released.
      archive: the archive.
      notes: the release notes.
    """

    repository: pathlib.Path
    tag: str
    archive: pathlib.Path
    notes: str


def _run_git(directory: pathlib.Path, *arguments: str) -> str:
    identity = ["-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "safe.directory=*"]
    return subprocess.run(["git", *identity, *arguments], cwd=directory, check=True, capture_output=True, text=True).stdout


def _list_source_files() -> list[str]:
    """Returns the paths of the files that the source tree has and Git does not ignore."""
    listed = _run_git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    return sorted({path for path in listed if path and os.path.lexists(ROOT / path)})


def _prepare(repository: pathlib.Path, tag: str, directory: pathlib.Path, owner: str = "") -> subprocess.CompletedProcess[str]:
    """Runs tools/release/prep.py, in a workflow of GitHub if there is an owner of the repository."""
    environment = {name: value for name, value in os.environ.items() if name != "GITHUB_REPOSITORY"}
    if owner:
        environment["GITHUB_REPOSITORY"] = f"{owner}/rules_setcap"
    command = [sys.executable, "-B", repository / "tools/release/prep.py", tag, directory]
    return subprocess.run(command, env=environment, check=False, capture_output=True, text=True)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    repository = tmp_path_factory.mktemp("repository")
    for path in _list_source_files():
        target = repository / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, target, follow_symlinks=False)
    _run_git(repository, "init", "--quiet")
    _run_git(repository, "add", "--all", "--force")
    _run_git(repository, "commit", "--quiet", "--message=Copy the source tree")
    module = (repository / "MODULE.bazel").read_text()
    version = re.search(r'version = "(.*)"', module)
    assert version
    tag = "v" + version[1]
    _run_git(repository, "tag", tag)
    directory = tmp_path_factory.mktemp("release")
    done = _prepare(repository, tag, directory)
    assert done.returncode == 0, done.stderr
    (archive,) = directory.iterdir()
    return Release(repository, tag, archive, done.stdout)


def test_it_has_what_users_need_and_nothing_else(release):
    prefix = f"rules_setcap-{release.tag.removeprefix('v')}/"
    with tarfile.open(release.archive) as archive:
        files = {member.name for member in archive if not member.isdir()}
    assert {name for name in files if not name.startswith(prefix)} == set()
    expected = {os.path.normpath(path) for path in os.environ["DISTRIBUTION"].split()} | OTHER_FILES
    expected |= {path for path in _list_source_files() if path.startswith(OTHER_DIRECTORIES)}
    assert {name.removeprefix(prefix) for name in files} == expected


def test_it_is_small(release):
    size = release.archive.stat().st_size
    print(f"\n{release.archive.name}: {size:,} bytes")
    assert size < MAX_SIZE


def test_the_name_is_that_of_the_registry_template(release):
    version = release.tag.removeprefix("v")
    template = (ROOT / ".bcr/source.template.json").read_text()
    for name, value in (("{REPO}", "rules_setcap"), ("{TAG}", release.tag), ("{VERSION}", version)):
        template = template.replace(name, value)
    assert f'"strip_prefix": "rules_setcap-{version}"' in template
    assert f"/releases/download/{release.tag}/{release.archive.name}" in template


def test_the_notes_tell_what_has_changed_and_how_to_use_it(release):
    integrity = "sha256-" + base64.b64encode(hashlib.sha256(release.archive.read_bytes()).digest()).decode()
    assert release.notes.startswith("The first release")
    for text in (
        f'bazel_dep(name = "rules_setcap", version = "{release.tag.removeprefix("v")}")',
        f'integrity = "{integrity}"',
        f"releases/download/{release.tag}/{release.archive.name}",
        "rules_setcap_dependencies()",
        f"{release.archive.stat().st_size:,} bytes",
    ):
        assert text in release.notes


def test_the_same_tag_gives_the_same_archive(release, tmp_path):
    assert _prepare(release.repository, release.tag, tmp_path).returncode == 0
    assert (tmp_path / release.archive.name).read_bytes() == release.archive.read_bytes()


def test_a_tag_that_is_not_ready_is_refused(release, tmp_path):
    _run_git(release.repository, "tag", "v9.9.9")
    done = _prepare(release.repository, "v9.9.9", tmp_path, owner="example")
    version = release.tag.removeprefix("v")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f'prep: tag: "v9.9.9": MODULE.bazel has the version "{version}"; write "v{version}", or change MODULE.bazel',
        'prep: .bcr/metadata.template.json: "repository": must be ["github:example/rules_setcap"]; replace OWNER and the id 0 of its user in the file',
    ]
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def smoke(release: Release, tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Unpacks the archive, and returns its workspace e2e/smoke, which the Bazel Central Registry uses in the same way."""
    with tarfile.open(release.archive) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = (path for path in tmp_path.iterdir() if path.name.startswith("rules_setcap-"))
    directory = unpacked / "e2e/smoke"
    yield directory
    _run_bazel(directory, "shutdown")


def _run_bazel(directory: pathlib.Path, command: str, *arguments: str) -> str:
    """Runs Bazel with its default flags, and returns what it prints."""
    bazel = shutil.which("bazel") or require.tool("bazelisk")
    home = directory.parents[2] / "home"
    home.mkdir(exist_ok=True)
    startup = [f"--output_user_root={home}/bazel", "--max_idle_secs=20"]
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], "USER": "consumer"}
    options = ["--color=no", "--curses=no", "--noshow_progress"]
    done = subprocess.run(
        [bazel, *startup, command, *options, *arguments],
        cwd=directory,
        env=environment,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_a_workspace_builds_and_tests_with_it(smoke):
    output = _run_bazel(smoke, "test", "--lockfile_mode=off", "//...")
    assert "3 tests pass" in output
    layers = sorted(path.name for path in (smoke / "bazel-bin").glob("*.tar.gz"))
    assert layers == ["data.tar.gz", "image_binary.tar.gz", "portable_image_binary.tar.gz"]

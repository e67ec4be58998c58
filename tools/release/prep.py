#!/usr/bin/env python3
"""Prepares a release: writes its archive, and prints its notes.

Usage: tools/release/prep.py TAG [DIRECTORY]

The archive is `DIRECTORY/rules_setcap-TAG.tar.gz`; the directory is the current one by default. It has the files of the tag that
.gitattributes does not exclude. The notes, on stdout, are the tag's section of CHANGELOG.md, and what users write to depend on
the release, with the integrity of the archive. GITHUB_REPOSITORY is the owner and the name of the repository, as in a workflow of
GitHub.
"""

from __future__ import annotations

import ast
import base64
import gzip
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_METADATA = ".bcr/metadata.template.json"

_NOTES = """\
{changes}

## Use it

In `MODULE.bazel`, for Bazel 7, 8 and 9:

```starlark
bazel_dep(name = "rules_setcap", version = "{version}")
```

In a `WORKSPACE` file, for Bazel 7 and 8:

```starlark
load("@bazel_tools//tools/build_defs/repo:http.bzl", "http_archive")

http_archive(
    name = "rules_setcap",
    integrity = "{integrity}",
    strip_prefix = "rules_setcap-{version}",
    url = "https://github.com/{repository}/releases/download/{tag}/{archive}",
)

{workspace}
```

The archive has {size:,} bytes.
"""


def _run_git(*arguments: str) -> bytes:
    """Returns what a git command prints."""
    return subprocess.run(["git", *arguments], cwd=_ROOT, check=True, stdout=subprocess.PIPE).stdout


def _read_file(tag: str, path: str) -> str:
    """Returns the text of a file of the tag."""
    return _run_git("show", f"{tag}:{path}").decode()


def read_version(module: str) -> str:
    """Returns the version in the text of a MODULE.bazel."""
    for node in ast.walk(ast.parse(module)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "module":
            return next(str(ast.literal_eval(keyword.value)) for keyword in node.keywords if keyword.arg == "version")
    raise ValueError("MODULE.bazel has no module()")


def read_changes(changelog: str, version: str) -> str:
    """Returns the section of a version in the text of CHANGELOG.md, without its heading; "" if it has none."""
    for section in re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]:
        heading, _, text = section.partition("\n")
        if heading.split()[:1] == [version]:
            return text.strip()
    return ""


def _read_workspace(tag: str) -> str:
    """Returns what a WORKSPACE file has after the http_archive, which rules/repositories.bzl documents."""
    document = ast.get_docstring(ast.parse(_read_file(tag, "rules/repositories.bzl")))
    block = re.search(r"```starlark\n(.*?)```", document or "", re.DOTALL)
    if not block:
        raise ValueError("rules/repositories.bzl: the docstring has no starlark block")
    return block[1].strip()


def find_problems(tag: str, repository: str) -> list[str]:
    """Returns why the tag cannot be released, a message for each reason.

    Args:
      tag: the name of a tag of this repository.
      repository: owner and name on GitHub; "" if they are not known.
    """
    problems = []
    version = read_version(_read_file(tag, "MODULE.bazel"))
    if tag != f"v{version}":
        problems.append(f'tag: "{tag}": MODULE.bazel has the version "{version}"; write "v{version}", or change MODULE.bazel')
    if not read_changes(_read_file(tag, "CHANGELOG.md"), version):
        problems.append(f'CHANGELOG.md: "{version}": no section has this heading; write "## {version}" and what has changed')
    metadata = _read_file(tag, _METADATA)
    complete = "OWNER" not in metadata and all(maintainer["github_user_id"] for maintainer in json.loads(metadata)["maintainers"])
    if repository and (not complete or f"github:{repository}" not in json.loads(metadata)["repository"]):
        problems.append(
            f'{_METADATA}: "repository": must be ["github:{repository}"]; replace OWNER and the id 0 of its user in the file'
        )
    return problems


def write_archive(tag: str, version: str, archive: pathlib.Path) -> None:
    """Writes the archive of a tag: its tar, as git makes it, in gzip without a time."""
    tar = _run_git("archive", "--format=tar", f"--prefix=rules_setcap-{version}/", tag)
    archive.write_bytes(gzip.compress(tar, compresslevel=9, mtime=0))


def main(arguments: list[str]) -> int:
    """Runs the command line, and returns the exit status."""
    if len(arguments) not in (1, 2) or arguments[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    tag, directory = arguments[0], pathlib.Path(*arguments[1:])
    repository = os.environ.get("GITHUB_REPOSITORY", "")
    problems = find_problems(tag, repository)
    for problem in problems:
        print(f"prep: {problem}", file=sys.stderr)
    if problems:
        return 1
    version = read_version(_read_file(tag, "MODULE.bazel"))
    archive = directory / f"rules_setcap-{tag}.tar.gz"
    write_archive(tag, version, archive)
    data = archive.read_bytes()
    notes = _NOTES.format(
        archive=archive.name,
        changes=read_changes(_read_file(tag, "CHANGELOG.md"), version),
        integrity="sha256-" + base64.b64encode(hashlib.sha256(data).digest()).decode(),
        repository=repository or "OWNER/rules_setcap",
        size=len(data),
        tag=tag,
        version=version,
        workspace=_read_workspace(tag),
    )
    print(notes, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

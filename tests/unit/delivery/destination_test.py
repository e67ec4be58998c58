"""Destinations are resolved from attributes, files and the workspace status, and all their problems are reported."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest

from rules_setcap.oci import reference
from support import packer

STATUS = {"stable": "STABLE_GIT_COMMIT 3f2c9d1\nBUILD_EMBED_LABEL \n", "volatile": "BUILD_TIMESTAMP 1700000000\n"}


def _resolve(directory: pathlib.Path, attributes: dict[str, Any], *flags: str, **files: str) -> packer.Done:
    """Runs the action that resolves a destination.

    Args:
      directory: the working directory.
      attributes: the attributes of the target.
      *flags: further flags.
      **files: the text of files to write first, by name.
    """
    for name, text in files.items():
        (directory / name).write_text(text)
    return packer.run("destination", "--attributes=" + json.dumps(attributes), *flags, "--output=output", cwd=directory)


def _read_problems(done: packer.Done) -> list[str]:
    """Returns the problems that an action reports, without the label."""
    assert done.status == 1
    prefix = f"{packer.TARGET}: "
    assert all(line.startswith(prefix) for line in done.stderr.splitlines())
    return [line[len(prefix) :] for line in done.stderr.splitlines()]


def _set_attributes(repository: str = "", *tags: str) -> dict[str, Any]:
    return {"repository": repository, "remote_tags": tags}


REPOSITORIES = [
    "localhost/app",
    "localhost:5000/a/b/c",
    "127.0.0.1:5000/app",
    "[::1]:5000/app",
    "registry.example.test/team-x/app_y/z__w/1.2--3",
]


@pytest.mark.parametrize("repository", REPOSITORIES)
def test_a_repository_needs_a_registry_and_a_path(tmp_path, repository):
    assert _resolve(tmp_path, _set_attributes(repository, "v1", "V_2.x-y", "v1")) == (0, "")
    assert json.loads((tmp_path / "output").read_bytes()) == {"repository": repository, "tags": ["v1", "V_2.x-y"]}


INVALID_REPOSITORIES = {
    "app": "names no registry; write its host first, as host/path or host:port/path",
    "team/app": "names no registry; write its host first, as host/path or host:port/path",
    "localhost:5000": "names no registry; write its host first, as host/path or host:port/path",
    "localhost:port/app": '"localhost:port" is not a valid host; write host/path or host:port/path',
    "localhost/team/app:v1": '"team/app:v1" has a tag; tags have an attribute of their own, remote_tags: write "localhost/team/app"',
    "localhost/app@sha256:0": '"app@sha256:0" has a digest; the push computes it: write "localhost/app"',
    "localhost:65536/app": "port 65536 is out of range (1 to 65535)",
    "localhost:0/app": "port 0 is out of range (1 to 65535)",
    "-a.b/app": '"-a.b" is not a valid host; write host/path or host:port/path',
}
INVALID_PATHS = ["App", "App:v1", "@sha256:0", "a//b", "a/", "a..b", "a___b", "é", "app\n"]


def test_an_invalid_repository_is_a_problem(tmp_path):
    for repository, what in INVALID_REPOSITORIES.items():
        assert _read_problems(_resolve(tmp_path, _set_attributes(repository))) == [
            f"repository: {json.dumps(repository)}: {what}"
        ]
    for path in INVALID_PATHS:
        (message,) = _read_problems(_resolve(tmp_path, _set_attributes("localhost/" + path)))
        assert f"{json.dumps(path)} is not a valid path of a repository: it must have lower-case letters and digits" in message
    (message,) = _read_problems(_resolve(tmp_path, _set_attributes("localhost/" + "a" * 250)))
    assert message.endswith(": has 260 characters; a repository has at most 255")
    assert not (tmp_path / "output").exists()


def test_all_problems_are_reported_at_once(tmp_path):
    done = _resolve(
        tmp_path,
        _set_attributes("app", "-v", "v 1", "{STABLE_GIT_COMMIT}"),
        "--repository-file=repository.txt",
        "--remote-tags-file=tags.txt",
        '--named=["remote_tags_file","//app:tags"]=tags.txt',
        **{"repository.txt": "localhost/app\n", "tags.txt": "ok\n\n" + "x" * 129},
    )
    rule = 'is not a valid tag: it must have up to 128 letters, digits, "_", "." and "-", and must not begin with "." or "-"'
    assert _read_problems(done) == [
        'repository: "app": is set, and so is repository_file; keep one',
        f'remote_tags: "-v": "-v" {rule}',
        f'remote_tags: "v 1": "v 1" {rule}',
        'remote_tags: "{STABLE_GIT_COMMIT}": has the placeholder {STABLE_GIT_COMMIT}; set stamp = True',
        f'remote_tags_file: "//app:tags": line 3, "{"x" * 129}": "{"x" * 129}" {rule}',
    ]


def test_values_are_read_from_files(tmp_path):
    flags = "--repository-file=repository", "--remote-tags-file=tags"
    assert _resolve(tmp_path, _set_attributes("", "a"), *flags, repository=" localhost/app \n", tags="b\r\n\na\nc") == (0, "")
    assert json.loads((tmp_path / "output").read_bytes()) == {"repository": "localhost/app", "tags": ["a", "b", "c"]}
    done = _resolve(tmp_path, _set_attributes(), *flags, repository="localhost/a\nlocalhost/b\n", tags="x" * 1048577)
    assert _read_problems(done) == [
        'repository_file: "repository": has 2 lines; it must have one, the repository',
        'remote_tags_file: "tags": is too large (limit VALUES: 1048576 bytes)',
    ]
    (tmp_path / "tags").write_bytes(b"\xff\xfe")
    done = _resolve(tmp_path, _set_attributes(), flags[1])
    assert _read_problems(done) == ['remote_tags_file: "tags": is not UTF-8']


def test_placeholders_are_expanded(tmp_path):
    stamps = "--stamp=stable", "--stamp=volatile"
    attributes = _set_attributes("localhost/{STABLE_GIT_COMMIT}", "v-{STABLE_GIT_COMMIT}-{BUILD_TIMESTAMP}")
    assert _resolve(tmp_path, attributes, *stamps, **STATUS) == (0, "")
    assert json.loads((tmp_path / "output").read_bytes()) == {
        "repository": "localhost/3f2c9d1",
        "tags": ["v-3f2c9d1-1700000000"],
    }
    attributes = _set_attributes("localhost/app", "{STABLE_GIT}", "{BUILD_EMBED_LABEL}")
    assert _read_problems(_resolve(tmp_path, attributes, *stamps, **STATUS)) == [
        'remote_tags: "{STABLE_GIT}": the workspace status has no "STABLE_GIT"; '
        "it has BUILD_EMBED_LABEL, BUILD_TIMESTAMP, STABLE_GIT_COMMIT",
        'remote_tags: "{BUILD_EMBED_LABEL}": BUILD_EMBED_LABEL has no value in the workspace status',
    ]
    done = _resolve(tmp_path, _set_attributes("localhost/app", "v1"), *stamps, **STATUS)
    assert _read_problems(done) == [
        "stamp: true: has no effect: there is no placeholder such as {STABLE_GIT_COMMIT} in repository or remote_tags; "
        "write one, or leave stamp out"
    ]


# The name with its tag, the name that Docker expands it to, and the one that podman expands it to.
NAMES = {
    "app": ("app:latest", "docker.io/library/app:latest", "localhost/app:latest"),
    "app:dev": ("app:dev", "docker.io/library/app:dev", "localhost/app:dev"),
    "team/app:dev": ("team/app:dev", "docker.io/team/app:dev", "localhost/team/app:dev"),
    "docker.io/app:dev": ("docker.io/app:dev", "docker.io/library/app:dev", "docker.io/app:dev"),
    "index.docker.io/team/app": (
        "index.docker.io/team/app:latest",
        "docker.io/team/app:latest",
        "index.docker.io/team/app:latest",
    ),
    "localhost/app": ("localhost/app:latest",) * 3,
    "localhost:5000/app": ("localhost:5000/app:latest",) * 3,
    "registry.example.test/team/app:1.0": ("registry.example.test/team/app:1.0",) * 3,
}


@pytest.mark.parametrize("tag", NAMES)
def test_a_name_in_an_engine_is_completed(tmp_path, tag):
    assert _resolve(tmp_path, {"tag": tag}) == (0, "")
    name = json.loads((tmp_path / "output").read_bytes())["name"]
    assert (name, reference.expand_docker_name(name), reference.expand_podman_name(name)) == NAMES[tag]


def test_an_invalid_name_in_an_engine_is_a_problem(tmp_path):
    for tag in ("", "App:dev", "app:", ":dev", "app:a:b", "/app"):
        (message,) = _read_problems(_resolve(tmp_path, {"tag": tag}))
        assert message.startswith(f"tag: {json.dumps(tag)}: ")

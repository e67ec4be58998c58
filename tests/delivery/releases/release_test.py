"""A release pushes what the registry lacks, once, and moves the tags at the end."""

from __future__ import annotations

import json
import pathlib

import jsonschema
import pytest
from releases import NAMES, Shell, list_statuses

from support import registry_proxy


@pytest.fixture(params=["crane", "skopeo"])
def shell(request, tmp_path) -> Shell:
    return Shell(tmp_path, request.param)


@pytest.fixture
def prefix(proxy, path) -> str:
    """Returns a repository prefix that no other test uses."""
    return f"{proxy.host}/{path}"


def _path(prefix: str, name: str) -> str:
    """Returns the path of an image's repository in the registry."""
    return f"{prefix.partition('/')[2]}/team/{name}"


def test_every_image_is_pushed_with_its_tags(shell, registry, prefix):
    done = shell.run("--repository-prefix", prefix, "--tag", "v1", "--tag", "v2", "--output", "digests.json")
    assert done.returncode == 0, done.stderr
    assert list_statuses(done.stdout) == dict.fromkeys(NAMES, "pushed")
    for name, image in zip(NAMES, shell.read_digests(), strict=True):
        assert image["repository"] == f"{prefix}/team/{name}"
        assert registry.tags(_path(prefix, name)) == ["v1", "v2"]
        for reference in ("v1", "v2", image["digest"]):
            digest, manifest = registry.manifest(_path(prefix, name), reference)
            assert digest == image["digest"]
        for child in json.loads(manifest).get("manifests", ()):
            assert registry.manifest(_path(prefix, name), child["digest"])[0] == child["digest"]


def test_a_blob_of_two_images_travels_once(shell, registry, prefix):
    done = shell.run("--repository-prefix", prefix, "--tag", "v1")
    assert done.returncode == 0, done.stderr
    uploads = [digest for name in ("api", "web") for digest in registry.uploads(_path(prefix, name))]
    assert len(uploads) == len(set(uploads))
    for name in ("api", "web"):  # The registry has all of it in both repositories.
        manifest = json.loads(registry.manifest(_path(prefix, name), "v1")[1])
        for blob in (manifest["config"], *manifest["layers"]):
            assert len(registry.blob(_path(prefix, name), blob["digest"])) == blob["size"]


def test_an_unchanged_release_sends_one_request_for_each_tag(shell, proxy, prefix):
    flags = ("--repository-prefix", prefix, "--tag", "v1", "--tag", "v2")
    assert shell.run(*flags).returncode == 0
    proxy.heal()
    done = shell.run(*flags)
    assert (done.returncode, done.stderr) == (0, "")
    assert list_statuses(done.stdout) == dict.fromkeys(NAMES, "unchanged")
    assert done.stdout.splitlines()[-1] == "4 images: 4 unchanged; 0 B uploaded"
    assert proxy.count("HEAD .*/manifests/v[12]$") == 2 * len(NAMES)
    assert {request.path for request in proxy.requests if "/manifests/v" not in request.path} == {"/v2/"}


def test_another_tag_moves_without_an_upload(shell, proxy, registry, prefix):
    assert shell.run("--repository-prefix", prefix, "--tag", "v1").returncode == 0
    proxy.heal()
    done = shell.run("--repository-prefix", prefix, "--tag", "v1", "--tag", "v2")
    assert done.returncode == 0, done.stderr
    assert list_statuses(done.stdout) == dict.fromkeys(NAMES, "tagged")
    assert not proxy.count("^(POST|PATCH)|^PUT .*/blobs/")
    assert registry.tags(_path(prefix, "web")) == ["v1", "v2"]


def test_tags_move_after_all_blobs_and_manifests(shell, proxy, prefix):
    assert shell.run("--repository-prefix", prefix, "--tag", "v1").returncode == 0
    writes = [path for method, path, _ in proxy.requests if method == "PUT"]
    first = next(index for index, path in enumerate(writes) if path.endswith("/manifests/v1"))
    assert sum(path.endswith("/manifests/v1") for path in writes) == len(NAMES)
    assert all("/manifests/" in path for path in writes[first:])


def test_only_the_chosen_images_are_pushed(shell, registry, prefix):
    flags = ("--repository-prefix", prefix, "--tag", "v1")
    done = shell.run(*flags, "--only", "//tests/delivery/releases:push_api", "--only", "*/team/index")
    assert list_statuses(done.stdout) == {"api": "pushed", "index": "pushed"}, done.stderr
    done = shell.run(*flags)
    assert list_statuses(done.stdout) == {"api": "unchanged", "archive": "pushed", "index": "unchanged", "web": "pushed"}
    # The layer that both have is mounted from the repository that has it.
    assert len(registry.uploads(_path(prefix, "web"))) == 1


def test_the_targets_of_a_release_are_those_of_its_releases(shell, prefix):
    done = shell.run("--repository-prefix", prefix, target="services")
    assert list_statuses(done.stdout) == {"api": "pushed", "web": "pushed"}, done.stderr
    assert all(line.endswith("  latest") for line in done.stdout.splitlines()[:-1])


def test_a_dry_run_writes_nothing(shell, proxy, registry, prefix):
    flags = ("--repository-prefix", prefix, "--tag", "v1", "--dry-run", "--output", "digests.json")
    done = shell.run(*flags)
    assert list_statuses(done.stdout) == dict.fromkeys(NAMES, "pushed"), done.stderr
    assert "nothing was pushed (--dry-run)" in done.stdout
    assert {method for method, _, _ in proxy.requests} <= {"GET", "HEAD"}
    assert [image["status"] for image in shell.read_digests()] == ["pushed"] * len(NAMES)
    assert registry.tags(_path(prefix, "api")) == []


def _write_hook(shell: Shell, name: str, lines: str) -> str:
    hook = shell.directory / name
    hook.write_text(f"#!/bin/sh\n{lines}\n")
    hook.chmod(0o755)
    return f"./{name}"


def test_hooks_run_after_the_pushes_and_before_the_tags(shell, registry, proxy, prefix):
    log = shell.directory / "log"
    hook = _write_hook(shell, "hook", f'echo "$*" >> {log}')
    proxy.fail("PUT .*/manifests/v1$", lambda: log.open("a").write("tag\n") and None, 100)
    flags = ("--repository-prefix", prefix, "--tag", "v1", "--hook", hook, "--output", "digests.json")
    done = shell.run(*flags)
    assert done.returncode == 0, done.stderr
    references = sorted(f"{image['repository']}@{image['digest']}" for image in shell.read_digests())
    lines = log.read_text().splitlines()
    assert sorted(lines[: len(NAMES)]) == references and lines[len(NAMES) :] == ["tag"] * len(NAMES)
    log.unlink()
    assert shell.run(*flags).returncode == 0
    assert not log.exists()  # Nothing was pushed.


def test_a_failing_hook_leaves_the_tags(shell, registry, prefix):
    flags = ("--repository-prefix", prefix, "--tag", "v1")
    done = shell.run(*flags, "--hook", _write_hook(shell, "hook", 'case "$1" in */web@*) exit 3;; esac'))
    assert done.returncode == 1
    assert list_statuses(done.stdout) == {"api": "pushed", "archive": "pushed", "index": "pushed", "web": "failed"}
    assert "exit code 3" in done.stderr and "1 of 4 images failed, and no tag has moved; run it again to go on" in done.stderr
    assert [registry.tags(_path(prefix, name)) for name in NAMES] == [[]] * len(NAMES)
    done = shell.run(*flags, "--hook", _write_hook(shell, "hook", ""))
    assert list_statuses(done.stdout) == dict.fromkeys(NAMES, "tagged"), done.stderr


def test_hooks_of_the_target_run(tmp_path, proxy, prefix):
    shell = Shell(tmp_path)
    done = shell.run("--repository-prefix", prefix, "--output", "digests.json", target="hooked")
    assert done.returncode == 0, done.stderr
    (image,) = shell.read_digests()
    lines = [line for line in done.stderr.splitlines() if not line.startswith("[")]
    assert lines == [f"{kind} {image['repository']}@{image['digest']}" for kind in ("source", "generated")]


def test_a_registry_with_tokens(tmp_path, proxy, prefix):
    """crane gets the tokens, by the user's credentials; with skopeo, which gives none, skopeo asks the registry."""
    proxy.password = "user:password"
    for client in ("crane", "skopeo"):
        shell = Shell(tmp_path / client, client)
        flags = ("--repository-prefix", f"{prefix}/{client}", "--tag", "v1", "--retries", "0")
        done = shell.run(*flags)
        assert done.returncode == 1, done.stdout
        assert "no tag has moved" in done.stderr
        (shell.directory / ".docker").mkdir()
        config = {"auths": {proxy.host: {"auth": "dXNlcjpwYXNzd29yZA=="}}}
        (shell.directory / ".docker/config.json").write_text(json.dumps(config))
        done = shell.run(*flags)
        assert list_statuses(done.stdout) == dict.fromkeys(NAMES, "pushed"), done.stderr
        done = shell.run(*flags)
        assert list_statuses(done.stdout) == dict.fromkeys(NAMES, "unchanged"), done.stderr


def test_the_file_of_digests_is_as_its_schema(tmp_path, registry, proxy, prefix):
    shell = Shell(tmp_path)
    proxy.fail("^POST .*/team/web/", registry_proxy.Answer(403), 100)
    done = shell.run("--repository-prefix", prefix, "--tag", "v1", "--output", "digests.json")
    assert done.returncode == 1
    schema = json.loads(pathlib.Path("docs/reference/schemas/release-digests.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(json.loads((shell.directory / "digests.json").read_text()))
    api, archive, index, web = shell.read_digests()
    assert api["platforms"] == [
        {"digest": api["digest"], "platform": "linux/amd64", "capabilities": {"/app/probe": "cap_net_bind_service=p"}}
    ]
    assert archive["platforms"][0]["capabilities"] is None
    assert [each["platform"] for each in index["platforms"]] == ["linux/amd64", "linux/arm64/v8", "linux/arm/v7"]
    assert "error" not in api and web["error"]
    data = registry.manifest(_path(prefix, "api"), api["digest"])[1]
    manifest = json.loads(data)
    assert api["size"] == len(data) + sum(blob["size"] for blob in [manifest["config"], *manifest["layers"]])


def _change_digests(shell: Shell) -> None:
    """Changes the file of digests into that of an earlier release, with another api, another web, no index and another image."""
    path = shell.directory / "digests.json"
    document = json.loads(path.read_text())
    api, archive, _, web = document["images"]
    old = {**api, "digest": web["digest"], "repository": web["repository"]}
    old["platforms"] = [{**api["platforms"][0], "capabilities": {"/app/probe": "cap_net_raw=ep"}}]
    web = {**web, "digest": api["digest"], "repository": api["repository"]}
    document["images"] = [old, archive, web, {**archive, "label": "//gone:push"}]
    path.write_text(json.dumps(document))


def test_changes_since_another_release_are_listed(tmp_path, proxy, prefix):
    shell = Shell(tmp_path)
    flags = ("--repository-prefix", prefix)
    assert shell.run(*flags, "--output", "digests.json").returncode == 0
    done = shell.run(*flags, "--against", "digests.json")
    assert (done.returncode, done.stdout, done.stderr) == (0, "4 images against digests.json: none changed\n", "")
    api, _, index, web = (f"{image['repository']}@{image['digest']}" for image in shell.read_digests())
    archive = f"{shell.read_digests()[1]['repository']}@{shell.read_digests()[1]['digest']}"
    _change_digests(shell)
    proxy.heal()
    done = shell.run(*flags, "--against", "digests.json")
    package = "//tests/delivery/releases"
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "4 images against digests.json: 2 changed, 1 new, 1 gone",
        "",
        f"{package}:push_api: changed, also in its capabilities",
        "  /app/probe: cap_net_raw=ep -> cap_net_bind_service=p  (linux/amd64)",
        f"  - {web}",
        f"  + {api}",
        "",
        f"{package}:push_index: new, with capabilities",
        "  /app/program.elf: none -> cap_net_bind_service=p  (linux/amd64, linux/arm/v7, linux/arm64/v8)",
        f"  + {index}",
        "",
        "//gone:push: gone, capabilities are not known",
        f"  - {archive}",
        "",
        f"{package}:push_web: changed, the same capabilities",
        f"  - {api}",
        f"  + {web}",
    ]
    assert not proxy.requests


def test_images_that_changed_are_compared(tmp_path, proxy, prefix):
    """image_diff compares the image of the build with that in the registry."""
    shell = Shell(tmp_path)
    flags = ("--repository-prefix", prefix)
    assert shell.run(*flags, "--output", "digests.json").returncode == 0
    _change_digests(shell)
    done = shell.run(*flags, "--against", "digests.json", "--diff")
    assert done.returncode == 0, done.stderr
    report = done.stdout.partition("\n//tests/delivery/releases:push_api\n")[2]
    assert report.startswith("differs: config\n"), done.stdout
    assert 'config.Env.SERVICE  "web" -> "api"' in report


def test_an_image_that_is_not_in_the_registry_is_not_compared(tmp_path, proxy, prefix):
    shell = Shell(tmp_path)
    flags = ("--repository-prefix", prefix)
    assert shell.run(*flags, "--output", "digests.json", "--dry-run").returncode == 0
    _change_digests(shell)
    done = shell.run(*flags, "--against", "digests.json", "--diff")
    assert done.returncode == 1
    assert "2 changed" in done.stdout and "has not pulled it (exit code 1)" in done.stderr


@pytest.mark.parametrize(
    "content, message",
    [
        ("{", "is not JSON"),
        ("[]", "is not a file of digests; give a file that image_release has written by --output"),
        ('{"version": 2, "images": []}', "has the version 2; this program reads version 1"),
        ('{"version": 1, "images": [7]}', "has an image without label, repository, digest and platforms"),
        (
            '{"version": 1, "images": [{"label": "", "repository": "", "digest": "", "platforms": [{"capabilities": {"/x": 7}}]}]}',
            "has an image with invalid capabilities",
        ),
        ("[" * 200, "more than 100 levels deep (limit JSON_DEPTH)"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_a_file_that_has_no_digests_is_an_error(tmp_path, content, message):
    shell = Shell(tmp_path)
    if content is not None:
        (shell.directory / "digests.json").write_text(content)
    done = shell.run("--against", "digests.json")
    assert (done.returncode, done.stdout) == (1, "")
    assert '--against: "' in done.stderr and message in done.stderr and len(done.stderr.splitlines()) == 1


ARTIFACT = "application/vnd.rules-setcap.capabilities.v1+json"


def test_capabilities_are_attached(tmp_path, registry, proxy, prefix):
    """crane writes the index of referrers for a registry that has no referrers API."""
    shell = Shell(tmp_path)
    flags = ("--repository-prefix", prefix, "--tag", "v1", "--attach-capabilities", "--output", "digests.json")
    done = shell.run(*flags)
    assert done.returncode == 0, done.stderr
    for image in shell.read_digests():
        path = image["repository"].partition("/")[2]
        for platform in image["platforms"]:
            fallback = f"sha256-{platform['digest'].removeprefix('sha256:')}"
            if platform["capabilities"] is None:
                assert fallback not in registry.tags(path)
                continue
            (referrer,) = json.loads(registry.manifest(path, fallback)[1])["manifests"]
            assert referrer["artifactType"] == ARTIFACT
            manifest = json.loads(registry.manifest(path, referrer["digest"])[1])
            assert manifest["subject"]["digest"] == platform["digest"]
            (layer,) = manifest["layers"]
            assert layer["mediaType"] == ARTIFACT
            assert json.loads(registry.blob(path, layer["digest"])) == platform["capabilities"]
    proxy.heal()
    assert shell.run(*flags).returncode == 0
    assert not proxy.count("^(POST|PATCH|PUT)")


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--tag", "a b"], "argument --tag:"),
        (["--jobs", "0"], 'argument --jobs: "0": must be a number from 1 to 256'),
        (["--hook", "missing-program"], 'argument --hook: "missing-program": is not an executable file;'),
        (["--repository-prefix", "nohost"], "argument --repository-prefix:"),
        (["--diff"], "argument --diff: has no effect without --against; add --against FILE"),
        (["--against", "x", "--output", "y"], "argument --output: has no effect with --against, which pushes nothing;"),
        (["--ony", "x"], 'unrecognized arguments: --ony x; did you mean "--only"?'),
        (["--timeout", "0"], 'argument --timeout: "0": must be a number from 1 to 86400'),
        (["--against", ""], 'argument --against: "": is not a file; give its path, or leave the flag out'),
        (["--output", ""], 'argument --output: "": is not a file; give its path, or leave the flag out'),
        (["--bazel", '"'], "is not a command: no closing quotation; write it as in a shell"),
        (["--repository-prefix", "localhost:99999"], '"localhost:99999": port 99999 is out of range (1 to 65535)'),
        (["--repository-prefix", "http://localhost:5000"], '"http:" is not a valid host'),
    ],
)
def test_wrong_flags(tmp_path, flags, message):
    done = Shell(tmp_path).run(*flags)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr and len(done.stderr.splitlines()) == 1


def test_all_wrong_flags_are_reported_at_once(tmp_path):
    done = Shell(tmp_path).run("--tag", "a b", "--jobs", "0", "--retries", "x", "--diff", "--ony")
    assert (done.returncode, done.stdout) == (2, "")
    lines = done.stderr.splitlines()
    for flag, line in zip(("--tag", "--jobs", "--retries", "--ony", "--diff"), lines, strict=True):
        assert line.startswith("//tests/delivery/releases:release: ") and flag in line


def test_everything_that_keeps_a_release_from_its_beginning_is_reported_at_once(tmp_path):
    shell = Shell(tmp_path)
    for client in shell.path.iterdir():
        client.unlink()
    done = shell.run(
        "--only",
        "//nowhere/...",
        "--only",
        "*/nothing",
        "--output",
        "missing/x",
        "--repository-prefix",
        "localhost:1/" + "x" * 235,
    )
    assert (done.returncode, done.stdout) == (1, "")
    one, two, *rest, output, client = [
        line.removeprefix("//tests/delivery/releases:release: ") for line in done.stderr.splitlines()
    ]
    assert one.startswith('--only: "//nowhere/..."') and two.startswith('--only: "*/nothing"')
    assert len(rest) == len(NAMES) and all("a repository has at most 255" in line for line in rest)
    assert output.startswith('--output: "missing/x"') and client.startswith(
        "no client for registries on PATH: install crane or skopeo"
    )


@pytest.mark.parametrize(
    "flags, message",
    [
        (
            ["--only", "//nowhere/..."],
            '--only: "//nowhere/...": matches no image; the release has //tests/delivery/releases:push_api,',
        ),
        (["--output", "missing/digests.json"], "cannot be written; give a file in a directory that exists"),
    ],
)
def test_a_release_that_cannot_begin(tmp_path, flags, message):
    done = Shell(tmp_path).run(*flags)
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr and len(done.stderr.splitlines()) == 1

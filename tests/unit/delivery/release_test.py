"""Parts of a release that need no registry."""

from __future__ import annotations

import pathlib
import re
import threading
import time
from typing import Any

import pytest

from rules_setcap.delivery.errors import DeliveryError, InterruptedReleaseError, TransientError, UnansweredError
from rules_setcap.delivery.release import local_blobs, selection
from rules_setcap.delivery.release.local_blobs import LocalBlobs, NestedBuild, find_bazel, list_download_flags
from rules_setcap.delivery.release.model import ReleaseImage, list_blobs
from rules_setcap.delivery.release.registry import parse_retry_after
from rules_setcap.delivery.release.retries import Retries
from rules_setcap.delivery.release.running_programs import RunningPrograms
from rules_setcap.diagnostics.errors import InputError


def make_image(label: str, repository: str = "registry.example/app", digest: str = "0", **fields: Any) -> ReleaseImage:
    """Returns an image whose digest consists of one digit."""
    values: dict[str, Any] = {
        "tags": ["v1"],
        "documents": {},
        "manifests": [],
        "platform_images": [],
        "blob_paths": {},
        "layouts": [],
    }
    descriptor = {"digest": f"sha256:{digest * 64}"}
    return ReleaseImage(label=label, image=label, repository=repository, descriptor=descriptor, **values | fields)


@pytest.mark.parametrize(
    "pattern, matches",
    [
        ("//a/b:push", True),
        ("//a/b:other", False),
        ("//a/b", False),
        ("//a/b:all", True),
        ("//a/b:*", True),
        ("//a/...", True),
        ("//a/b/...", True),
        ("//...", True),
        ("//a/...:all", True),
        ("//...:*", True),
        ("//b/...:all", False),
        ("//a/...:push", False),
        ("//a/bc/...", False),
        ("//b/...", False),
        ("registry.example/*", True),
        ("*/app", True),
        ("app", False),
    ],
)
def test_patterns(pattern, matches):
    assert selection.matches_pattern(make_image("//a/b:push"), pattern) is matches


def test_the_name_of_a_package_is_the_name_of_its_default_target():
    assert selection.matches_pattern(make_image("//a/push:push"), "//a/push")


@pytest.mark.parametrize(
    "repository, package, expected",
    [
        ("registry.example/team/app", "a/b", "localhost:5000/x/team/app"),
        ("", "services/API", "localhost:5000/x/services/api"),
    ],
)
def test_a_prefix_replaces_the_registry(repository, package, expected):
    (image,) = selection.set_destinations([make_image(f"//{package}:push", repository)], None, "localhost:5000/x")
    assert image.repository == expected


def test_all_wrong_destinations_are_reported_at_once():
    images = [
        make_image("//a:push", ""),
        make_image("//b:push"),
        make_image("//c:push", digest="1"),
        make_image("//d:push", "a/B"),
    ]
    with pytest.raises(InputError) as error:
        selection.set_destinations(images, ["v1", "v1"], "")
    assert error.value.problems == [
        '//a:push: repository: "": is not set; set the attribute of the target, or add --repository-prefix HOST/PATH',
        '//c:push: repository: "registry.example/app:v1": //b:push has the same tag for another image; '
        "give one of them another repository or tag",
        '//d:push: repository: "a/B": names no registry; write its host first, as host/path or host:port/path',
    ]


def test_two_targets_may_push_the_same_image():
    images = selection.set_destinations([make_image("//a:push"), make_image("//b:push")], None, "")
    assert [image.tags for image in images] == [["v1"], ["v1"]]


def test_layers_that_may_not_be_pushed_are_left_out():
    types = (
        "application/vnd.oci.image.layer.v1.tar+gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    )
    layers = [{"mediaType": media_type, "digest": str(number), "size": number} for number, media_type in enumerate(types)]
    assert list_blobs({"config": {"digest": "config", "size": 7}, "layers": layers}) == {"config": 7, "0": 0}


@pytest.mark.parametrize(
    "text, seconds",
    [("0", 0), ("17", 17), ("", None), ("-1", None), ("1e9", None), ("\u0663", None), ("soon", None), ("9" * 400, None)],
)
def test_retry_after(text, seconds):
    assert parse_retry_after(text) == seconds


def test_retry_after_may_be_a_date():
    from email.utils import formatdate

    assert 50 < (parse_retry_after(formatdate(time.time() + 60, usegmt=True)) or 0) <= 60
    assert parse_retry_after(formatdate(0, usegmt=True)) == 0


def _fail(counts: dict[str, int], name: str) -> None:
    counts[name] = counts.get(name, 0) + 1
    raise TransientError("no", 0)


def test_a_failing_registry_is_not_retried_for_each_image():
    retries, counts = Retries(3, 600), {}
    for name in ("first", "second"):
        with pytest.raises(TransientError):
            retries.call("registry.example", lambda name=name: _fail(counts, name))
    with pytest.raises(TransientError):
        retries.call("other.example", lambda: _fail(counts, "other"))
    assert counts == {"first": 4, "second": 1, "other": 4}
    assert retries.call("registry.example", lambda: 7) == 7
    with pytest.raises(TransientError):
        retries.call("registry.example", lambda: _fail(counts, "third"))
    assert counts["third"] == 4


def _hang(counts: dict[str, int], name: str, seconds: float = 0.2) -> None:
    counts[name] = counts.get(name, 0) + 1
    time.sleep(seconds)
    raise UnansweredError("no")


def test_a_silent_registry_is_not_asked_again():
    retries, counts = Retries(3, 0.1), {}
    with pytest.raises(UnansweredError):
        retries.call("registry.example", lambda: _hang(counts, "first"))
    with pytest.raises(DeliveryError, match=r"^registry.example was not asked, because it has not answered before$"):
        retries.call("registry.example", lambda: _hang(counts, "second"))
    assert counts == {"first": 1}
    assert retries.call("other.example", lambda: 7) == 7


def test_an_operation_is_repeated_while_the_registry_answers_others():
    retries, counts = Retries(3, 0.1), {}

    def hang_beside_another() -> None:
        retries.call("registry.example", lambda: counts.update(other=7))
        if "first" not in counts:
            # An answer that comes while the first attempt waits.
            threading.Timer(0.1, lambda: retries.call("registry.example", lambda: None)).start()
        _hang(counts, "first", 0.5 if "first" not in counts else 0)

    with pytest.raises(UnansweredError):
        retries.call("registry.example", hang_beside_another)
    assert counts["first"] >= 2


def test_an_interruption_ends_the_wait_for_a_retry():
    retries = Retries(3, 600)

    def fail() -> None:
        raise TransientError("no", 100)

    threading.Timer(0.2, retries.stop.set).start()
    started = time.monotonic()
    with pytest.raises(InterruptedReleaseError):
        retries.call("registry.example", fail)
    assert time.monotonic() - started < 30


def test_other_errors_are_not_retried():
    calls = []

    def fail() -> None:
        calls.append(1)
        raise DeliveryError("denied")

    with pytest.raises(DeliveryError):
        Retries(3, 600).call("registry.example", fail)
    assert len(calls) == 1


def test_download_flags_match_the_outputs_and_nothing_else():
    """Java's regular expressions have the syntax of Python's for what is escaped here."""
    paths = ["bazel-out/k8/bin/a/b.tar.gz", "bazel-out/k8/bin/c++/+x,y=[1] $.tar"]
    mode, regex = list_download_flags(paths)
    assert mode == "--remote_download_outputs=minimal"
    pattern = re.compile(regex.removeprefix("--remote_download_regex="))
    assert all(pattern.fullmatch(path) for path in paths)
    assert not pattern.fullmatch("bazel-out/k8/bin/a/bxtarxgz") and not pattern.fullmatch(paths[0] + "x")


def test_download_flags_are_split_below_the_limit_of_an_argument():
    paths = [f"bazel-out/k8-fastbuild/bin/services/s{number}/image.tar.gz" for number in range(10_000)]
    _, *flags = list_download_flags(paths)
    assert len(flags) > 1 and max(map(len, flags)) < 131_072
    assert sum(flag.count("|") + 1 for flag in flags) == len(paths)


def test_the_command_that_runs_bazel(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("BAZEL", raising=False)
    with pytest.raises(DeliveryError, match="set --bazel"):
        find_bazel("", str(tmp_path))
    for name in ("bazel", "bazelisk", "bazelw"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
        assert find_bazel("", str(tmp_path)) == [str(tmp_path / name)]
    monkeypatch.setenv("BAZEL", "/opt/bazel")
    assert find_bazel("", str(tmp_path)) == ["/opt/bazel"]
    assert find_bazel("bazel --output_base='/a b'", str(tmp_path)) == ["bazel", "--output_base=/a b"]
    monkeypatch.setenv("BAZEL", 'bazel "')
    with pytest.raises(DeliveryError, match=r'^\$BAZEL: "bazel \\"": is not a command: no closing quotation; write it'):
        find_bazel("", str(tmp_path))


DIGEST = "sha256:" + "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"  # Of "foo".


def _write_blob(root: pathlib.Path, content: str) -> ReleaseImage:
    path = root / "bazel-out/bin/layer.tar"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    return make_image("//a:push", blob_paths={DIGEST: "bazel-out/bin/layer.tar"})


def test_a_blob_of_another_build_is_an_error(tmp_path):
    blobs = LocalBlobs(str(tmp_path), NestedBuild("", []), RunningPrograms(600))
    with pytest.raises(DeliveryError, match=r"has the digest sha256:.*, and the image needs .*--build-flag"):
        blobs.verify(_write_blob(tmp_path, "bar"), DIGEST, 3)


def test_a_blob_of_another_size_counts_as_missing(tmp_path):
    blobs = LocalBlobs(str(tmp_path), NestedBuild("", []), RunningPrograms(600))
    assert blobs.find(_write_blob(tmp_path, "food"), DIGEST, 3) == ""


def test_a_blob_of_an_external_repository_is_found(tmp_path):
    """Bazel removes the link in the execution root if a later build does not use the repository."""
    root, layout = tmp_path / "execroot/_main", "external/base/blobs/sha256"
    root.mkdir(parents=True)
    (tmp_path / layout).mkdir(parents=True)
    (tmp_path / layout / DIGEST.partition(":")[2]).write_text("foo")
    image = make_image("//a:push", layouts=["external/base"])
    assert (
        LocalBlobs(str(root), NestedBuild("", []), RunningPrograms(600)).verify(image, DIGEST, 3)
        == f"{tmp_path}/{layout}/{DIGEST.partition(':')[2]}"
    )


def test_a_bazel_that_hangs_is_ended(tmp_path, monkeypatch):
    monkeypatch.setenv("BUILD_WORKSPACE_DIRECTORY", str(tmp_path))
    monkeypatch.setattr(local_blobs, "_SILENCE", 1.0)
    (tmp_path / "bazel").write_text(f"#!/bin/sh\necho $$ > {tmp_path}/id\nsleep 1000\n")
    (tmp_path / "bazel").chmod(0o755)
    blobs = LocalBlobs(str(tmp_path), NestedBuild(f"{tmp_path}/bazel --x", []), RunningPrograms(1))
    started = time.monotonic()
    with pytest.raises(
        DeliveryError, match=r"/bazel --x build: it made no progress for 1 s and was ended, and has not downloaded"
    ):
        blobs.fetch({DIGEST: (make_image("//a:push"), 3)})
    assert time.monotonic() - started < 20
    assert not pathlib.Path(f"/proc/{(tmp_path / 'id').read_text().strip()}").exists()


def test_a_release_outside_of_bazel_run_says_so(tmp_path, monkeypatch):
    monkeypatch.delenv("BUILD_WORKSPACE_DIRECTORY", raising=False)
    with pytest.raises(DeliveryError, match="start the release by bazel run"):
        LocalBlobs(str(tmp_path), NestedBuild("", []), RunningPrograms(600)).fetch({DIGEST: (make_image("//a:push"), 3)})

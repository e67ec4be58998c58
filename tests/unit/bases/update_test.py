"""update_bases moves digests to what the tags of a real registry name, and shows which capabilities change."""

from __future__ import annotations

import pathlib
import re
import subprocess
from collections.abc import Iterator

import pytest

from rules_setcap.bases import update_command
from support import archives, oci_layout, registry, require

NET_RAW, NET_BIND_SERVICE = (
    (b"\1\0\0\2" + (1 << number).to_bytes(4, "little") + bytes(12)).decode("latin-1") for number in (13, 10)
)
INDEX = "application/vnd.oci.image.index.v1+json"


def _make_layer(capability: str, content: bytes = b"") -> bytes:
    records = {"SCHILY.xattr.security.capability": capability} if capability else None
    return oci_layout.layer([oci_layout.Member("bin/ping", content=b"\x7fELF" + content, records=records)])


class Registry:
    """A registry in which tags move."""

    def __init__(self, served: registry.Registry, directory: pathlib.Path) -> None:
        self.served, self._directory = served, directory
        self._count = 0

    def push(self, name: str, layers: dict[str, bytes], **config: object) -> str:
        """Pushes an index with an image of one layer for each architecture, and returns its digest."""
        self._count += 1
        layout = archives.Layout(self._directory / str(self._count))
        entries = []
        for architecture, layer in layers.items():
            image = layout.image(layer, architecture=architecture, **config)
            entries.append({**image, "platform": {"os": "linux", "architecture": architecture}})
        index = layout.put({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}, INDEX)
        layout.index(index)
        command = [require.tool("skopeo"), "copy", "--all", "--preserve-digests", "--dest-tls-verify=false", "--quiet"]
        subprocess.run([*command, f"oci:{layout.path}", f"docker://{self.served.host}/{name}"], check=True)
        return index["digest"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with registry.serve(tmp_path_factory.mktemp("served")) as running:
        yield Registry(running, tmp_path_factory.mktemp("layouts"))


@pytest.fixture(params=["crane", "skopeo"])
def client(request: pytest.FixtureRequest, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The only client on PATH."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / request.param).symlink_to(require.tool(request.param))
    monkeypatch.setenv("PATH", str(programs))
    return request.param


def _write(workspace: pathlib.Path, *pulls: str) -> pathlib.Path:
    """Writes MODULE.bazel, and returns its path."""
    file = workspace / "MODULE.bazel"
    head = 'bases = use_extension("@rules_setcap//rules:extensions.bzl", "bases")\n'
    file.write_text(head + "".join(f"bases.pull({pull})  # comment\n" for pull in pulls))
    return file


def _pull(served: Registry, name: str, digest: str, more: str = "") -> str:
    return f'name = "{name}", image = "{served.served.host}/{name}", digest = "{digest}"{more}'


def test_a_digest_moves_and_capabilities_are_compared(tmp_path, served, client, capsys):
    name = f"moves-{client}"
    before = served.push(f"{name}:1", {"amd64": _make_layer(NET_RAW), "arm64": _make_layer(NET_RAW)})
    after = served.push(f"{name}:1", {"amd64": _make_layer(NET_BIND_SERVICE), "arm64": _make_layer(NET_RAW)})
    file = _write(tmp_path, _pull(served, name, before, ', tag = "1"'), _pull(served, "kept", before))
    text = file.read_text()
    report = (
        f"{name}: {served.served.host}/{name}:1\n  - {before}\n  + {after}\n"
        "  differs: capabilities, in linux/amd64: layer 1 of 1\n"
        "  capabilities that change, linux/amd64:\n"
        "    /bin/ping  cap_net_raw=ep -> cap_net_bind_service=ep\n"
        f"kept: {served.served.host}/kept has no tag, so its digest is kept\n"
    )
    assert update_command.main(["--check"], str(tmp_path)) == 1
    assert capsys.readouterr().out == report + "1 of 2 digests would move\n"
    assert file.read_text() == text
    assert update_command.main([], str(tmp_path)) == 0
    assert capsys.readouterr().out == report + "1 of 2 digests moved in MODULE.bazel\n"
    assert file.read_text() == text.replace(before, after, 1)
    assert update_command.main(["--check", name], str(tmp_path)) == 0
    assert capsys.readouterr().out == f"{name}: {served.served.host}/{name}:1 is up to date\n0 of 1 digests would move\n"


def test_only_the_platforms_of_the_base_are_compared(tmp_path, served, capsys):
    before = served.push("narrow:1", {"amd64": _make_layer(NET_RAW), "arm64": _make_layer(NET_RAW)})
    served.push("narrow:1", {"amd64": _make_layer(""), "arm64": _make_layer(NET_RAW, b"x")})
    _write(tmp_path, _pull(served, "narrow", before, ', tag = "1", platforms = ["linux/arm64"]'))
    assert update_command.main([], str(tmp_path)) == 0
    printed = capsys.readouterr().out
    assert "  no capabilities change\n" in printed and "amd64" not in printed


def test_a_layer_of_both_images_is_fetched_once(tmp_path, served, capsys):
    layer = _make_layer(NET_RAW)
    before = served.push("shared:1", {"amd64": layer})
    served.push("shared:1", {"amd64": layer}, author="somebody")
    _write(tmp_path, _pull(served, "shared", before, ', tag = "1"'))
    assert update_command.main([], str(tmp_path)) == 0
    assert "  differs: config\n  no capabilities change\n" in capsys.readouterr().out
    assert served.served.fetched_blobs("shared").count(archives.digest(layer).removeprefix("sha256:")) == 1


def test_without_a_comparison_no_layer_is_fetched(tmp_path, served, capsys):
    before = served.push("no-diff:1", {"amd64": _make_layer(NET_RAW)})
    after = served.push("no-diff:1", {"amd64": _make_layer("")})
    file = _write(tmp_path, _pull(served, "no-diff", before, ', tag = "1"'))
    assert update_command.main(["--no-diff"], str(tmp_path)) == 0
    assert capsys.readouterr().out.splitlines()[1:-1] == [f"  - {before}", f"  + {after}"]
    assert after in file.read_text() and not served.served.fetched_blobs("no-diff")


def test_the_first_digest_is_written(tmp_path, served, capsys):
    digest = served.push("first:1", {"amd64": _make_layer(NET_RAW)})
    file = _write(tmp_path, _pull(served, "first", "", ', tag = "1"'))
    assert update_command.main([], str(tmp_path)) == 0
    assert capsys.readouterr().out.splitlines()[1:3] == ["  - none", f"  + {digest}"]
    assert digest in file.read_text()


def test_an_image_that_is_gone_is_no_reason_not_to_move(tmp_path, served, capsys):
    digest = served.push("gone:1", {"amd64": _make_layer(NET_RAW)})
    file = _write(tmp_path, _pull(served, "gone", "sha256:" + "0" * 64, ', tag = "1"'))
    assert update_command.main([], str(tmp_path)) == 0
    assert "  capabilities not compared: crane has not fetched " in capsys.readouterr().out
    assert digest in file.read_text()


def test_if_a_tag_cannot_be_looked_up_nothing_is_written(tmp_path, served, capsys):
    before = served.push("partly:1", {"amd64": _make_layer(NET_RAW)})
    served.push("partly:1", {"amd64": _make_layer("")})
    host = served.served.host
    missing = [_pull(served, name, "", ', tag = "1"') for name in ("absent", "missing")]
    file = _write(tmp_path, _pull(served, "partly", before, ', tag = "1"'), *missing)
    text = file.read_text()
    assert update_command.main([], str(tmp_path)) == 2
    errors = capsys.readouterr().err.splitlines()
    for line, name in zip(errors, ("absent", "missing"), strict=True):
        assert re.match(rf'update_bases: tag: "{host}/{name}:1": crane has not fetched {host}/{name}:1: .*_UNKNOWN', line), line
    assert file.read_text() == text


def test_all_invalid_attributes_are_reported(tmp_path, capsys):
    _write(
        tmp_path, 'name = "a", image = "--x", digest = "../x", tag = "-y"', 'name = "b", image = "registry.example/b", tag = "1"'
    )
    assert update_command.main([], str(tmp_path)) == 2
    assert [line.rpartition('": ')[0] for line in capsys.readouterr().err.splitlines()] == [
        'update_bases: image: "--x',
        'update_bases: tag: "-y',
        'update_bases: digest: "../x',
        'update_bases: digest: "b',
    ]


def test_without_a_client_the_message_names_one(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    _write(tmp_path, 'name = "a", image = "registry.example/a", digest = "", tag = "1"')
    assert update_command.main([], str(tmp_path)) == 2
    assert capsys.readouterr().err == "update_bases: no client for registries on PATH; install crane or skopeo\n"


def test_a_module_without_bases_is_up_to_date(tmp_path, capsys):
    (tmp_path / "MODULE.bazel").write_text('module(name = "app")\n')
    assert update_command.main(["--check"], str(tmp_path)) == 0
    assert capsys.readouterr().out == "MODULE.bazel pulls no bases\n"

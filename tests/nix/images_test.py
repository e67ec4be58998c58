"""withCapabilities and streamWithCapabilities, with the real Nix and its sandbox."""

from __future__ import annotations

import gzip
import io
import json
import os
import pathlib
import random
import subprocess
import tarfile

import pytest
from store import Store

from rules_setcap.imagecap import library
from support import archives, image

SERVER = "/nix/store/s-server/bin/server"
# As a layer of dockerTools.buildLayeredImage, with a link in the layer above.
LAYERED = archives.image(
    image.tar((SERVER, None, b"\x7fELF" + random.Random(1).randbytes(100_000))),
    image.tar(("/bin/server", None, f">{SERVER}")),
    created="2026-01-01T00:00:00Z",
)
CAPABILITIES = 'capabilities."/bin/server" = "cap_net_bind_service=ep";'


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    made = Store(tmp_path_factory.mktemp("nix").resolve())
    archive = archives.write_archive(made.directory / "app.tar", archives.nix(LAYERED))
    (made.directory / "app.tar.gz").write_bytes(gzip.compress(archive.read_bytes(), mtime=0))
    return made


def _set(store: Store, file: str, more: str = "") -> str:
    return f"functions.withCapabilities {{ image = {store.directory}/{file}; {CAPABILITIES} {more} }}"


def _read_files(path: pathlib.Path) -> dict[str, str]:
    return {file.path: file.capabilities for file in library.read_image(path).files}


def _read_digest(archive: pathlib.Path) -> str:
    """Returns the digest of the manifest in an OCI archive."""
    with tarfile.open(archive) as opened:
        member = opened.extractfile("index.json")
        assert member
        return json.load(member)["manifests"][0]["digest"]


def test_the_digest_is_that_of_the_bazel_rule(store):
    # The blobs of Bazel's layouts are links.
    with tarfile.open(store.directory / "base.tar", "w", dereference=True) as archive:
        archive.add(os.environ["BASE"], "")
    expression = f"""functions.withCapabilities {{
      image = {store.directory}/base.tar;
      capabilities."/app/server" = "cap_net_raw=ep";
    }}"""
    (made,) = store.build(expression)
    index = json.loads((pathlib.Path(os.environ["IMAGE"]) / "index.json").read_bytes())
    assert _read_digest(made) == index["manifests"][0]["digest"]


def _read_members(archive: pathlib.Path) -> dict[str, bytes]:
    """Returns the files in an archive."""
    with tarfile.open(archive) as opened:
        return {member.name: file.read() for member in opened if (file := opened.extractfile(member))}


@pytest.mark.parametrize("rewrite", [False, True])
@pytest.mark.parametrize("file", ["app.tar", "app.tar.gz"])
def test_the_kind_and_the_name_of_the_file_are_kept(store, file, rewrite):
    (made,) = store.build(_set(store, file, f"rewrite = {json.dumps(rewrite)};"))
    assert made.name[33:] == file
    assert made.read_bytes().startswith(b"\x1f\x8b") == file.endswith(".gz")
    assert _read_files(made) == {SERVER: "cap_net_bind_service=ep"}
    with tarfile.open(made) as archive:
        names = archive.getnames()
        (document,) = json.load(archive.extractfile("manifest.json") or io.BytesIO())
    assert len(document["Layers"]) == (2 if rewrite else 3)
    assert document["RepoTags"] == json.loads(archives.nix(LAYERED)["manifest.json"])[0]["RepoTags"]
    assert "index.json" not in names


@pytest.mark.parametrize("rewrite", [False, True])
def test_the_result_can_be_the_base_of_an_image(store, rewrite):
    """buildImage of nixpkgs lists the files of its fromImage from `*/layer.tar`, and takes their digests for the diff_ids."""
    (made,) = store.build(_set(store, "app.tar.gz", f"rewrite = {json.dumps(rewrite)};"))
    members = _read_members(made)
    (document,) = json.loads(members["manifest.json"])
    assert all(name.endswith("/layer.tar") for name in document["Layers"])
    config = json.loads(members[document["Config"]])
    assert config["rootfs"]["diff_ids"] == [archives.digest(members[name]) for name in document["Layers"]]


def test_rewriting_keeps_the_bytes_of_a_file_once(store):
    sizes = [store.build(_set(store, "app.tar", f"rewrite = {rewrite};"))[0].stat().st_size for rewrite in ("true", "false")]
    assert sizes[0] < 150_000
    assert sizes[1] > 200_000


def test_a_rebuild_gives_the_same_bytes(store):
    for more in ("", "rewrite = true;"):
        store.build(_set(store, "app.tar.gz", more))
        assert len(store.build(_set(store, "app.tar.gz", more), "--check")) == 1


def test_capabilities_may_be_a_list_and_may_be_taken_away(store):
    (made,) = store.build(_set(store, "app.tar"))
    expression = f"""functions.withCapabilities {{
      image = "${{{_set(store, "app.tar")}}}";
      capabilities."/bin/server" = [ "net_raw" "bpf" ];
      compression = "none";
    }}"""
    (changed,) = store.build(expression)
    assert changed.name[33:] == "app.tar"
    assert _read_files(changed) == {SERVER: "cap_net_raw,cap_bpf=p"}
    for more in ('capabilities."/bin/server" = "";', "only = true;"):
        (removed,) = store.build(f"functions.withCapabilities {{ image = {made}; {more} rewrite = true; }}")
        assert _read_files(removed) == {}


IMAGE = """(derivation {{
  name = "docker-image-app.tar";
  system = builtins.currentSystem;
  builder = "{python}";
  args = [ "-c" "import os, shutil; shutil.copyfile('${{{archive}}}', os.environ['out'])" ];
}} // {{ imageName = "registry.example/app"; imageTag = "v1"; }})"""


def test_images_of_derivations_keep_their_names(store):
    made = IMAGE.format(python=store.python, archive=store.directory / "app.tar")
    expression = f"functions.withCapabilities {{ image = {made}; {CAPABILITIES} }}"
    shown = f"let set = {expression}; in {{ inherit (set) imageName imageTag name passthru; }}"
    assert json.loads(store.evaluate(shown)) == {
        "imageName": "registry.example/app",
        "imageTag": "v1",
        "name": "docker-image-app.tar",
        "passthru": {"imageName": "registry.example/app", "imageTag": "v1"},
    }
    (path,) = store.build(expression, "--option", "allow-import-from-derivation", "false")
    assert _read_files(path) == {SERVER: "cap_net_bind_service=ep"}


def _write_program(store: Store, name: str, *lines: str) -> pathlib.Path:
    """Writes a program that writes an image to stdout; it gets the archive's path in ARCHIVE."""
    path = store.directory / name
    text = f"ARCHIVE = {str(store.directory / 'app.tar')!r}\n"
    path.write_text("\n".join([f"#!{store.python}", "import shutil, sys", text, *lines, ""]))
    path.chmod(0o755)
    return path


def _stream(store: Store, program: pathlib.Path, more: str = CAPABILITIES) -> pathlib.Path:
    (script,) = store.build(f"functions.streamWithCapabilities {{ stream = {program}; {more} }}")
    return script


def test_a_stream_is_a_script_that_writes_the_image(store, tmp_path):
    program = _write_program(
        store,
        "stream-app",
        "print(*sys.argv[1:], file=sys.stderr)",
        "shutil.copyfileobj(open(ARCHIVE, 'rb'), sys.stdout.buffer)",
    )
    script = _stream(store, program)
    assert script.name[33:] == "stream-app"
    done = subprocess.run([script, "--repo_tag", "app:v2"], cwd=tmp_path, env={}, capture_output=True, check=True)
    assert done.stderr.startswith(b"--repo_tag app:v2\nlinux/amd64: ")
    (built,) = store.build(_set(store, "app.tar"))
    assert done.stdout == built.read_bytes()


def test_a_stream_that_fails_writes_no_image(store):
    program = _write_program(store, "stream-bad", "sys.stdout.write('text')", "sys.exit(3)")
    done = subprocess.run([_stream(store, program)], capture_output=True)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"streamWithCapabilities: stream: " in done.stderr
    assert b"fails with status 3; its messages are above" in done.stderr


def test_an_image_without_the_file_is_an_error_of_the_stream(store):
    program = _write_program(store, "stream-app", "shutil.copyfileobj(open(ARCHIVE, 'rb'), sys.stdout.buffer)")
    done = subprocess.run([_stream(store, program, 'capabilities."/bin/serve" = "cap_bpf=p";')], capture_output=True)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b'streamWithCapabilities: capabilities: "/bin/serve": no file of the image has this path' in done.stderr


@pytest.mark.parametrize("function", ["withCapabilities", "streamWithCapabilities"])
@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ("", "capabilities: is empty; name a file, or write only = true"),
        ('capabilities."/x" = 1;', 'capabilities: "/x": 1: must be the text of capabilities'),
        ('only = "yes";', 'only: "yes": must be true or false'),
        ("rewrite = 1;", "rewrite: 1: must be true or false"),
        ("platform = 1;", "platform: 1: must be a string"),
        ('compression = "bzip2";', 'compression: "bzip2": must be one of'),
        ('name = "a b";', 'name: "a b": is not a valid name'),
    ],
)
def test_an_error_of_evaluation_names_the_attribute(store, function, attributes, message):
    source = "stream" if function.startswith("stream") else "image"
    more = attributes if "capabilities" in attributes or not attributes else f"{CAPABILITIES} {attributes}"
    expression = f"(functions.{function} {{ {source} = {store.directory}/app.tar; {more} }}).drvPath"
    assert f"{function}: {message}" in store.evaluate(expression, status=1)


@pytest.mark.parametrize("function", ["withCapabilities", "streamWithCapabilities"])
def test_an_image_outside_the_store_is_an_error(store, function):
    source = "stream" if function.startswith("stream") else "image"
    output = store.evaluate(f'(functions.{function} {{ {source} = "/app.tar"; {CAPABILITIES} }}).drvPath', status=1)
    assert f'{function}: {source}: "/app.tar": is not in the store' in output


def test_an_error_of_a_build_names_the_attribute(store):
    expression = f"""functions.withCapabilities {{
      image = {store.directory}/app.tar;
      capabilities."/bin/serve" = "cap_net_raw=ep";
    }}"""
    output = store.fail_to_build(expression)
    assert 'withCapabilities: capabilities: "/bin/serve": no file of the image has this path' in output
    output = store.fail_to_build(expression.replace("cap_net_raw", "cap_net_rew"))
    assert 'withCapabilities: capabilities: "cap_net_rew": unknown capability; did you mean "cap_net_raw"?' in output
    output = store.fail_to_build(f"functions.withCapabilities {{ image = {store.sources}/flake.nix; {CAPABILITIES} }}")
    assert "withCapabilities: image: " in output
    output = store.fail_to_build(_set(store, "app.tar", 'platform = "linux/arm64";'))
    assert "withCapabilities: platform: " in output

"""`imagecap set` keeps the layers, blobs and annotations that need not change, and updates the others."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile

import pytest
from layouts import ELF, LAYER, Layout, program_layer, read_blob, read_index
from running import run_imagecap, set_capabilities
from samples import GRANT, LOWER, UPPER, read_capabilities, way  # noqa: F401 (way is a fixture)

from support import require
from support.image import tar


def test_annotations_of_a_rewritten_layer_are_brought_up_to_date(tmp_path):
    layout = Layout(tmp_path / "image")
    entry = layout.put_image(LOWER, UPPER)
    manifest = read_blob(layout.path, entry["digest"])
    key = "io.github.rules_setcap.capabilities"
    manifest["annotations"] = {key: '{"/usr/bin/ping":"cap_net_bind_service=ep"}', "other": "kept"}
    manifest["layers"][0]["annotations"] = {"containerd.io/snapshot/stargz/toc.digest": "sha256:0", "other": "kept"}
    image = layout.write_index(layout.put(manifest, entry["mediaType"], platform=entry["platform"]))
    report = set_capabilities("--rewrite", image, tmp_path / "new", GRANT)
    new = read_blob(tmp_path / "new", read_index(tmp_path / "new")[0]["digest"])
    assert json.loads(new["annotations"][key]) == {
        "/usr/bin/nginx": "cap_net_bind_service=ep",
        "/usr/bin/alias": "cap_net_bind_service=ep",
        "/usr/bin/ping": "cap_net_bind_service=ep",
    }
    assert new["annotations"]["other"] == "kept"
    assert new["layers"][0]["annotations"] == {"other": "kept"}
    assert any("stargz" in note for note in report["notes"])


def _add_table_of_contents(layer: bytes, name: str = "stargz.index.json") -> bytes:
    """Returns a layer as BuildKit writes it with `compression=estargz`: an archive with a file follows the end of the archive."""
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        end = max(member.offset_data + (member.size + 511) // 512 * 512 for member in archive) + 1024
    table = io.BytesIO()
    with tarfile.open(fileobj=table, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = 700
        archive.addfile(entry, io.BytesIO(b"{" * 700))
    return layer[:end] + table.getvalue()


def test_a_layer_with_a_table_of_contents_after_its_end_is_rewritten(tmp_path):
    layout = Layout(tmp_path / "image")
    layer = _add_table_of_contents(LOWER)
    image = layout.write_index(layout.put_image(layer))
    set_capabilities("--rewrite", image, tmp_path / "new", "/usr/bin/nginx=cap_net_raw=ep")
    assert read_capabilities(tmp_path / "new")["/usr/bin/nginx"] == "cap_net_raw=ep"
    set_capabilities("--rewrite", tmp_path / "new", tmp_path / "back", "/usr/bin/nginx=")
    manifest = read_blob(tmp_path / "back", read_index(tmp_path / "back")[0]["digest"])
    config = read_blob(tmp_path / "back", manifest["config"]["digest"])
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]


def test_a_layer_with_another_archive_after_its_end_is_not_rewritten(tmp_path):
    layout = Layout(tmp_path / "image")
    image = layout.write_index(layout.put_image(_add_table_of_contents(LOWER, "etc/passwd")))
    done = run_imagecap("set", "--rewrite", image, tmp_path / "new", GRANT)
    assert "has something after its end, at byte" in done.stderr
    assert not (tmp_path / "new").exists()


def test_a_layer_at_urls_is_not_rewritten(tmp_path):
    layout = Layout(tmp_path / "image")
    entry = layout.put_image(LOWER, UPPER)
    manifest = read_blob(layout.path, entry["digest"])
    manifest["layers"][0]["urls"] = ["https://registry.example/layer"]
    image = layout.write_index(layout.put(manifest, entry["mediaType"], platform=entry["platform"]))
    done = run_imagecap("set", "--rewrite", image, tmp_path / "new", GRANT)
    assert "is at the URLs of its descriptor, so that it cannot be changed; write --layer" in done.stderr
    set_capabilities("--layer", "--compression=zlib", image, tmp_path / "new", GRANT)


def test_a_layer_that_two_images_share_stays_for_the_one_that_does_not_change(tmp_path):
    layout = Layout(tmp_path / "image")
    image = layout.write_index(layout.put_image(LOWER), layout.put_image(LOWER, architecture="arm64"))
    set_capabilities("--rewrite", "--platform=linux/amd64", image, tmp_path / "new", GRANT)
    assert "/usr/bin/nginx" in read_capabilities(tmp_path / "new", "linux/amd64")
    assert read_capabilities(tmp_path / "new", "linux/arm64") == {}


def test_blobs_that_nothing_names_are_kept(tmp_path):
    layout = Layout(tmp_path / "image")
    other = layout.put(b"other", "text/plain")["digest"].removeprefix("sha256:")
    image = layout.write_index(layout.put_image(LOWER))
    set_capabilities("--rewrite", image, tmp_path / "new", GRANT)
    assert (tmp_path / "new/blobs/sha256" / other).read_bytes() == b"other"
    (image / "blobs/sha256" / other).write_bytes(b"damaged")
    done = run_imagecap("set", "--rewrite", image, tmp_path / "newer", GRANT)
    assert done.status == 2
    assert f"has digest sha256:{hashlib.sha256(b'damaged').hexdigest()}" in done.stderr


@pytest.mark.parametrize("compress", [gzip.compress], ids=["gzip"])
def test_a_compressed_layer_stays_compressed(tmp_path, compress):
    layout = Layout(tmp_path / "image")
    entry = layout.put_image(LOWER)
    manifest = read_blob(layout.path, entry["digest"])
    manifest["layers"] = [layout.put(compress(LOWER), f"{LAYER}+gzip")]
    image = layout.write_index(layout.put(manifest, entry["mediaType"], platform=entry["platform"]))
    report = set_capabilities("--rewrite", image, tmp_path / "new", GRANT)
    digest = report["images"][0]["layers"][0]["after"].removeprefix("sha256:")
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress((tmp_path / "new/blobs/sha256" / digest).read_bytes()))) as archive:
        assert "SCHILY.xattr.security.capability" in archive.getmember("usr/bin/nginx").pax_headers


def test_a_program_of_64_names_has_them_in_one_layer(tmp_path):
    """A layer is written once, whatever the number of files."""
    paths = [f"/usr/bin/program{number}" for number in range(64)]
    layout = Layout(tmp_path / "image")
    image = layout.write_index(layout.put_image(program_layer(*paths)))
    report = set_capabilities("--rewrite", image, tmp_path / "new", *(f"{path}=bpf" for path in paths))
    assert len(report["images"][0]["layers"]) == 1
    assert read_capabilities(tmp_path / "new") == dict.fromkeys(paths, "cap_bpf=p")


def test_a_sparse_file_is_rewritten_and_not_copied(tmp_path):
    (tmp_path / "program").write_bytes(ELF)
    (tmp_path / "program").chmod(0o755)
    os.truncate(tmp_path / "program", 1 << 20)
    layer = subprocess.run(
        [require.tool("tar"), "--sparse", "--format=pax", "--owner=0", "--group=0", "-cC", str(tmp_path), "program"],
        capture_output=True,
        check=True,
    ).stdout
    assert b"GNU.sparse.realsize" in layer
    layout = Layout(tmp_path / "image")
    image = layout.write_index(layout.put_image(layer))
    set_capabilities("--rewrite", image, tmp_path / "new", "/program=bpf")
    assert read_capabilities(tmp_path / "new") == {"/program": "cap_bpf=p"}
    assert run_imagecap("diff", image, tmp_path / "new").stdout.startswith("differs: capabilities, in layer 1 of 1\n")
    done = run_imagecap("set", "--compression=zlib", image, tmp_path / "newer", "/program=bpf")
    assert 'file: "/program": a sparse file of tar, which cannot be copied' in done.stderr


def test_a_file_that_engines_would_read_differently_is_not_rewritten(tmp_path):
    """Some engines call lchown(2) on a hard link, which clears the capabilities of the file; this one names it by another path."""
    layout = Layout(tmp_path / "image")
    layer = tar(
        ("/bin", None, ">usr/bin"), ("/usr/bin", None, "directory"), ("/usr/bin/nginx", None, ELF), ("/link", None, "=/bin/nginx")
    )
    image = layout.write_index(layout.put_image(layer))
    done = run_imagecap("set", "--rewrite", image, tmp_path / "new", GRANT)
    assert done.status == 2
    assert "container engines would differ about the capabilities of" in done.stderr
    assert sorted(os.listdir(tmp_path)) == ["image"]
    set_capabilities("--layer", "--compression=zlib", image, tmp_path / "new", GRANT)
    assert read_capabilities(tmp_path / "new") == {"/usr/bin/nginx": "cap_net_bind_service=ep"}


def test_an_encrypted_layer_is_named(tmp_path, way):
    layout = Layout(tmp_path / "image")
    entry = layout.put_image(LOWER)
    manifest = read_blob(layout.path, entry["digest"])
    manifest["layers"] = [layout.put(b"encrypted", f"{LAYER}+encrypted")]
    image = layout.write_index(layout.put(manifest, entry["mediaType"], platform=entry["platform"]))
    done = run_imagecap("set", *way, image, tmp_path / "new", GRANT)
    what = f"layer {manifest['layers'][0]['digest']} is encrypted; decrypt the image first, as with skopeo copy --decryption-key"
    assert (done.status, done.stderr) == (2, f'imagecap: image: "{image}": {what}\n')

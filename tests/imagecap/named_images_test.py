"""`imagecap` chooses one of several images of an archive or a layout by its name."""

from __future__ import annotations

import json
import pathlib
import shutil
import subprocess
import tempfile

import pytest
from layouts import INDEX, Layout, program_layer, read_index
from running import run_imagecap, set_capabilities
from samples import GRANT, LOWER, list_members

from rules_setcap.oci import image_reader
from support import archives, engines, podman, require, saved
from support.image import tar

A, B = "/app", "/web"


def _make_layouts(directory: pathlib.Path) -> dict[str, pathlib.Path]:
    """Returns layouts of one image each by name; each image has a program of its own."""
    made = {}
    for name, path in (("a", A), ("b", B)):
        layout = Layout(directory / f"layout-{name}")
        made[f"docker.io/library/{name}:1"] = layout.write_index(layout.put_image(program_layer(path)))
    return made


def _make_layout(directory: pathlib.Path, **names: str) -> pathlib.Path:
    """Returns a layout of two images, with an annotation for the name of each."""
    layout = Layout(directory)
    entries = [
        {**layout.put_image(program_layer(path)), "annotations": {"org.opencontainers.image.ref.name": name}}
        for path, name in names.items()
    ]
    return layout.write_index(*entries)


@pytest.fixture
def layout(tmp_path: pathlib.Path) -> pathlib.Path:
    return _make_layout(tmp_path / "both", **{A: "a:1", B: "registry.example/web:2"})


def _get_names(path: pathlib.Path) -> list[list[str]]:
    done = run_imagecap("get", "--json", path)
    assert done.status == 0, done.stderr
    return [image["names"] for image in json.loads(done.stdout)["images"]]


def _check_choice(path: pathlib.Path, directory: pathlib.Path, names: dict[str, str]) -> pathlib.Path:
    """Checks that each name chooses its image for every command; returns the archive in which the last image was changed.

    Args:
      path: an archive or a layout of two images.
      directory: an empty directory.
      names: the path of the program of each image by the name of the image.
    """
    new = path
    for name, program in names.items():
        (other,) = names.keys() - {name}
        new = directory / program[1:]
        report = set_capabilities("--rewrite", "--image", name, path, new, f"{program}=bpf")
        assert [[file["path"] for file in image["files"]] for image in report["images"]] == [[program]]
        assert run_imagecap("get", "--image", name, new).stdout == f"{program} cap_bpf=p\n"
        assert run_imagecap("get", "--image", other, new) == (0, "", "")
        assert run_imagecap("diff", "--image", other, path, new).status == 0
        assert run_imagecap("diff", "--image", name, "--image", other, path, new).status == 1
        assert run_imagecap("review", "--image", other, new).status == 0
        assert run_imagecap("review", "--image", name, new).status == 1
        assert run_imagecap("explain", "--image", name, "--program", program, new).status in (0, 1)
        assert _get_names(new) == _get_names(path)
    return new


def test_each_image_of_docker_save_can_be_chosen(tmp_path):
    made = _make_layouts(tmp_path)
    with (
        tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as state,  # The path of a socket is limited.
        engines.dockerd("vfs", pathlib.Path(state)) as socket,
    ):

        def docker(*arguments: object) -> str:
            command = [require.tool("docker"), "--host", f"unix://{socket}", *map(str, arguments)]
            return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

        docker("load", "--input", saved.write_archive(made, tmp_path / "image.tar"))
        docker("save", "--output", tmp_path / "saved.tar", "a:1", "b:1")
        (tmp_path / "new").mkdir()
        changed = _check_choice(tmp_path / "saved.tar", tmp_path / "new", {"a:1": A, "b:1": B})
        identifier = docker("image", "inspect", "--format={{.Id}}", "a:1")
        assert run_imagecap("get", "--json", "--image", identifier[7:19], tmp_path / "saved.tar").status == 0
        docker("load", "--input", changed)
        assert docker("image", "inspect", "--format={{.Id}}", "a:1") == identifier
        assert docker("image", "inspect", "--format={{.Id}}", "b:1") in changed.read_bytes().decode("latin-1").replace(
            "blobs/sha256/", "sha256:"
        )


def test_each_image_of_podman_save_can_be_chosen(tmp_path):
    made = _make_layouts(tmp_path)
    (tmp_path / "state").mkdir()
    program = podman.write_program(tmp_path / "state")
    for name, path in made.items():  # podman loads one image of an OCI archive.
        archive = saved.write_archive({name: path}, tmp_path / f"{path.name}.tar")
        podman.run(program, "load", "--quiet", f"--input={archive}")
    podman.run(program, "tag", "docker.io/library/b:1", "localhost/b:1")
    names = ("docker.io/library/a:1", "localhost/b:1")
    podman.run(program, "save", "--quiet", "--multi-image-archive", f"--output={tmp_path}/saved.tar", *names)
    (tmp_path / "new").mkdir()
    changed = _check_choice(tmp_path / "saved.tar", tmp_path / "new", {"a:1": A, "localhost/b:1": B})
    podman.run(program, "load", "--quiet", f"--input={changed}")
    assert podman.run(program, "images", "--format={{.Repository}}:{{.Tag}}", "localhost/b").startswith("localhost/b:1")


def test_each_image_of_ctr_images_export_can_be_chosen(tmp_path):
    made = _make_layouts(tmp_path)
    with (
        tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as state,
        engines.containerd(pathlib.Path(state)) as socket,
    ):

        def ctr(*arguments: object) -> None:
            command = [require.tool("ctr"), "--address", socket, "images", *map(str, arguments)]
            subprocess.run(command, check=True, capture_output=True)

        ctr("import", "--no-unpack", saved.write_archive(made, tmp_path / "image.tar"))
        ctr("export", tmp_path / "saved.tar", *made)
        (tmp_path / "new").mkdir()
        changed = _check_choice(tmp_path / "saved.tar", tmp_path / "new", {"docker.io/library/a:1": A, "b:1": B})
        ctr("import", "--no-unpack", changed)


def test_each_image_of_a_layout_that_skopeo_and_buildah_fill_can_be_chosen(tmp_path):
    for name, path in _make_layouts(tmp_path).items():
        short = name.removeprefix("docker.io/library/")
        command = [require.tool("skopeo"), "--insecure-policy", "copy", "--quiet", f"oci:{path}", f"oci:{tmp_path}/both:{short}"]
        subprocess.run(command, check=True)
    (tmp_path / "new").mkdir()
    _check_choice(tmp_path / "both", tmp_path / "new", {"a:1": A, "b:1": B})


def test_an_archive_of_skopeo_has_the_name_that_it_was_given(tmp_path):
    for kind in ("docker-archive", "oci-archive"):
        target = f"{kind}:{tmp_path}/{kind}.tar:registry.example/app:1"
        source = _make_layouts(tmp_path)["docker.io/library/a:1"]
        subprocess.run([require.tool("skopeo"), "--insecure-policy", "copy", "--quiet", f"oci:{source}", target], check=True)
        assert _get_names(tmp_path / f"{kind}.tar") == [["registry.example/app:1"]]
        for path in tmp_path.glob("layout-*"):
            shutil.rmtree(path)


def test_several_images_of_an_archive_are_changed(tmp_path):
    """As "docker save a b" writes them."""
    layouts = {}
    for name in ("a", "b"):
        layout = Layout(tmp_path / name)
        layouts[f"docker.io/library/{name}:1"] = layout.write_index(layout.put_image(LOWER, tar((f"/etc/{name}", None, name))))
    archive = saved.write_archive(layouts, tmp_path / "archive.tar")
    report = set_capabilities("--rewrite", archive, tmp_path / "new.tar", GRANT)
    assert len(report["images"]) == 2
    items = json.loads(list_members(tmp_path / "new.tar")["manifest.json"])
    assert [item["RepoTags"] for item in items] == [["a:1"], ["b:1"]]
    # The layer that both have is written once.
    assert items[0]["Layers"][0] == items[1]["Layers"][0]
    assert items[0]["Layers"][1] != items[1]["Layers"][1]


def test_a_name_that_does_not_exist_is_an_error_that_lists_the_names(tmp_path, layout):
    text = f'imagecap: --image: "c": "{layout}" has no image of this name; it has "a:1", "registry.example/web:2"\n'
    for arguments in (
        ("get", layout),
        ("set", "--rewrite", layout, tmp_path / "new", "/app=bpf"),
        ("explain", layout),
        ("review", layout),
    ):
        assert run_imagecap(*arguments, "--image", "c") == (2, "", text)
    done = run_imagecap("diff", "--image", "c", layout, layout)
    assert (done.status, done.stdout, done.stderr.splitlines()[0] + "\n") == (2, "", text)
    assert not (tmp_path / "new").exists()


def test_a_tar_of_files_has_no_name(tmp_path):
    (tmp_path / "files.tar").write_bytes(LOWER)
    path = tmp_path / "files.tar"
    expected = f'imagecap: --image: "a": "{path}" is a tar of files, which has no name\n'
    assert run_imagecap("get", "--image", "a", path) == (2, "", expected)
    assert run_imagecap("diff", "--image", "a", path, path).stderr.startswith(expected)


def test_explain_asks_for_a_name_where_there_are_several(layout):
    expected = f'imagecap: image: "{layout}": has 2 images; write --image, one of "a:1", "registry.example/web:2"\n'
    assert run_imagecap("explain", layout) == (2, "", expected)


def test_lines_begin_with_the_name_where_there_are_several(tmp_path, layout):
    set_capabilities("--rewrite", "--image=a:1", layout, tmp_path / "new", "/app=bpf")
    assert run_imagecap("get", tmp_path / "new").stdout == "a:1: linux/amd64: /app cap_bpf=p\n"
    assert "(a:1, linux/amd64):" in run_imagecap("review", tmp_path / "new").stdout
    done = run_imagecap("set", "--rewrite", layout, tmp_path / "other", "/app=bpf")
    assert done.stderr == ('imagecap: file: "/app": no file of the image has this path (registry.example/web:2, linux/amd64)\n')


def test_a_name_of_an_index_means_all_its_images(tmp_path):
    layout = Layout(tmp_path / "both")
    images = [layout.put_image(program_layer(A), architecture=name) for name in ("amd64", "arm64")]
    index = layout.put({"schemaVersion": 2, "mediaType": INDEX, "manifests": images}, INDEX)
    other = layout.put_image(program_layer(B))
    key = "io.containerd.image.name"
    path = layout.write_index({**index, "annotations": {key: "multi"}}, {**other, "annotations": {key: "other"}})
    report = set_capabilities("--rewrite", "--image=multi", path, tmp_path / "new", "/app=bpf")
    assert [image["platform"] for image in report["images"]] == ["linux/amd64", "linux/arm64"]
    assert read_index(tmp_path / "new")[1]["digest"] == other["digest"]
    report = set_capabilities("--rewrite", "--image=multi", "--platform=linux/arm64", path, tmp_path / "arm", "/app=bpf")
    assert [image["platform"] for image in report["images"]] == ["linux/arm64"]


def test_other_names_of_the_image_are_noted(tmp_path):
    layout = Layout(tmp_path / "both")
    entry = layout.put_image(program_layer(A))
    entries = [{**entry, "annotations": {"org.opencontainers.image.ref.name": name}} for name in ("a:1", "a:2", "a:3")]
    path = layout.write_index(*entries)
    report = set_capabilities("--rewrite", "--image=a:2", path, tmp_path / "new", "/app=bpf")
    assert report["notes"] == [
        f'"{name}" is a name of the same image, so that it names the new image too' for name in ("a:1", "a:3")
    ]
    assert len({entry["digest"] for entry in read_index(tmp_path / "new")}) == 1


def test_names_are_kept_when_the_kind_changes(tmp_path):
    archive = saved.write_archive(_make_layouts(tmp_path), tmp_path / "both.tar")
    members = {name: data for name, data in list_members(archive).items() if name not in ("index.json", "oci-layout")}
    plain = archives.write_archive(tmp_path / "plain.tar", members)
    set_capabilities("--rewrite", "--image=a:1", "--format=oci", plain, tmp_path / "new", "/app=bpf")
    assert _get_names(tmp_path / "new") == [["docker.io/library/a:1"], ["docker.io/library/b:1"]]


def test_the_best_match_of_a_name_is_chosen(tmp_path):
    names = {"/a": "localhost/x:latest", "/b": "docker.io/library/x:latest", "/c": "x"}
    path = _make_layout(tmp_path / "all", **names)

    def choose(name: str) -> list[list[str]]:
        return [sorted(image.names) for image in image_reader.read_images(str(path), name=name)]

    assert choose("x") == [["x"]]
    assert choose("x:latest") == [["docker.io/library/x:latest"], ["x"]]
    assert choose("localhost/x") == [["localhost/x:latest"]]
    only = _make_layout(tmp_path / "podman", **{"/a": "localhost/x:latest", "/b": "localhost/y:latest"})
    assert [image.names for image in image_reader.read_images(str(only), name="x")] == [("localhost/x:latest",)]


def test_an_image_without_a_name_can_be_chosen_by_its_digest(tmp_path):
    layout = Layout(tmp_path / "both")
    entries = [layout.put_image(program_layer(path)) for path in (A, B)]
    path = layout.write_index(*entries)
    digest = entries[1]["digest"]
    for name in (digest, digest[7:], digest[7:19]):
        report = set_capabilities("--rewrite", "--image", name, path, tmp_path / str(len(name)), "/web=bpf")
        assert [image["before"]["manifest"] for image in report["images"]] == [digest]
    done = run_imagecap("get", "--image", digest[7:18], path)
    assert done.stderr.endswith(f'it has "{entries[0]["digest"]}", "{digest}"\n')

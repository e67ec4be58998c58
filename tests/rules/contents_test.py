"""Tests of the contents of layers and configs that the rules make."""

from __future__ import annotations

import datetime
import pathlib
import tarfile

from support import layout as layouts

HERE = pathlib.Path("tests/rules")


def list_entries(blob: pathlib.Path) -> dict[str, str]:
    """Returns type, mode, owner, time, and link target or size of each entry, by name."""
    with tarfile.open(blob) as archive:
        return {
            entry.name: " ".join(
                [
                    {tarfile.REGTYPE: "file", tarfile.DIRTYPE: "directory", tarfile.SYMTYPE: "symlink"}[entry.type],
                    f"{entry.mode:04o} {entry.uid}:{entry.gid} {entry.mtime}",
                    entry.linkname or str(entry.size),
                ]
            )
            for entry in archive
        }


def test_a_layer_has_the_files_links_and_directories_of_its_attributes():
    listing = list_entries(HERE / "kinds.tar.gz")
    runfiles = "bin/program.runfiles"
    own, parent = "1000:1001 1700000000", "directory 0755 0:0 1700000000 0"
    file, directory = f"file 0644 {own}", f"directory 0755 {own} 0"
    skylib = next(name for name in listing if name.endswith("/paths.bzl"))
    mapping = listing.pop(f"{runfiles}/_repo_mapping")
    assert mapping.startswith(file)
    assert skylib.startswith(f"{runfiles}/bazel_skylib")
    assert listing.pop(skylib).startswith(file)
    while (skylib := skylib.rpartition("/")[0]) != runfiles:
        assert listing.pop(skylib) == parent
    assert listing == {
        "bin": parent,
        "bin/program": f"{file} 10",
        runfiles: parent,
        f"{runfiles}/_main": parent,
        f"{runfiles}/_main/linked": parent,
        f"{runfiles}/_main/linked/data": f"{file} 5",
        f"{runfiles}/_main/linked/tree": directory,
        f"{runfiles}/_main/linked/tree/one": f"{file} 4",
        f"{runfiles}/_main/linked/tree/sub": parent,
        f"{runfiles}/_main/linked/tree/sub/two": f"{file} 4",
        f"{runfiles}/_main/tests": parent,
        f"{runfiles}/_main/tests/rules": parent,
        f"{runfiles}/_main/tests/rules/data.txt": f"{file} 5",
        f"{runfiles}/_main/tests/rules/program": f"symlink 0777 {own} ../../../../program",
        f"{runfiles}/_main/tests/rules/program_tree": directory,
        f"{runfiles}/_main/tests/rules/program_tree/one": f"{file} 4",
        f"{runfiles}/_main/tests/rules/program_tree/sub": parent,
        f"{runfiles}/_main/tests/rules/program_tree/sub/two": f"{file} 4",
        f"{runfiles}/at_root": f"{file} 5",
        "data": parent,
        "data/one": f"{file} 5",
        "data/ünï cödé": f"{file} 5",
        "empty": directory,
        "files": parent,
        "files/data.txt": f"{file} 5",
        "files/program.bzl": f"{file} {(HERE / 'program.bzl').stat().st_size}",
        "link": f"symlink 0777 {own} data/one",
        "tree": directory,
        "tree/a": f"{file} 2",
        "tree/deep": parent,
        "tree/deep/b": f"{file} 2",
        "trees": parent,
        "trees/tree": directory,
        "trees/tree/a": f"{file} 2",
        "trees/tree/deep": parent,
        "trees/tree/deep/b": f"{file} 2",
    }


def test_a_program_is_packed_with_its_runfiles():
    listing = list_entries(HERE / "python_binary.tar")
    assert listing["srv/hello"].startswith("file 0755 0:0 0 ")
    assert listing["srv/hello.runfiles/_main/tests/rules/hello.py"].startswith("file 0755")
    assert listing["srv/hello.runfiles/_main/tests/rules/hello"] == "symlink 0777 0:0 0 ../../../../hello"


def test_an_image_inherits_the_config_and_the_layers_of_its_base():
    below = layouts.config(HERE / "base")
    assert below["config"] == {"User": "1000", "Env": ["PATH=/bin"], "Cmd": ["--base"]}
    config = layouts.config(HERE / "python")
    assert config["config"] == {"User": "1000", "Env": ["PATH=/srv:/bin"], "Entrypoint": ["/srv/hello"]}
    assert config["rootfs"]["diff_ids"][:1] == below["rootfs"]["diff_ids"]
    assert len(config["history"]) == len(config["rootfs"]["diff_ids"]) == 2
    for name in ("base", "python", "on_a_layout", "on_a_directory"):
        manifest = layouts.manifest(HERE / name)
        for descriptor in [manifest["config"], *manifest["layers"]]:
            layouts.blob(HERE / name, descriptor)


def test_a_layout_directory_as_base_gives_the_same_image_as_its_files():
    assert (HERE / "on_a_layout/index.json").read_bytes() == (HERE / "on_a_directory/index.json").read_bytes()
    assert len(layouts.manifest(HERE / "on_a_directory")["layers"]) == 3


def test_only_stamped_targets_have_the_time_of_the_build():
    created = layouts.config(HERE / "stamped")["created"]
    built = datetime.datetime.fromisoformat(created).timestamp()
    assert built > 1_700_000_000
    listing = list_entries(HERE / "stamped_layer.tar.gz")
    assert abs(int(listing["data"].split()[3]) - built) < 86400
    assert layouts.config(HERE / "base")["created"] == "1970-01-01T00:00:00Z"

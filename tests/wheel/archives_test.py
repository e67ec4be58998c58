"""imagecap.pyz changes the archives that builders of images write, in the shapes of apko, jib and rockcraft."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from rules_setcap.imagecap import library
from support import archives, image, registry, require

PYZ = pathlib.Path(os.environ["WHEEL"].split()[1]).absolute()
LAYER = image.tar(("app", None, "directory"), ("app/server", None, b"\x7fELF" + bytes(5000)))


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[registry.Registry]:
    with registry.serve(tmp_path_factory.mktemp("registry")) as made:
        yield made


def _run(*words: str | pathlib.Path) -> str:
    command = [require.tool(str(words[0])), *map(str, words[1:])]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _write_rock(path: pathlib.Path, layout: pathlib.Path, _served: registry.Registry) -> None:
    """Writes an archive as rockcraft does, by skopeo."""
    _run("skopeo", "copy", "--quiet", f"oci:{layout}", f"oci-archive:{path}:app:1.0")


def _write_apko(path: pathlib.Path, layout: pathlib.Path, served: registry.Registry) -> None:
    """Writes an archive as apko does: by the library of crane."""
    name = f"{served.host}/app:v1"
    _run("crane", "push", "--insecure", layout, name)
    _run("crane", "pull", "--insecure", name, path)


def _write_jib(path: pathlib.Path, _layout: pathlib.Path, _served: registry.Registry) -> None:
    """Writes an archive as jib does."""
    archives.write_archive(path, archives.jib(archives.image(LAYER)))


@pytest.mark.parametrize("way", ["--layer", "--rewrite"])
@pytest.mark.parametrize(
    ("write", "transport"),
    [(_write_rock, "oci-archive"), (_write_apko, "docker-archive"), (_write_jib, "docker-archive")],
    ids=["rockcraft", "apko", "jib"],
)
def test_a_changed_archive_goes_to_a_registry(
    tmp_path, served, way, write: Callable[[pathlib.Path, pathlib.Path, registry.Registry], None], transport
):
    layout = image.layout(tmp_path / "layout", LAYER)
    before, after, copied = (tmp_path / name for name in ("before", "after", "copied"))
    write(before, layout, served)
    command = [sys.executable, "-I", "-S", PYZ, "set", way, "--compression=zlib", before, after, "/app/server=cap_net_raw=ep"]
    subprocess.run(list(map(str, command)), check=True)
    name = f"{served.host}/new:{way.strip('-')}"
    _run("skopeo", "copy", "--quiet", "--dest-tls-verify=false", f"{transport}:{after}", f"docker://{name}")
    _run("skopeo", "copy", "--quiet", "--src-tls-verify=false", f"docker://{name}", f"oci:{copied}")
    assert {file.path: file.capabilities for file in library.read_image(copied).files} == {"/app/server": "cap_net_raw=ep"}
    shown = json.loads(_run("skopeo", "inspect", "--tls-verify=false", f"docker://{name}"))
    assert len(shown["Layers"]) == (2 if way == "--layer" else 1)

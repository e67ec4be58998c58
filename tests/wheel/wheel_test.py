"""The wheel imagecap and imagecap.pyz: what is in them, and that the same sources give the same bytes."""

from __future__ import annotations

import ast
import base64
import csv
import email
import email.message
import hashlib
import io
import os
import pathlib
import re
import shutil
import subprocess
import sys
import zipfile

import pytest

WHEEL, PYZ = (pathlib.Path(path).absolute() for path in os.environ["WHEEL"].split())
SOURCES = ("LICENSE", "MODULE.bazel", "pyproject.toml", "tools/imagecap", "tools/rules_setcap", "tools/wheel/README.md")


def _read_members(path: pathlib.Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def members() -> dict[str, bytes]:
    return _read_members(WHEEL)


@pytest.fixture(scope="module")
def version() -> str:
    found = re.search(r'^    version = "(.*)"', pathlib.Path("MODULE.bazel").read_text(), re.MULTILINE)
    assert found
    return found[1]


@pytest.fixture(scope="module")
def metadata(members: dict[str, bytes], version: str) -> email.message.Message:
    return email.message_from_bytes(members[f"imagecap-{version}.dist-info/METADATA"])


def test_the_name_has_the_version_of_the_module(version):
    assert WHEEL.name == f"imagecap-{version}-py3-none-any.whl"


def test_the_metadata_describe_the_package(metadata, version):
    assert metadata["Name"] == "imagecap"
    assert metadata["Version"] == version
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.get_payload() == pathlib.Path("tools/wheel/README.md").read_text()


def test_nothing_is_needed_but_for_extras(metadata):
    assert metadata.get_all("Provides-Extra") == ["gzip", "isal", "yaml"]
    assert metadata.get_all("Requires-Dist") == [
        "deflate>=0.9; extra == 'gzip'",
        "isal>=1.7; extra == 'isal'",
        "pyyaml>=6; extra == 'yaml'",
    ]


def test_the_wheel_has_the_packages_and_the_licence(members, version):
    tops = {name.split("/")[0] for name in members}
    assert tops == {"imagecap", "rules_setcap", f"imagecap-{version}.data", f"imagecap-{version}.dist-info"}
    assert {"imagecap/__init__.py", "imagecap/py.typed", "rules_setcap/py.typed"} <= members.keys()
    assert members[f"imagecap-{version}.dist-info/licenses/LICENSE"] == pathlib.Path("LICENSE").read_bytes()
    suffixes = {pathlib.PurePath(name).suffix for name in members if name.startswith(("imagecap/", "rules_setcap/"))}
    assert suffixes == {".py", ".typed"}


def test_the_wheel_has_the_man_page_and_the_completion(members, version):
    share = f"imagecap-{version}.data/data/share/"
    files = {name.removeprefix(share): data for name, data in members.items() if name.startswith(share)}
    assert files == {
        "bash-completion/completions/imagecap": pathlib.Path("tools/imagecap/imagecap.bash").read_bytes(),
        "man/man1/imagecap.1": pathlib.Path("tools/imagecap/imagecap.1").read_bytes(),
        "zsh/site-functions/_imagecap": pathlib.Path("tools/imagecap/_imagecap").read_bytes(),
    }


def test_it_installs_one_program(members, version):
    assert members[f"imagecap-{version}.dist-info/entry_points.txt"].decode().split() == [
        "[console_scripts]",
        "imagecap",
        "=",
        "rules_setcap.imagecap.__main__:main",
    ]


def test_the_record_has_the_hash_of_each_file(members, version):
    record = f"imagecap-{version}.dist-info/RECORD"
    rows = {name: (digest, size) for name, digest, size in csv.reader(io.StringIO(members[record].decode()))}
    assert rows.pop(record) == ("", "")
    assert rows.keys() == members.keys() - {record}
    for name, (digest, size) in rows.items():
        expected = base64.urlsafe_b64encode(hashlib.sha256(members[name]).digest()).rstrip(b"=").decode()
        assert (digest, size) == (f"sha256={expected}", str(len(members[name])))


@pytest.mark.parametrize("path", [WHEEL, PYZ], ids=lambda path: path.suffix)
def test_times_and_permissions_are_fixed(path):
    with zipfile.ZipFile(path) as archive:
        files = [member for member in archive.infolist() if not member.is_dir()]
    assert len({member.date_time for member in files}) == 1
    assert {member.external_attr >> 16 & 0o777 for member in files} == {0o644}
    assert len({member.filename for member in files}) == len(files)


def test_no_module_imports_a_room_that_is_not_in_the_wheel(members):
    modules = {name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in members if name.endswith(".py")}
    missing = set()
    for name, source in members.items():
        if not name.endswith(".py"):
            continue
        for node in ast.walk(ast.parse(source)):
            imported = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                imported = [str(node.module)]
            missing |= {(name, module) for module in imported if module.startswith("rules_setcap") and module not in modules}
    assert missing == set()


def test_every_room_in_the_wheel_is_used(members):
    """A room that no other room in the wheel imports is to be in `exclude` of pyproject.toml."""
    rooms = {name.split("/")[1] for name in members if re.fullmatch("rules_setcap/[^/]*/.*", name)}
    used = {"imagecap"}
    for name, source in members.items():
        if name.startswith("rules_setcap/"):
            imported = re.findall(r"from rules_setcap\.(\w+)|from rules_setcap import (\w+)", source.decode())
            used |= {room for pair in imported for room in pair if room and room != name.split("/")[1]}
    assert rooms <= used, f"add to exclude in pyproject.toml: {rooms - used}"


def test_the_application_has_the_modules_of_the_wheel(members):
    application = _read_members(PYZ)
    modules = {name: source for name, source in members.items() if name.endswith(".py")}
    assert application.pop("__main__.py") == members["imagecap/__main__.py"]
    assert application.pop("LICENSE") == pathlib.Path("LICENSE").read_bytes()
    assert {name: source for name, source in application.items() if not name.endswith("/")} == modules
    assert PYZ.read_bytes().startswith(b"#!/usr/bin/env python3\n")
    assert os.access(PYZ, os.X_OK)


def _copy_sources(directory: pathlib.Path) -> pathlib.Path:
    for path in SOURCES:
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if os.path.isdir(path):
            shutil.copytree(path, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(path, target)
    return directory


@pytest.mark.parametrize(
    ("environment", "umask"), [({"TZ": "Asia/Kathmandu"}, 0o077), ({"SOURCE_DATE_EPOCH": "1", "PYTHONHASHSEED": "1"}, 0)]
)
def test_another_build_gives_the_same_bytes(tmp_path, environment, umask):
    before = os.umask(umask)
    try:
        sources = _copy_sources(tmp_path / "sources")
        paths = sorted((str(path.relative_to(sources)) for path in sources.rglob("*") if path.is_file()), reverse=True)
        for number, path in enumerate(paths):
            (sources / path).chmod((0o400, 0o644, 0o755)[number % 3])
            os.utime(sources / path, (number * 10**7, number * 10**7))
        outputs = tmp_path / WHEEL.name, tmp_path / "imagecap.pyz"
        build = os.path.abspath(os.environ["BUILD_WHEEL"])
        subprocess.run([build, *map(str, outputs), *paths], cwd=sources, env={**os.environ, **environment}, check=True)
    finally:
        os.umask(before)
    assert outputs[0].read_bytes() == WHEEL.read_bytes()
    assert outputs[1].read_bytes() == PYZ.read_bytes()


def test_pip_builds_the_same_wheel_from_the_sources(tmp_path):
    """So `pip install git+https://...` installs what a release has."""
    sources = _copy_sources(tmp_path / "sources")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--disable-pip-version-check",
        "--no-build-isolation",
        "--no-deps",
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [*command, f"--wheel-dir={tmp_path}", str(sources)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / WHEEL.name).read_bytes() == WHEEL.read_bytes()

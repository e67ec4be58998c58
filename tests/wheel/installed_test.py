"""The wheel imagecap, installed in a virtual environment of its own with each supported Python, and imagecap.pyz."""

from __future__ import annotations

import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from rules_setcap.capabilities import FileCapabilities, from_text
from support import image, require

WHEEL, PYZ = (pathlib.Path(path).absolute() for path in os.environ["WHEEL"].split())
USER = pathlib.Path("tests/wheel/user.py").absolute()
# The interpreters of Debian's releases, which the private root has (tools/offline/interpreters.txt).
PYTHONS = ("python3.11", "python3.13", "python3.14")


def _run(*command: str | pathlib.Path, status: int = 0, **environment: str) -> str:
    """Runs a command without the packages of this test, and returns what it prints on both outputs."""
    done = subprocess.run(
        [str(word) for word in command],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C.UTF-8", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == status, done.stdout
    return done.stdout


def _run_pip(environment: pathlib.Path, *arguments: str | pathlib.Path) -> str:
    """Runs the pip of this test's interpreter for a virtual environment."""
    return _run(sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", environment / "bin/python", *arguments)


def _install(directory: pathlib.Path, python: str) -> pathlib.Path:
    """Returns a virtual environment in which the wheel is installed, and nothing else."""
    _run(require.tool(python), "-m", "venv", "--without-pip", directory)
    _run_pip(directory, "install", "--quiet", "--no-index", WHEEL)
    return directory


@pytest.fixture(scope="module", params=PYTHONS)
def installed(request, tmp_path_factory) -> pathlib.Path:
    return _install(tmp_path_factory.mktemp(request.param) / "environment", request.param)


@pytest.fixture(scope="module")
def app(tmp_path_factory) -> pathlib.Path:
    """Returns an image with a program that has a capability."""
    value = from_text("cap_net_admin=ep")
    assert isinstance(value, FileCapabilities)
    layer = image.tar(("app", value, b"\x7fELF" + bytes(60)))
    return image.layout(tmp_path_factory.mktemp("image") / "app", layer, Entrypoint=["/app"], User="65532")


def test_the_wheel_needs_nothing_else(installed):
    assert _run_pip(installed, "check").strip() == "No broken requirements found."
    names = [entry["name"] for entry in json.loads(_run_pip(installed, "list", "--format=json"))]
    assert names == ["imagecap"]


@pytest.mark.parametrize("how", ["imagecap", "python -m imagecap", "imagecap.pyz"])
def test_the_program_runs(installed, app, how, tmp_path):
    command = {
        "imagecap": [installed / "bin/imagecap"],
        "python -m imagecap": [installed / "bin/python", "-m", "imagecap"],
        "imagecap.pyz": [(installed / "bin/python").resolve(), "-I", "-S", PYZ],
    }[how]
    new = tmp_path / "new"
    assert _run(*command, "--version").startswith("imagecap (rules_setcap) ")
    assert _run(*command, "get", app) == "/app cap_net_admin=ep\n"
    assert "/app cap_net_admin=ep -> cap_bpf=p" in _run(*command, "set", "--rewrite", app, new, "/app=bpf")
    assert _run(*command, "get", new) == "/app cap_bpf=p\n"


def test_every_command_runs(installed, app):
    program = installed / "bin/imagecap"
    assert json.loads(_run(program, "get", "--json", app))["images"][0]["files"][0]["path"] == "/app"
    assert "operation not permitted" in _run(program, "explain", app, "--docker-run", "docker run app", status=1)
    assert "cap_net_admin" in _run(program, "review", app, status=1)
    assert _run(program, "diff", app, app).startswith("same\n")


def test_yaml_is_an_extra(installed, app, tmp_path):
    manifest = tmp_path / "pod.yaml"
    manifest.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": "app"},
                "spec": {
                    "containers": [{"name": "app", "image": "app", "securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}]
                },
            }
        )
    )
    command = installed / "bin/imagecap", "explain", app, "--kubernetes", manifest
    assert "imagecap: reading YAML needs PyYAML; install it (pip install PyYAML)" in _run(*command, status=2)
    specification = importlib.util.find_spec("yaml")
    assert specification
    assert specification.origin
    packages = tmp_path / "packages"
    packages.mkdir()
    # Without its C library, which is for one version of Python.
    shutil.copytree(pathlib.Path(specification.origin).parent, packages / "yaml", ignore=shutil.ignore_patterns("*.so"))
    assert "runs with cap_net_admin effective" in _run(*command, PYTHONPATH=str(packages))


def test_the_library_is_usable(installed, app, tmp_path):
    assert _run(installed / "bin/python", USER, app, tmp_path / "new").splitlines() == [
        "/app cap_net_admin=ep",
        "fix: add --cap-add=NET_ADMIN",
        "fix: add --cap-add=NET_ADMIN",
        "False False",
        "sha256: ['/app cap_net_raw,cap_bpf=p']",
        'capabilities: "app": must be absolute; write "/app"',
        'capabilities: "cap_bpff": unknown capability; did you mean "cap_bpf"?',
        "FileNotFoundError",
    ]


def _packages_of_tests() -> str:
    """Returns the directories of this test's packages, without those of its interpreter, which are for one version of Python."""
    return os.pathsep.join(path for path in sys.path if path.endswith("site-packages"))


def test_the_library_is_typed(tmp_path):
    python = _install(tmp_path / "environment", PYTHONS[0]) / "bin/python"
    wrong = tmp_path / "wrong.py"
    wrong.write_text("import imagecap\n\nimagecap.read_image(3)\nimagecap.explain('x').verdict.missing\n")
    flags = ["--strict", f"--cache-dir={tmp_path}/cache", f"--python-executable={python}", "--config-file="]
    output = _run(sys.executable, "-m", "mypy", *flags, USER, wrong, status=1, PYTHONPATH=_packages_of_tests())
    errors = [line for line in output.splitlines() if ": error: " in line]
    assert all(line.startswith(f"{wrong}:") for line in errors), output
    assert '"str | PathLike[str]"' in errors[0]
    assert '"str" has no attribute "missing"' in errors[1]

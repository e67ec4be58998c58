"""Every command in README.md and in the pages of docs/ prints what the page shows, in a workspace of a user.

The files that a page shows are written into a workspace that depends on rules_setcap, beside a checkout of it. Files that the
page does not show, such as the sources of a program, are in tests/docs/files, where BUILD.page stands for BUILD.bazel. A
setup.sh among them is run first.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator

import pages
import pytest

from support import commands, interpreter, registry, require
from support.bazel import Workspace

_FILES = pathlib.Path("tests/docs/files").absolute()
_PAGES = {path.as_posix(): path.read_text() for path in [pathlib.Path("README.md"), *sorted(pathlib.Path("docs").glob("*.md"))]}
_REGISTRY = "localhost:5000"
_NATIVE = {"exports_files", "filegroup", "genrule", "load", "package", "platform", "toolchain"}

_BAZELRC = """\
startup --output_user_root={home}/bazel --max_idle_secs=300
common --lockfile_mode=off --color=no --curses=no --noshow_progress
run --show_result=0
"""
# The pages leave out what Bazel prints about its work.
_WORK = re.compile(r"^(INFO: |WARNING: Build option \S+ has changed, discarding analysis cache).*\n", re.MULTILINE)
_FUNCTIONS = """\
# The pages write these names for these commands.
getcap() { bazel run @rules_setcap//tools/getcap -- "$@"; }
image_diff() { bazel run @rules_setcap//tools/image_diff -- "$@"; }
imagecap() { bazel run @rules_setcap//tools/imagecap -- "$@"; }
"""


class Shell:
    """A shell in a workspace."""

    def __init__(self, workspace: Workspace, directory: pathlib.Path) -> None:
        self._directory = workspace.directory
        self._home = directory / "home"
        (self._home / ".bazelrc").write_text(_BAZELRC.format(home=self._home))
        programs = directory / "bin"
        programs.mkdir()
        (programs / "bazel").symlink_to(require.tool("bazel"))
        storage = directory / "storage.conf"
        storage.write_text(f'[storage]\ndriver = "vfs"\ngraphroot = "{directory}/storage"\nrunroot = "{directory}/run"\n')
        self._environment = {
            "BUILDAH_ISOLATION": "chroot",
            "CONTAINERS_STORAGE_CONF": str(storage),
            "HOME": str(self._home),
            "PATH": f"{programs}:{os.environ['PATH']}",
            "USER": "user",
        }
        self._replacements: dict[str, str] = {}
        self._functions = _FUNCTIONS

    def clear(self) -> None:
        """Removes all files of the workspace, and what the last page started."""
        for path in self._directory.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        self._replacements = {}
        self._functions = _FUNCTIONS
        for name in ("DOCKER_HOST", "PYTHONPATH"):
            self._environment.pop(name, None)

    def start(self) -> None:
        """Starts Bazel's server, which would print a line in the output of the first command."""
        subprocess.run(
            ["bazel", "info", "server_pid"], cwd=self._directory, env=self._environment, capture_output=True, check=True
        )

    def use_registry(self, host: str) -> None:
        """Makes commands use a registry in place of the one that pages name."""
        self._replacements[_REGISTRY] = host

    def use_docker(self, host: str) -> None:
        """Makes commands use a Docker Engine."""
        self._environment["DOCKER_HOST"] = host

    def use_application(self, path: pathlib.Path) -> None:
        """Makes commands use imagecap.pyz, and Python programs its packages, in place of Bazel."""
        self._functions = f'imagecap() {{ python3 "{path}" "$@"; }}\n'
        self._environment["PYTHONPATH"] = str(path)

    def write(self, file: pages.File) -> None:
        """Writes a file into the workspace."""
        path = self._directory / file.path
        if file.path == "MODULE.bazel":  # The flags are for the modules of tests/docs/files/all.
            (self._directory / ".bazelrc").unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self._replace(file.text))

    def copy(self, source: pathlib.Path) -> None:
        """Copies the files of a directory into the workspace."""
        for path in sorted(source.rglob("*"), reverse=True):
            if path.is_file():
                name = path.relative_to(source).as_posix().replace(".page", ".bazel")
                text = path.read_text().replace("PYTHON_NAME", interpreter.LIBRARY.name)
                self.write(pages.File(name, text))

    def copy_python(self, path: str) -> None:
        """Copies an interpreter and its libraries into the workspace."""
        interpreter.copy_python(self._directory / path)

    def run(self, command: pages.Command) -> str:
        """Runs a command, and returns how it differs from what the page shows; "" if it does not."""
        done = subprocess.run(
            ["bash", "-c", self._functions + self._replace(command.line)],
            cwd=self._directory,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )
        printed = _WORK.sub("", done.stdout)
        if command.output and not pages.matches_output(self._replace(command.output), printed):
            return f"$ {command.line}\nprinted:\n{printed}\nThe page shows:\n{command.output}"
        if not command.output and done.returncode:
            return f"$ {command.line}\nfailed with exit status {done.returncode}:\n{done.stdout}"
        return ""

    def _replace(self, text: str) -> str:
        for before, after in self._replacements.items():
            text = text.replace(before, after)
        return text


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    directory = tmp_path_factory.mktemp("docs")
    workspace = Workspace(directory)
    yield Shell(workspace, directory)
    workspace.stop()


def _list_commands(page: str) -> list[str]:
    return [part.line for part in pages.parse_page(_PAGES[page]) if isinstance(part, pages.Command)]


@pytest.mark.parametrize("page", [page for page in _PAGES if _list_commands(page)])
def test_commands_print_what_the_page_shows(page, shell):
    shell.clear()
    files = _FILES / pathlib.Path(page).stem
    lines = "\n".join(_list_commands(page))
    differences, packages = [], []
    with contextlib.ExitStack() as stack:
        # The address of a socket has at most 107 bytes, and pytest's directories are longer.
        state = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="docs", dir="/tmp")))
        if _REGISTRY in lines + _PAGES[page]:
            (state / "served").mkdir()
            shell.use_registry(stack.enter_context(registry.serve(state / "served")).host)
        if re.search(r"\bdocker (run|load)\b", lines):
            (state / "engine").mkdir()
            shell.use_docker(stack.enter_context(commands.docker(state / "engine")).host)
        for source in (_FILES / "all", files):
            if source.exists():
                shell.copy(source)
        if page == "docs/without-bazel.md":
            shell.use_application(pathlib.Path(os.environ["PYZ"].split()[1]).absolute())
        if page == "docs/languages.md":
            shell.copy_python("third_party/python")
        shell.start()
        if (files / "setup.sh").exists():
            differences.append(shell.run(pages.Command(". ./setup.sh", "")))
        for part in pages.parse_page(_PAGES[page]):
            if isinstance(part, pages.File):
                shell.write(part)
            elif isinstance(part, pages.Command):
                differences.append(shell.run(part))
            if isinstance(part, pages.File) and part.path.endswith("/BUILD.bazel"):
                packages.append(f"//{part.path.removesuffix('/BUILD.bazel')}:all")
        if packages:  # Also those that no command of the page builds.
            differences.append(shell.run(pages.Command(f"bazel build {' '.join(packages)}", "")))
    if any(differences):
        pytest.fail("\n".join(filter(None, differences)), pytrace=False)


@pytest.mark.parametrize("page", _PAGES)
def test_starlark_has_its_load_statements(page):
    """Checks files that no test builds too. A snippet without a path is not built, so it must not have a rule."""
    for part in pages.parse_page(_PAGES[page]):
        text = part.text if isinstance(part, (pages.File, pages.Snippet)) else ""
        loaded = {
            name
            for names in re.findall(r"^load\((.*?)\)", text, re.MULTILINE | re.DOTALL)
            for name in re.findall(r'"(\w+)"', names)
        }
        called = set(re.findall(r"^(\w+)\(", text, re.MULTILINE))
        if isinstance(part, pages.File) and pathlib.Path(part.path).name == "BUILD.bazel":
            assert called - loaded <= _NATIVE, part
        elif isinstance(part, pages.Snippet) and part.language == "starlark" and text.startswith("load("):
            pytest.fail(f"{page}: a rule in a snippet without a path is not built; write the path as a comment: {part.text}")


@pytest.mark.parametrize("page", _PAGES)
def test_links_lead_to_files_and_headings(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", _PAGES[page]):
        if "://" in target or target.startswith("mailto:"):
            continue
        name, _, anchor = target.partition("#")
        path = pathlib.Path(os.path.normpath(pathlib.Path(page).parent / name)) if name else pathlib.Path(page)
        if anchor and path.as_posix() in _PAGES:
            headings = re.findall(r"^#+ (.*)$", _PAGES[path.as_posix()], re.MULTILINE)
            assert anchor in {_make_anchor(heading) for heading in headings}, target


def _make_anchor(heading: str) -> str:
    """Returns the anchor that GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")

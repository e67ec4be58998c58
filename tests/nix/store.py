"""A Nix store of a test, with the sandbox that Nix has by default on Linux."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys

from support import require

_CONFIGURATION = """\
build-users-group =
experimental-features = nix-command flakes
sandbox = true
sandbox-fallback = false
sandbox-paths = {paths}
substituters =
"""


class Store:
    """A store, and a copy of the repository that it builds.

    Attributes:
      directory: the directory of both.
      sources: the copy of the repository: the functions and the tools.
      python: the interpreter of the test, which builds see at the same path.
    """

    def __init__(self, directory: pathlib.Path) -> None:
        """Creates a store in an empty directory, in which no component is a symbolic link."""
        self.directory = directory
        self.sources = directory / "sources"
        for path in ("flake.nix", "nix", "tools/launch.py", "tools/rules_setcap"):
            _copy(pathlib.Path(path), self.sources / path)
        self.python = pathlib.Path(os.path.realpath(sys.executable))
        needed = [str(self.python.parents[1]), os.path.realpath(os.environ["GZIP_LIBRARY"]), "/usr", "/lib", "/lib64"]
        # Nix creates the files that it mounts to, so it would truncate a file below a directory that it has mounted before.
        paths = [path for path in needed if os.path.exists(path) and not path.startswith(tuple(f"{other}/" for other in needed))]
        (directory / "etc").mkdir()
        (directory / "etc/nix.conf").write_text(_CONFIGURATION.format(paths=" ".join(dict.fromkeys(paths))))

    def run(self, *words: str, status: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Runs a program of Nix in the directory of the store.

        Args:
          *words: the program and its arguments.
          status: the expected exit status; None for any but 0.
        """
        names = {"STORE_DIR": "store", "STATE_DIR": "var", "LOG_DIR": "log", "CONF_DIR": "etc", "LOCALSTATE_DIR": "var"}
        environment = {f"NIX_{name}": str(self.directory / path) for name, path in names.items()}
        environment |= {"HOME": str(self.directory / "home"), "PATH": os.environ["PATH"]}
        command = [require.tool(words[0]), *words[1:]]
        done = subprocess.run(command, cwd=self.directory, env=environment, capture_output=True, text=True)
        assert done.returncode == status if status is not None else done.returncode != 0, done.stderr
        return done

    def evaluate(self, expression: str, *flags: str, status: int | None = 0) -> str:
        """Evaluates an expression in which `functions` has the functions; returns what is printed: JSON, or the error."""
        done = self.run("nix-instantiate", "--eval", "--json", "--strict", *flags, "--expr", self._let(expression), status=status)
        return done.stderr if done.returncode else done.stdout

    def build(self, expression: str, *flags: str) -> list[pathlib.Path]:
        """Builds the derivations of an expression in which `functions` has the functions; returns their outputs."""
        done = self.run("nix-build", "--no-out-link", *flags, "--expr", self._let(expression))
        return [pathlib.Path(line) for line in done.stdout.splitlines()]

    def fail_to_build(self, expression: str) -> str:
        """Returns what Nix prints for an expression that cannot be built."""
        return self.run("nix-build", "--no-out-link", "--expr", self._let(expression), status=None).stderr

    def _let(self, expression: str) -> str:
        """Returns an expression in which `functions` has the functions."""
        return f"""
            let functions = import {self.sources}/nix/functions.nix {{
              python = "{self.python}";
              system = builtins.currentSystem;
              gzipLibrary = "{os.path.realpath(os.environ["GZIP_LIBRARY"])}";
            }}; in {expression}
        """


def _copy(source: pathlib.Path, target: pathlib.Path) -> None:
    """Copies a file or directory; Bazel's links to files become files."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)

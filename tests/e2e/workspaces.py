"""The workspaces of e2e, copied to where no file of this repository is that users do not get.

Modules that the machine has no sources of are replaced by stand-ins: those of tests/docs/files/all/modules, and those of
tests/e2e/modules, which add files to them. In both, BUILD.page stands for BUILD.bazel.
"""

from __future__ import annotations

import pathlib
import re
import shutil

from support import bazel

# The source tree, which is not an input of the tests.
ROOT = pathlib.Path("pyproject.toml").resolve().parent
NAMES = sorted(path.parent.name for path in ROOT.glob("e2e/*/BUILD.bazel"))
_STAND_INS = [pathlib.Path("tests/docs/files/all/modules"), pathlib.Path("tests/e2e/modules")]
# Debian's packages, in the private root. tools/offline/bazelrc has the others.
_DEBIAN = {"rules_java": pathlib.Path("/usr/share/bazel/rules/java"), "rules_pkg": pathlib.Path("/usr/share/bazel/rules/pkg")}


class Workspace(bazel.Project):
    """A copy of a workspace of e2e.

    Attributes:
      name: its directory below e2e.
      flags: the flags with which Bazel uses the modules that the machine has.
    """

    def __init__(self, name: str, directory: pathlib.Path) -> None:
        """Copies the workspace.

        Args:
          name: its directory below e2e.
          directory: the directory of all copies. They have one home directory, so they share what Bazel installs and caches.
        """
        self.name = name
        checkout = directory / "rules_setcap"
        if not checkout.exists():
            bazel.copy_distribution(checkout)
        copy = checkout / "e2e" / name
        shutil.copytree(ROOT / "e2e" / name, copy, ignore=shutil.ignore_patterns("bazel-*", "MODULE.bazel.lock"))
        module = copy / "MODULE.bazel"
        super().__init__(copy, directory / "home", module=module.exists())
        self.flags = [f"--disk_cache={directory}/cache"]
        pending, known = _list_dependencies(module), {"rules_setcap"}
        while pending:
            dependency = pending.pop()
            path = _find_module(dependency, directory / "modules")
            if path and dependency not in known:
                self.flags.append(f"--override_module={dependency}={path}")
                if dependency not in _DEBIAN:
                    pending += _list_dependencies(path / "MODULE.bazel")
            known.add(dependency)

    def test(self, *flags: str) -> dict[str, str]:
        """Builds and tests all targets.

        Args:
          *flags: flags of Bazel, in addition to `flags`.

        Returns:
          The content of the index.json of each image, by its path in bazel-bin.
        """
        done = self.run("test", *self.flags, *flags, bazel.LAYOUTS, "--test_output=errors", "//...", check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        count = len(re.findall(r"^\w+_test\(", (self.directory / "BUILD.bazel").read_text(), re.MULTILINE))
        assert re.search(rf"\b{count} tests? pass", done.stdout), done.stdout
        output = self.output("")
        return {str(path.relative_to(output)): path.read_text() for path in output.glob("*/index.json")}


def _list_dependencies(module: pathlib.Path) -> list[str]:
    """Returns the modules that a MODULE.bazel names; none if the file does not exist."""
    return re.findall(r'^bazel_dep\(name = "(.*?)"', module.read_text(), re.MULTILINE) if module.exists() else []


def _find_module(name: str, directory: pathlib.Path) -> pathlib.Path | None:
    """Returns the path of a module that the machine has, or of a stand-in; None if Bazel finds it by itself."""
    debian = _DEBIAN.get(name)
    if debian and not debian.exists():
        return None
    stand_ins = [parent / name for parent in _STAND_INS if (parent / name).exists()]
    if not stand_ins:
        return debian
    made = directory / name
    if not made.exists():
        if debian:
            shutil.copytree(debian, made)
        for stand_in in stand_ins:
            for path in stand_in.rglob("*"):
                if path.is_file():
                    target = made / str(path.relative_to(stand_in)).replace(".page", ".bazel")
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, target)
    return made

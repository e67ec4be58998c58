"""Builds ko, which Debian does not have, and a Go program for it.

ko packs a Go program and the files in its `kodata`. The program here does nothing and is in the build cache of Go. A second
contender has no files: it measures what ko does besides packing.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable

import workloads
from measure import Contender

PACKAGE = "github.com/google/ko@v0.19.1"
"""The package that is built if this machine does not have ko."""

_MINUTES = 15

_FLAGS = ("--push=false", "--sbom=none", "--bare", "--oci-layout-path=../out/layout", "--platform=linux/amd64")


def _find_cache() -> pathlib.Path:
    """Returns a directory in the user's cache directory (XDG Base Directory Specification)."""
    home = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(home, "rules_setcap/bench")


def provide_ko(report: Callable[[str], None]) -> None:
    """Puts ko on PATH, unless it is there. It is built on the first use.

    Args:
      report: is called with what happens, and why ko cannot be built.
    """
    if shutil.which("ko"):
        return
    directory = _find_cache() / PACKAGE.rpartition("/")[2]
    if not directory.exists():
        report(f"building {PACKAGE}, which is kept in {_find_cache()}")
        why = _build_ko(directory)
        if why:
            report(f"  no ko: {why}")
            return
    os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}{os.pathsep}{directory}"


def _build_ko(directory: pathlib.Path) -> str:
    """Builds ko into a directory, without its sources and objects, which have 2 GB.

    Returns:
      Why ko cannot be built; "" if it has been built.
    """
    if not shutil.which("go"):
        return "building it needs Go"
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="go.", dir=directory.parent) as stage:
        below = {"GOPATH": "path", "GOMODCACHE": "path/pkg/mod", "GOCACHE": "cache", "GOBIN": "bin"}
        variables = {name: f"{stage}/{path}" for name, path in below.items()}
        # By default, Go makes its modules read-only, so that they could not be removed.
        env = {**os.environ, **variables, "CGO_ENABLED": "0", "GOFLAGS": "-modcacherw"}
        command = ["go", "install", PACKAGE]
        try:
            pipe = subprocess.PIPE
            subprocess.run(command, env=env, cwd=stage, stderr=pipe, text=True, timeout=_MINUTES * 60, check=True)
        except subprocess.TimeoutExpired:
            return f"not built in {_MINUTES} min"
        except subprocess.CalledProcessError as error:
            lines: list[str] = error.stderr.strip().splitlines() or [str(error)]
            return lines[-1].strip()
        # The directory appears with its contents or not at all.
        os.replace(f"{stage}/bin", directory)
    return ""


def run_ko_build(has_files: bool = True) -> Contender:
    """Returns `ko build` of a program that does nothing, with the files of the workload or without files."""
    name = "ko" if has_files else "ko-empty"

    def before(out: pathlib.Path) -> None:
        if not (out.parent / name).exists():
            _write_program(out.parent / name, out.parent / "in" if has_files else None)

    env = {
        "GOCACHE": str(_find_cache() / "go-build"),
        "GOPATH": str(_find_cache() / "go"),
        "GOPROXY": "off",
        "GOTOOLCHAIN": "local",
        "CGO_ENABLED": "0",
        "KOCACHE": "cache",
        "KO_DOCKER_REPO": "registry.invalid/app",
    }
    return Contender(
        "ko build (gzip 1)" if has_files else "ko build, without files",
        ["env", f"--chdir={name}", "ko", "build", *_FLAGS, "."],
        "layout",
        before,
        ("env", "ko", "go"),
        tuple(env.items()),
        f"the benchmark builds {PACKAGE} if it has Go and a module proxy",
    )


def _write_program(directory: pathlib.Path, files: pathlib.Path | None) -> None:
    """Writes a Go program, hard links to its files, and the configuration of ko."""
    stage = directory.with_suffix(".partial")
    stage.mkdir()
    (stage / "go.mod").write_text("module app\n\ngo 1.21\n")
    (stage / "main.go").write_text("package main\n\nfunc main() {}\n")
    if files is None:
        (stage / "kodata").mkdir()
    else:
        shutil.copytree(files, stage / "kodata", copy_function=os.link)
    # ko finds a base with a digest in this layout, and needs no registry.
    digest = workloads.write_base(stage / "cache/img", 0, layers=0)
    (stage / ".ko.yaml").write_text(f"defaultBaseImage: registry.invalid/base@{digest}\n")
    stage.rename(directory)

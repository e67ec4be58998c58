"""ko, which Debian does not have: the benchmark builds it, once, and makes it something to build.

ko packs the files in `kodata` beside a Go program, and the program. So the program here
does nothing, Go's build cache has it, and a second contender has no files: what ko takes
beside packing.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import tempfile
from typing import Callable

import workloads
from measure import Contender

PACKAGE = "github.com/google/ko@v0.19.1"
"""What is built where there is no ko; the version is fixed."""

_MINUTES = 15

_FLAGS = ("--push=false", "--sbom=none", "--bare", "--oci-layout-path=../out/layout", "--platform=linux/amd64")


def _cache() -> pathlib.Path:
    """Below the user's cache directory (XDG Base Directory Specification)."""
    home = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(home, "rules_setcap/bench")


def provide(say: Callable[[str], None]) -> None:
    """Sees to it that ko is on PATH: the one that is there, or else PACKAGE, built on first use.

    Args:
      say: gets what it does, and why it cannot be done where that is so.
    """
    if shutil.which("ko"):
        return
    place = _cache() / PACKAGE.rpartition("/")[2]
    if not place.exists():
        say(f"building {PACKAGE}, which is kept in {_cache()}")
        why = _build(place)
        if why:
            say(f"  no ko: {why}")
            return
    os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}{os.pathsep}{place}"


def _build(place: pathlib.Path) -> str:
    """Fills a directory with the program alone: its sources and objects are 2 GB.

    Returns:
      Why it cannot be done; "" if it is.
    """
    if not shutil.which("go"):
        return "no go to build it with"
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="go.", dir=place.parent) as stage:
        below = {"GOPATH": "path", "GOMODCACHE": "path/pkg/mod", "GOCACHE": "cache", "GOBIN": "bin"}
        variables = {name: f"{stage}/{path}" for name, path in below.items()}
        # Go would make its modules read-only, also for whoever removes them.
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
        # Whole or not at all.
        os.replace(f"{stage}/bin", place)
    return ""


def build(files: bool = True) -> Contender:
    """ko build of a program that does nothing, with the workload's files or with none."""
    name = "ko" if files else "ko-empty"

    def before(out: pathlib.Path) -> None:
        if not (out.parent / name).exists():
            _program(out.parent / name, out.parent / "in" if files else None)

    env = {
        "GOCACHE": str(_cache() / "go-build"),
        "GOPATH": str(_cache() / "go"),
        "GOPROXY": "off",
        "GOTOOLCHAIN": "local",
        "CGO_ENABLED": "0",
        "KOCACHE": "cache",
        "KO_DOCKER_REPO": "registry.invalid/app",
    }
    return Contender(
        "ko build (gzip 1)" if files else "ko build, without files",
        ["env", f"--chdir={name}", "ko", "build", *_FLAGS, "."],
        "layout",
        before,
        ("env", "ko", "go"),
        tuple(env.items()),
        f"the benchmark builds {PACKAGE} where it has Go and a module proxy",
    )


def _program(directory: pathlib.Path, files: pathlib.Path | None) -> None:
    """A Go program, its files as hard links, and ko's settings."""
    stage = directory.with_suffix(".partial")
    stage.mkdir()
    (stage / "go.mod").write_text("module app\n\ngo 1.21\n")
    (stage / "main.go").write_text("package main\n\nfunc main() {}\n")
    if files is None:
        (stage / "kodata").mkdir()
    else:
        shutil.copytree(files, stage / "kodata", copy_function=os.link)
    # ko looks for a base with a digest in this layout first, and so needs no registry.
    digest = workloads.base(stage / "cache/img", 0, layers=0)
    (stage / ".ko.yaml").write_text(f"defaultBaseImage: registry.invalid/base@{digest}\n")
    stage.rename(directory)

"""Builds programs in Go from modules, once for all tests, and keeps them in the user's cache directory."""

from __future__ import annotations

import fcntl
import hashlib
import os
import pathlib
import pwd
import shutil
import subprocess

from support import require

_FILES = ("go.mod", "go.sum", "main.go")


def build_program(name: str, sources: pathlib.Path, package: str = ".") -> pathlib.Path:
    """Returns the path of a program, which is built unless the cache directory has it.

    Args:
      name: the name of the program.
      sources: a directory with go.mod, go.sum and main.go.
      package: the package to build.
    """
    go = require.tool("go")
    version = subprocess.run(
        [go, "env", "GOVERSION"], check=True, capture_output=True, text=True, env={**os.environ, "HOME": "/"}
    ).stdout
    digest = hashlib.sha256(version.encode() + b"".join((sources / file).read_bytes() for file in _FILES)).hexdigest()[:12]
    # Bazel sets another HOME for tests.
    cache = (
        pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path(pwd.getpwuid(os.getuid()).pw_dir, ".cache"))
        / "rules_setcap"
    )
    cache.mkdir(parents=True, exist_ok=True)
    built = cache / f"{name}-{digest}"
    with open(cache / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # One test builds the program, the others wait.
        if not built.exists():
            _build(go, sources, package, built)
    return built


def _build(go: str, sources: pathlib.Path, package: str, built: pathlib.Path) -> None:
    """Builds a program from the modules in go.sum, and removes the modules and objects (3 GB for the kubelet)."""
    stage = built.with_suffix(".partial")
    shutil.rmtree(stage, ignore_errors=True)
    (stage / "source").mkdir(parents=True)
    for name in _FILES:
        (stage / "source" / name).write_bytes((sources / name).read_bytes())
    environment = {
        **os.environ,
        "CGO_ENABLED": "0",
        "GOCACHE": str(stage / "cache"),
        "GOFLAGS": "-modcacherw -p=2",
        "GOMODCACHE": str(stage / "modules"),
        "GOPATH": str(stage / "path"),
        "GOTOOLCHAIN": "local",
        "HOME": str(stage),
    }
    command = [go, "build", "-mod=readonly", "-trimpath", "-ldflags=-s -w", "-o", str(stage / "program"), package]
    done = subprocess.run(command, cwd=stage / "source", env=environment, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr[-10000:]
    os.replace(stage / "program", built)
    shutil.rmtree(stage, ignore_errors=True)

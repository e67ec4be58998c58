"""Runs imagecap in this process, and the actions of the rules, with which it is compared."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pathlib
from typing import Any, NamedTuple

from rules_setcap.imagecap import cli
from support import packer

ATTRIBUTES: dict[str, Any] = {
    "mtime": "0",
    "entrypoint": None,
    "cmd": None,
    "env": {},
    "user": "",
    "working_dir": "",
    "exposed_ports": [],
    "volumes": [],
    "labels": {},
    "annotations": {},
    "stop_signal": "",
    "created": "",
}
"""The attributes of an image that sets nothing but its base, as the rule writes them."""


class Ran(NamedTuple):
    """A run of imagecap: its exit status and its output."""

    status: int
    stdout: str
    stderr: str


def run_imagecap(*arguments: object) -> Ran:
    """Runs imagecap in this process."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        try:
            status = cli.main([str(argument) for argument in arguments])
        except SystemExit as error:  # argparse
            status = int(error.code or 0)
    assert "Traceback" not in stderr.getvalue()
    assert "internal error" not in stderr.getvalue(), stderr.getvalue()
    return Ran(status, stdout.getvalue(), stderr.getvalue())


def set_capabilities(*arguments: object) -> dict[str, Any]:
    """Runs `imagecap set --json`, which succeeds; returns its report."""
    done = run_imagecap("set", "--json", *arguments)
    assert done.status == 0, done.stderr
    return json.loads(done.stdout)


def build_as_rules(
    directory: pathlib.Path,
    layout: pathlib.Path,
    capabilities: dict[str, str],
    compression: str = "zlib",
    platform: str = "linux/amd64",
) -> dict[str, Any]:
    """Runs the actions of `image(base = layout, file_capabilities = capabilities)`.

    Args:
      directory: an empty directory for the outputs.
      layout: the base.
      capabilities: the attribute file_capabilities.
      compression: as packer.make_compression_flags() takes it.
      platform: the attribute platform.

    Returns:
      The descriptor of the manifest.
    """
    parts = dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))
    full = f"{parts['os']}/{parts['architecture']}/{parts.get('variant', '')}"
    spec = "--attributes=" + json.dumps({**ATTRIBUTES, "platform": platform})
    base = f"--base-layout={layout}"
    done = packer.run(
        "attributes", spec, base, "--base-name=//:base", "--output=spec", "--problems-output=problems", cwd=directory
    )
    assert done == (0, "")
    done = packer.run(
        "copy",
        "--output=blob",
        "--metadata=metadata",
        "--created-by=rules_setcap",
        *packer.make_compression_flags(compression),
        f"--lower-layout={layout}",
        f"--platform={full}",
        *(packer.assign(path, *([text] if text else [])) for path, text in capabilities.items()),
        cwd=directory,
    )
    assert done == (0, "")
    outputs = [f"--{name}-output={name}" for name in ("manifest", "config", "descriptor")]
    done = packer.run(
        "image", "--spec=spec", "--problems=problems", "--layer=metadata", base, "--base-name=//:base", *outputs, cwd=directory
    )
    assert done == (0, "")
    return json.loads((directory / "descriptor").read_bytes())


def count(default: int) -> int:
    """Returns the number of random cases: the variable COUNT, or a default."""
    return int(os.environ.get("COUNT", default))

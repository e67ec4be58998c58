"""The JSON of each command has a version, and its keys are documented."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest

from rules_setcap.capabilities import from_text
from rules_setcap.containers.engines import BEHAVIOURS
from rules_setcap.getcap import cli
from rules_setcap.oci.engines.table import ENGINES
from support.image import layout, tar

NET = from_text("cap_net_bind_service=p")
SCRIPT = "#!/bin/sh\n. /etc/profile\n"
# Keys that are names of capabilities, container runtimes, and engines with their storage drivers.
NAMES = {"cap_net_bind_service", *BEHAVIOURS, *ENGINES}


def list_keys(value: object) -> set[str]:
    """Returns all keys of the objects in a JSON value."""
    if isinstance(value, dict):
        return {key for key in value if key not in NAMES}.union(*map(list_keys, value.values()))
    return set().union(*map(list_keys, value)) if isinstance(value, list) else set()


def run_getcap(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """Runs getcap; returns the JSON that it prints."""
    cli.main(list(arguments))
    report = json.loads(capsys.readouterr().out)
    assert isinstance(report, dict)
    return report


@pytest.mark.parametrize(
    "arguments, page",
    [
        (["--json", "--all-layers"], "getcap"),
        (["explain", "--json"], "getcap"),
        (["explain", "--json", "--docker-run=docker run --entrypoint=/run app"], "getcap"),
        (["--review", "--json"], "review"),
    ],
)
def test_json_has_a_version_and_documented_keys(tmp_path: pathlib.Path, capsys, arguments: list[str], page: str):
    entries = ("/x", NET, "file"), ("/hard", None, "=/x"), ("/run", None, SCRIPT), ("/bin/sh", None, "file")
    report = run_getcap(capsys, *arguments, str(layout(tmp_path / "image", tar(*entries), Entrypoint=["/x"])))
    assert next(iter(report.items())) == ("version", 1)
    documented = pathlib.Path(f"docs/{page}.md").read_text()
    assert not [key for key in list_keys(report) if f"`{key}`" not in documented]


def test_a_container_that_does_not_start_has_five_keys(tmp_path: pathlib.Path, capsys):
    manifest = tmp_path / "pod.yaml"
    manifest.write_text(
        "{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {containers: "
        "[{name: app, image: app, securityContext: {runAsNonRoot: true}}]}}"
    )
    image = layout(tmp_path / "image", tar(("/x", NET, "file")), Entrypoint=["/x"])
    report = run_getcap(capsys, "explain", "--json", f"--kubernetes={manifest}", str(image))
    assert list(report) == ["version", "verdict", "why", "fix", "notes"]

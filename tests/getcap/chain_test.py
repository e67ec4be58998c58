"""Which programs getcap explain follows, and the fix for capabilities of another user namespace."""

from __future__ import annotations

import json
import pathlib
import shlex

import pytest

import capabilities
from getcap import cli
from support.image import layout, tar

NET = capabilities.from_text("cap_net_bind_service=p")
PROGRAM = "\x7fELF"
PROGRAMS = "/app/server", "/bin/bash", "/bin/dumb-init", "/bin/env", "/bin/nice", "/bin/sh", "/bin/stdbuf", "/bin/tini", "/bin/xargs"


def _image(directory: pathlib.Path, value: capabilities.FileCapabilities = NET) -> str:
    entries = [(path, value if path == "/app/server" else None, PROGRAM) for path in PROGRAMS]
    entries.append(("/entry.sh", None, "#!/bin/sh\nexec \"$@\"\n"))
    return str(layout(directory / "image", tar(*entries), User="65532", Env=["PATH=/app:/bin"]))


def _explain(capsys: pytest.CaptureFixture[str], image: str, command: str) -> tuple[int, dict]:
    status = cli.main(["explain", "--json", image, "--docker-run", command, "--runtime=docker"])
    output = capsys.readouterr()
    assert output.err == ""
    return status, json.loads(output.out)


FOLLOWED = [
    ("sh -c /app/server", "sh server"),
    ("sh -ec /app/server", "sh server"),
    ("sh -lc /app/server", "sh server"),
    ("sh -exc /app/server", "sh server"),
    ("bash -c 'exec server --port 80'", "bash server"),
    ("sh -c 'A=1 exec server'", "sh server"),
    ("sh -c 'sh -c server'", "sh sh server"),
    ("/entry.sh server --port", "sh server"),
    ("tini -- server", "tini server"),
    ("tini -p SIGTERM -g server", "tini server"),
    ("dumb-init -r 15:3 server", "dumb-init server"),
    ("env -u X A=1 server", "env server"),
    ("nice -n 5 server", "nice server"),
    ("stdbuf -oL -e 0 server", "stdbuf server"),
    ("tini -- /entry.sh nice server", "tini sh nice server"),
    # A shell that may do anything, and programs that are not known to execute another.
    ("sh -c 'server | cat'", "sh"),
    ("sh -c 'server && server'", "sh"),
    ("sh -c '$SERVER'", "sh"),
    ("sh -x server", "sh"),
    ("sh -c", "sh"),
    ("/entry.sh -v server", "sh"),
    ("/entry.sh other", "sh"),
    ("xargs server", "xargs"),
    ("server sh -c server", "server"),
]


@pytest.mark.parametrize("command, programs", FOLLOWED)
def test_programs(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], command: str, programs: str):
    first, *rest = shlex.split(command)
    _, said = _explain(capsys, _image(tmp_path), f"docker run --entrypoint={first} app {shlex.join(rest)}")
    assert " ".join(each["path"].rpartition("/")[2] for each in said["programs"]) == programs


def test_the_first_user_of_a_name_counts(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]):
    """As for getpwnam(3), and for runc, Docker and containerd."""
    passwd = "root:x:0:0::/:/bin/sh\napp:x:5:5::/:/bin/sh\napp:x:0:0::/:/bin/sh\n"
    image = layout(tmp_path / "image", tar(("/app/server", NET, PROGRAM), ("/etc/passwd", None, passwd)), User="app")
    _, said = _explain(capsys, str(image), "docker run --entrypoint=/app/server app")
    assert said["uid"] == 5


def test_no_more_than_eight_programs(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]):
    image = _image(tmp_path)
    for count, last in ((7, "/app/server"), (8, "/bin/nice")):
        _, said = _explain(capsys, image, "docker run --entrypoint=nice app " + "nice " * (count - 1) + "server")
        assert (len(said["programs"]), said["programs"][-1]["path"]) == (8, last)


@pytest.mark.parametrize("rootid", [0, 1, 65536])
def test_capabilities_of_another_user_namespace(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], rootid: int):
    """capabilities(7), "Namespaced file capabilities": they count where the namespace's root has that uid."""
    status, said = _explain(capsys, _image(tmp_path, NET._replace(rootid=rootid)), "docker run --entrypoint=server app")
    if not rootid:
        assert (status, said["fix"]) == (0, [])
        return
    assert status == 1 and said["permitted"] == []
    assert any(f"whose root is uid {rootid}" in why for why in said["why"])
    assert said["fix"] == ['give /app/server the capabilities: file_capabilities = {"/app/server": "cap_net_bind_service=p"}']

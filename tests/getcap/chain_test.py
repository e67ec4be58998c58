"""`getcap explain` follows the programs of a container, and says when it cannot."""

from __future__ import annotations

import json
import pathlib
import shlex

import pytest

from rules_setcap import capabilities
from rules_setcap.getcap import cli
from support import oci_layout
from support.image import layout, tar
from support.oci_layout import Member

NET = capabilities.from_text("cap_net_bind_service=p")
PROGRAM = "\x7fELF"
PROGRAMS = "/app/server", *(f"/bin/{name}" for name in "bash dumb-init env nice python sh stdbuf tini xargs".split())
SCRIPTS = {
    "/entry.sh": '#!/bin/sh\nexec "$@"\n',
    "/env.sh": '#!/usr/bin/env bash\nexec "$@"\n',
    "/flags.sh": '#!/bin/sh\nset -e\nif [ "${1#-}" != "$1" ]; then\n  set -- server "$@"\nfi\nexec "$@"\n',
    "/own.sh": '#!/bin/sh -e\ncat <<END >/tmp/x\nexec nice\nEND\nserver --port "$PORT"\n',
    "/split.sh": '#!/usr/bin/env -S bash -e\nexec "$@"\n',
}


def _make_image(directory: pathlib.Path, value: capabilities.FileCapabilities = NET) -> str:
    """Makes an image with all programs and scripts, in which the server has capabilities; returns its path."""
    entries = [(path, value if path == "/app/server" else None, PROGRAM) for path in PROGRAMS]
    entries += [(path, None, text) for path, text in SCRIPTS.items()]
    entries.append(("/usr/bin/env", None, ">/bin/env"))
    return str(layout(directory / "image", tar(*entries), User="65532", Env=["PATH=/app:/bin"]))


def _explain(capsys: pytest.CaptureFixture[str], image: str, command: str) -> tuple[int, dict]:
    """Explains a command line; returns the exit status and the report."""
    status = cli.main(["explain", "--json", image, "--docker-run", command, f"--runtime={command.split(maxsplit=1)[0]}"])
    output = capsys.readouterr()
    assert output.err == ""
    return status, json.loads(output.out)


FOLLOWED = [  # Command lines, and the names of the programs that they execute.
    ("sh -c /app/server", "sh server"),
    ("sh -ec /app/server", "sh server"),
    ("sh -lc /app/server", "sh server"),
    ("sh -exc /app/server", "sh server"),
    ("bash -euo pipefail -c 'exec server --port 80'", "bash server"),
    ("sh -c 'A=1 exec server'", "sh server"),
    ("sh -c 'sh -c server'", "sh sh server"),
    ("sh -c 'exec server ${PORT:-80}'", "sh server"),
    ("sh -c 'nice && exec server'", "sh server"),
    ("sh -c 'server && server'", "sh server"),
    ("sh -c 'mkdir -p /run/x; chown app /run/x; server'", "sh server"),
    ("/entry.sh server --port", "sh server"),
    ("bash /entry.sh server", "bash server"),
    ("/env.sh server", "env bash server"),
    ("/split.sh server", "env bash server"),
    ("/own.sh", "sh server"),
    ("/flags.sh --port", "sh server"),
    ("tini -- server", "tini server"),
    ("tini -p SIGTERM -g server", "tini server"),
    ("dumb-init -r 15:3 server", "dumb-init server"),
    ("dumb-init --rewrite 15:3 -- server", "dumb-init server"),
    ("env -u X A=1 server", "env server"),
    ("env -S 'A=1 server --port'", "env server"),
    ("nice -n 5 server", "nice server"),
    ("stdbuf -oL -e 0 server", "stdbuf server"),
    ("tini -- /entry.sh nice server", "tini sh nice server"),
    # Programs that execute no other one.
    ("sh", "sh"),
    ("python /app.py", "python"),
    ("server sh -c server", "server"),
]
NOT_FOLLOWED = [  # Command lines, the names of the programs up to the one that is not followed, and a part of the reason.
    ("sh -c 'server | cat'", "sh", "server | cat"),
    ("sh -c '$HOSTNAME'", "sh", "not known"),
    ("sh -c 'eval \"$HOSTNAME\"; exec server'", "sh", "evaluates"),
    ("sh -c '. /etc/x; exec server'", "sh", "/etc/x"),
    ("sh -c 'if test -e /x; then exec nice server; fi; exec server'", "sh", "one of several programs"),
    ("sh -c 'server & wait; server'", "sh", "several programs"),
    ("sh -c 'exec server <<'", "sh", "not understood"),
    ("sh -x server", "sh", "text is not known"),
    ("/entry.sh -v server", "sh", "options of exec"),
    ("/entry.sh other", "sh", "does not have"),
    ("xargs server", "xargs", "adds what it reads"),
    ("python /app/server", "python", "may execute its argument"),
]


@pytest.mark.parametrize("command, programs", FOLLOWED)
def test_programs_are_followed(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], command: str, programs: str):
    first, *rest = shlex.split(command)
    status, report = _explain(capsys, _make_image(tmp_path), f"docker run --entrypoint={first} app {shlex.join(rest)}")
    assert status == 0
    assert " ".join(program["path"].rpartition("/")[2] for program in report["programs"]) == programs


@pytest.mark.parametrize("command, programs, reason", NOT_FOLLOWED)
def test_a_program_that_cannot_be_followed_is_unknown(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], command: str, programs: str, reason: str
):
    first, *rest = shlex.split(command)
    run = f"docker run --entrypoint={first} app {shlex.join(rest)}"
    status, report = _explain(capsys, _make_image(tmp_path), run)
    assert status == 3 and reason in report["unknown"]["why"] and report["verdict"].startswith("unknown: ")
    assert " ".join(program["path"].rpartition("/")[2] for program in report["programs"]) == programs
    assert [candidate["programs"][-1]["path"] for candidate in report["candidates"]] == ["/app/server"]


def test_a_wrapper_that_may_raise_ambient_capabilities_makes_the_verdict_unknown(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
):
    """The program's file has no capabilities; the wrapper may or may not give it some."""
    image = str(layout(tmp_path / "image", tar(("/wrapper", NET, PROGRAM), ("/app", None, PROGRAM)), User="65532"))
    status = cli.main(
        [
            "explain",
            image,
            "--docker-run",
            "docker run --cap-add NET_BIND_SERVICE --entrypoint=/wrapper app /app",
            "--program=/app",
        ]
    )
    output = capsys.readouterr().out
    assert status == 3 and "/wrapper may raise ambient capabilities before it executes /app" in output


def test_a_wrapper_that_may_change_the_user_makes_the_verdict_unknown(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]):
    """Under no_new_privs a process keeps the capabilities of the file only if it does not change its user."""
    image = str(layout(tmp_path / "image", tar(("/wrapper", None, PROGRAM), ("/app", NET, PROGRAM)), User="0"))
    command = "docker run --security-opt no-new-privileges --entrypoint=/wrapper app"
    status = cli.main(["explain", image, "--docker-run", command, "--program=/app"])
    output = capsys.readouterr().out
    assert status == 3 and "/wrapper may change to another user before it executes /app" in output
    assert (
        cli.main(["explain", image, "--docker-run", command.replace("no-new-privileges", "label=disable"), "--program=/app"]) == 0
    )


def test_the_reasons_name_a_set_user_id_file(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]):
    image = str(layout(tmp_path / "image", tar(("/app", None, PROGRAM, {"mode": 0o4755})), User="65532"))
    assert cli.main(["explain", image, "--docker-run", "docker run --entrypoint=/app app"]) == 0
    assert "/app is a set-user-ID file: the process becomes uid 0" in capsys.readouterr().out


def test_the_first_of_two_users_with_one_name_counts(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]):
    """getpwnam(3), runc, Docker and containerd do the same."""
    passwd = "root:x:0:0::/:/bin/sh\napp:x:5:5::/:/bin/sh\napp:x:0:0::/:/bin/sh\n"
    image = layout(tmp_path / "image", tar(("/app/server", NET, PROGRAM), ("/etc/passwd", None, passwd)), User="app")
    _, report = _explain(capsys, str(image), "docker run --entrypoint=/app/server app")
    assert report["uid"] == 5


def test_at_most_sixteen_programs_are_followed(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]):
    image = _make_image(tmp_path)
    for count, last in ((15, "/app/server"), (16, "/bin/nice")):
        _, report = _explain(capsys, image, "docker run --entrypoint=nice app " + "nice " * (count - 1) + "server")
        assert (len(report["programs"]), report["programs"][-1]["path"]) == (16, last)


@pytest.mark.parametrize("rootid", [0, 1, 65536])
def test_capabilities_count_only_in_the_user_namespace_of_their_rootid(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], rootid: int
):
    """capabilities(7), "Namespaced file capabilities": they count if the rootid is the uid of the namespace's root."""
    status, report = _explain(capsys, _make_image(tmp_path, NET._replace(rootid=rootid)), "docker run --entrypoint=server app")
    if not rootid:
        assert (status, report["fix"]) == (0, [])
        return
    assert status == 1 and report["permitted"] == []
    assert any(f"whose root is uid {rootid}" in reason for reason in report["why"])
    assert report["fix"] == [
        'assign the capabilities to /app/server: file_capabilities = {"/app/server": "cap_net_bind_service=p"}'
    ]
    # With podman's vfs driver they count; with overlay the program does not start.
    image = _make_image(tmp_path / "mapped", NET._replace(rootid=rootid))
    status, report = _explain(capsys, image, f"podman run --uidmap=0:{rootid}:65536 --entrypoint=server app")
    assert status == 3
    assert any(f"for the user namespace whose root is uid {rootid}: whether they count" in note for note in report["notes"])


@pytest.mark.parametrize(
    "flags, ambient",
    [("", []), ("--group-add=50 ", ["cap_sys_chroot"]), ("--group-add=staff ", ["cap_sys_chroot"]), ("--group-add=7 ", [])],
)
def test_a_set_group_id_program_of_an_added_group_keeps_ambient_capabilities(tmp_path, capsys, flags, ambient):
    """The kernel clears ambient capabilities only if the new gid is not among the groups of the process."""
    entries = [Member("app", mode=0o2755, owner=(0, 50), content=PROGRAM.encode()), Member("etc/group", content=b"staff:x:50:\n")]
    image = str(oci_layout.write(tmp_path / "image", entries))
    _, report = _explain(capsys, image, f"podman run --user=1000:1000 --cap-add=SYS_CHROOT {flags}--entrypoint=/app image")
    assert report["ambient"] == ambient

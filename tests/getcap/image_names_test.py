"""The message for an image that is given by its name has the command that copies it."""

from __future__ import annotations

import shlex

import pytest

from rules_setcap.getcap import cli

DIGEST = "sha256:" + "a" * 64
# Name, source and directory of the command.
NAMES = [
    ("docker.io/library/nginx", "docker://docker.io/library/nginx", "nginx"),
    ("nginx:1.25", "docker://nginx:1.25", "nginx"),
    ("registry.example:5000/team/web", "docker://registry.example:5000/team/web", "web"),
    (f"registry.example/web@{DIGEST}", f"docker://registry.example/web@{DIGEST}", "web"),
    ("docker://docker.io/library/nginx", "docker://docker.io/library/nginx", "nginx"),
    ("docker-daemon:web:latest", "docker-daemon:web:latest", "web"),
    ("containers-storage:localhost/web:1", "containers-storage:localhost/web:1", "web"),
    ("containers-storage:$(x)", "containers-storage:$(x)", "x"),
]


@pytest.mark.parametrize("command", [[], ["--review"], ["explain"], ["explain", "--docker-run", "docker run x"]])
@pytest.mark.parametrize("name, source, directory", NAMES)
def test_the_message_has_the_command_that_copies_the_image(capsys, monkeypatch, tmp_path, name, source, directory, command):
    monkeypatch.chdir(tmp_path)
    assert cli.main([*command, name]) == 2
    message = capsys.readouterr().err
    assert f'"skopeo copy {shlex.quote(source)} oci:{directory}", and write "{directory}"' in message
    assert message.count("\n") == 1


@pytest.mark.parametrize("name", ["localhost:5000/team/web:1", "docker://127.0.0.1:5000/web"])
def test_a_registry_on_this_machine_is_read_by_plain_http(capsys, monkeypatch, tmp_path, name):
    monkeypatch.chdir(tmp_path)
    assert cli.main([name]) == 2
    source = "docker://" + name.removeprefix("docker://")
    assert f'"skopeo copy --src-tls-verify=false {source} oci:web", and write "web"' in capsys.readouterr().err


@pytest.mark.parametrize(
    "path, message",
    [
        ("oci:web", 'getcap: image: "oci:web": must be a path, without the transport oci:; write web\n'),
        ("oci:web:latest", 'getcap: image: "oci:web:latest": must be a path, without the transport oci:; write web\n'),
        (
            "docker-archive:/a b.tar",
            "getcap: image: \"docker-archive:/a b.tar\": must be a path, without the transport docker-archive:; write '/a b.tar'\n",
        ),
        ("./web.tar", "getcap: ./web.tar: No such file or directory\n"),
        ("/none/web", "getcap: /none/web: No such file or directory\n"),
    ],
)
def test_paths_are_not_taken_for_names(capsys, monkeypatch, tmp_path, path, message):
    monkeypatch.chdir(tmp_path)
    assert cli.main([path]) == 2
    assert capsys.readouterr().err == message

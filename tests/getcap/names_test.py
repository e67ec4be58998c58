"""Names of images in place of paths: the message has the command that gets the image."""

from __future__ import annotations

import shlex

import pytest

from rules_setcap.getcap import cli

DIGEST = "sha256:" + "a" * 64
NAMES = [
    ("docker.io/library/nginx", "docker://docker.io/library/nginx", "nginx"),
    ("nginx:1.25", "docker://nginx:1.25", "nginx"),
    ("localhost:5000/team/web", "docker://localhost:5000/team/web", "web"),
    (f"registry.example/web@{DIGEST}", f"docker://registry.example/web@{DIGEST}", "web"),
    ("docker://docker.io/library/nginx", "docker://docker.io/library/nginx", "nginx"),
    ("docker-daemon:web:latest", "docker-daemon:web:latest", "web"),
    ("containers-storage:localhost/web:1", "containers-storage:localhost/web:1", "web"),
    ("containers-storage:$(x)", "containers-storage:$(x)", "x"),
]


@pytest.mark.parametrize("command", [[], ["--review"], ["explain"], ["explain", "--docker-run", "docker run x"]])
@pytest.mark.parametrize("name, source, directory", NAMES)
def test_the_command_that_gets_an_image(capsys, monkeypatch, tmp_path, name, source, directory, command):
    monkeypatch.chdir(tmp_path)
    assert cli.main([*command, name]) == 2
    said = capsys.readouterr().err
    assert f'"skopeo copy {shlex.quote(source)} oci:{directory}", and write "{directory}"' in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "path, said",
    [
        ("oci:web", 'getcap: image: "oci:web": must be a path, without the transport oci:; write web\n'),
        ("oci:web:latest", 'getcap: image: "oci:web:latest": must be a path, without the transport oci:; write web\n'),
        ("docker-archive:/a b.tar", "getcap: image: \"docker-archive:/a b.tar\": must be a path, without the transport docker-archive:; write '/a b.tar'\n"),
        ("./web.tar", "getcap: ./web.tar: No such file or directory\n"),
        ("/none/web", "getcap: /none/web: No such file or directory\n"),
    ],
)
def test_what_is_a_path(capsys, monkeypatch, tmp_path, path, said):
    monkeypatch.chdir(tmp_path)
    assert cli.main([path]) == 2
    assert capsys.readouterr().err == said

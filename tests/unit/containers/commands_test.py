"""Tests of commands in front of docker, of other commands that make a container, and of expansions of the shell."""

from __future__ import annotations

import pytest

from rules_setcap.containers.docker import command_line
from rules_setcap.containers.settings import Mount
from rules_setcap.diagnostics.errors import InputError


def _get_values(settings):
    """Returns the values of several settings."""
    return tuple(setting.value for setting in settings)


def _read_problems(command: str) -> list[str]:
    """Returns the problems of a command line, which must have some."""
    with pytest.raises(InputError) as refused:
        command_line.read_command_line(command, "docker_run")
    return refused.value.problems


PREFIXES = """
A=b
A=b C="d e"
sudo
sudo -E
sudo -u root -g docker
sudo --user=root --preserve-env=PATH A=b
/usr/bin/sudo -nE --
doas -n -u root
exec
exec -a name
time
time -p
nohup
command
nice -n 5
env
env -i -u HOME A=b
timeout -k 5 1h
timeout --signal=KILL 30
sudo nice -n 5 env A=b
""".strip().splitlines()


@pytest.mark.parametrize("prefix", PREFIXES)
def test_commands_that_run_docker_are_skipped(prefix):
    assert command_line.read_command_line(f"{prefix} docker run -u 1 image") == command_line.read_command_line(
        "docker run -u 1 image"
    )


@pytest.mark.parametrize(
    "typed",
    [
        "$ docker run -u 1 image app",
        "# docker run -u 1 image app",
        "me@host:~/src$ docker run -u 1 image app",
        "root@host:/# docker run -u 1 image app",
        "% docker run -u 1 image app",
        "/usr/bin/docker run -u 1 image app",
        "docker --context x --log-level=debug run -u 1 image app",
        "docker container run -u 1 image app",
        "\n  docker run \\\n    -u 1 \\\n    image app\n\n",
        "docker run \\\r\n -u 1 image app\r\n",
        "$ docker run \\\n> -u 1 \\\n> image app",
        "docker run -u 1 image app # a comment",
        "docker run -u 1 image app # one\n# two\n",
        "# first\n\n# second\ndocker run -u 1 image app",
        "docker run -u=1 image app",
        "docker run --user=1 --env-file .env --env-file=$HOME/x image app",
    ],
)
def test_different_spellings_mean_the_same_command(typed):
    settings = command_line.read_command_line(typed)
    assert (settings.user.value, settings.image.value, settings.command.value) == ("1", "image", ("app",))
    assert settings.where == "docker run"


@pytest.mark.parametrize(
    "typed, where, engine_name",
    [
        ("docker create x", "docker create", "docker"),
        ("docker container create x", "docker create", "docker"),
        ("docker service create x", "docker service create", "docker"),
        ("podman create x", "podman create", "podman"),
        ("podman container create x", "podman create", "podman"),
        ("podman-remote run x", "podman-remote run", "podman"),
        ("nerdctl -n k8s.io run x", "nerdctl run", "nerdctl"),
    ],
)
def test_other_commands_make_a_container_too(typed, where, engine_name):
    settings = command_line.read_command_line(typed)
    assert (settings.where, settings.engine_name, settings.image.value, settings.form) == (where, engine_name, "x", "flags")


def test_docker_service_create_has_its_own_flags():
    settings = command_line.read_command_line(
        "docker service create -q --name web --replicas=2 --cap-drop ALL --cap-add NET_BIND_SERVICE --user 65532 --init "
        "--mount type=volume,source=$V,target=/data --entrypoint '/bin/sh -c' --limit-pids 5 image 'exec app'"
    )
    assert (settings.user.value, settings.init.value, _get_values(settings.dropped)) == ("65532", True, ("all",))
    assert settings.build_argv([], []) == ("/bin/sh", "-c", "exec app")
    assert _get_values(settings.mounts) == (Mount("/data", "volume", None),)


def test_nerdctl_splits_lists_and_ignores_colons():
    settings = command_line.read_command_line(
        "nerdctl run --cap-add=NET_ADMIN,bpf --cap-drop KILL --security-opt no-new-privileges -v data:/data image"
    )
    assert _get_values(settings.added) == ("cap_net_admin", "cap_bpf") and settings.no_new_privs.value is True
    assert _get_values(settings.mounts) == (Mount("/data", "volume", None),)
    assert _read_problems("nerdctl run --security-opt no-new-privileges:true image") == [
        'nerdctl run --security-opt: "no-new-privileges:true": nerdctl ignores it with ":"; write "no-new-privileges=true"'
    ]


def test_an_expansion_is_accepted_where_its_value_does_not_matter():
    settings = command_line.read_command_line(
        """docker run --name "web-$(date +%s)" --hostname $(hostname) -v "$(pwd)":/src -v ${PWD}/x:/x:ro -v `pwd`/y:/y -e A=$B -e C=d
        --mount "type=bind,source=${X:-/a,b},target=/z" --security-opt seccomp=$HOME/x.json "$IMAGE" """.replace("\n", " ")
    )
    assert [mount.target for mount in _get_values(settings.mounts)] == ["/src", "/x", "/y", "/z"]
    assert (settings.name, settings.image.value) == ("web-$(date +%s)", "$IMAGE")
    assert _get_values(settings.environment) == (("A", None), ("C", "d"))
    assert command_line.read_command_line("docker run $(docker build -q .)").image.value == "$(docker build -q .)"
    assert command_line.read_command_line("docker run -- $IMAGE app").command.value == ("app",)
    assert command_line.read_command_line("docker run image app --port=$PORT").command.value == ("app", "--port=$PORT")
    assert command_line.read_command_line("docker run -e $X image").other_variables is not None
    assert command_line.read_command_line("docker run -w $(pwd) image").directory.value == ""


def test_an_expansion_is_refused_where_its_value_matters():
    number = "write the numbers that it gives, such as 1000:1000"
    path = "write the path in the container"
    assert _read_problems("docker run --user $(id -u):$(id -g) image") == [
        f'docker run --user: "$(id -u):$(id -g)": only a shell can replace $(id -u); {number}'
    ]
    assert _read_problems("""docker run -u `id -u` --cap-add=$CAP --privileged=${P} --entrypoint "$E" -v a:$B -v $V --tmpfs $T \\
        --mount type=bind,src=/a,dst=$D --userns=$N -- image""") == [
        f'docker run -u: "`id -u`": only a shell can replace `id -u`; {number}',
        'docker run --cap-add: "$CAP": only a shell can replace $CAP; write its value',
        'docker run --privileged: "${P}": only a shell can replace ${P}; write its value',
        'docker run --entrypoint: "$E": only a shell can replace $E; write the program that it stands for',
        f'docker run -v: "a:$B": only a shell can replace $B; {path}',
        f'docker run -v: "$V": only a shell can replace $V; {path}',
        'docker run --tmpfs: "$T": only a shell can replace $T; write its value',
        'docker run --mount: "type=bind,src=/a,dst=$D": only a shell can replace $D; write its value',
        'docker run --userns: "$N": only a shell can replace $N; write its value',
    ]
    assert _read_problems("docker run $OPTIONS image") == [
        'docker run: "$OPTIONS": may be options or several words, which only a shell can tell; write what it stands for'
    ]
    assert _read_problems("docker run image $APP x") == [
        'docker run: "$APP": only a shell can replace $APP; write the program that it stands for'
    ]
    assert _read_problems('docker run image sh -c "exec app $PORT"') == [
        'docker run: "exec app $PORT": the shell replaces $PORT before the container is made; '
        "write its value, or put the text in single quotes"
    ]


def test_a_typographic_dash_does_not_begin_an_option():
    assert _read_problems("docker run \u2013rm image") == [
        'docker run: "\\u2013rm": not a valid image name; an option begins with plain hyphens, as --rm does'
    ]

"""Tests of command lines as people type them: their settings, and the messages about invalid ones."""

from __future__ import annotations

import pytest

from rules_setcap.containers.docker import command_line
from rules_setcap.containers.settings import Mount, Setting
from rules_setcap.diagnostics.errors import InputError


def _get_values(settings):
    """Returns the values of several settings."""
    return tuple(setting.value for setting in settings)


def _read_problems(command: str) -> list[str]:
    """Returns the problems of a command line, which must have some."""
    with pytest.raises(InputError) as refused:
        command_line.read_command_line(command, "docker_run")
    return refused.value.problems


def test_every_flag_that_matters_is_read():
    settings = command_line.read_command_line(
        """sudo docker --context remote -H=tcp://host container run -dit --rm --name web \\
             -p80:80 -e"A=b c" --env-file=x --init --read-only=true -u 1000:1000 -u65532 \\
             --cap-drop ALL --cap-add=NET_BIND_SERVICE --cap-add cap_net_raw --cap-add Kill \\
             --security-opt seccomp=unconfined --security-opt=no-new-privileges:true --privileged=F \\
             --entrypoint /bin/server -v data:/data:ro -v "$PWD":/src --tmpfs /run:exec --mount type=tmpfs,dst=/x --userns=host \\
             -- registry.example/web:1 --cap-add=SYS_ADMIN -u 0 'a b'"""
    )
    assert (settings.where, settings.engine_name, settings.name) == ("docker run", "docker", "web")
    assert settings.image == Setting("registry.example/web:1", "docker run")
    assert settings.user == Setting("65532", "docker run -u")
    assert settings.added == (
        Setting("cap_net_bind_service", "docker run --cap-add"),
        Setting("cap_net_raw", "docker run --cap-add"),
        Setting("cap_kill", "docker run --cap-add"),
    )
    assert _get_values(settings.dropped) == ("all",)
    assert settings.privileged == Setting(False, "docker run --privileged")
    assert settings.no_new_privs == Setting(True, "docker run --security-opt")
    assert (settings.init, settings.read_only) == (Setting(True, "docker run --init"), Setting(True, "docker run --read-only"))
    assert settings.command == Setting(("--cap-add=SYS_ADMIN", "-u", "0", "a b"), "docker run")
    assert settings.build_argv(["/image"], ["cmd"]) == ("/bin/server", "--cap-add=SYS_ADMIN", "-u", "0", "a b")
    assert _get_values(settings.mounts) == (
        Mount("/data", "volume", None),
        Mount("/src", "bind", None),
        Mount("/run", "tmpfs", True),
        Mount("/x", "tmpfs", True),
    )
    assert settings.find_mount_over("/data/x/y") == Setting(Mount("/data", "volume", None), "docker run -v")
    assert settings.find_mount_over("/database") is None
    assert settings.user_namespace == Setting("host", "docker run --userns")


@pytest.mark.parametrize(
    "typed, value",
    [
        ("-u=", "="),
        ("-u=5", "5"),
        ("-u5", "5"),
        ("-u 5", "5"),
        ("-iu=", "="),
        ("-iu=5", "5"),
        ("-u==", "="),
        ("--user=", ""),
        ("--user==", "="),
    ],
)
def test_a_short_flag_takes_its_value_as_pflag_does(typed, value):
    """In pflag (parseSingleShortArg), an "=" with nothing after it is itself the value."""
    assert command_line.read_command_line(f"docker run {typed} image").user.value == value


@pytest.mark.parametrize("text", "1 t T TRUE true True 0 f F FALSE false False".split())
def test_booleans_are_those_of_go(text):
    """Go's strconv.ParseBool reads them."""
    assert command_line.read_command_line(f"docker run --init={text} image").init.value == (
        text in "1 t T TRUE true True".split()
    )


@pytest.mark.parametrize("text", ["yes", "no", "on", "tRUE", "2", "''"])
def test_other_texts_are_not_booleans(text):
    assert len(_read_problems(f"docker run --init={text} image")) == 1


def test_a_setting_without_a_flag_is_none():
    settings = command_line.read_command_line("docker run image")
    assert settings == command_line.Settings(where="docker run", engine_name="docker", image=Setting("image", "docker run"))
    assert settings.build_argv(["/image"], ["cmd"]) == ("/image", "cmd")
    assert command_line.read_command_line("docker run image other").build_argv(["/image"], ["cmd"]) == ("/image", "other")
    assert command_line.read_command_line("docker run --entrypoint= image").build_argv(["/image"], ["cmd"]) == ()


def test_a_switch_does_not_take_the_next_word():
    assert command_line.read_command_line("docker run --privileged false").image == Setting("false", "docker run")
    assert command_line.read_command_line("docker run -it=false x -").image == Setting("x", "docker run")


def test_podman_splits_lists_and_accepts_nosuid():
    typed = '--cap-add=NET_ADMIN,bpf -v data:/data:ro,nosuid --entrypoint \'["/bin/tini", "--"]\' --net host image serve'
    settings = command_line.read_command_line("podman run " + typed)
    assert _get_values(settings.added) == ("cap_net_admin", "cap_bpf")
    assert settings.build_argv([], []) == ("/bin/tini", "--", "serve")
    assert _read_problems("docker run " + typed) == [
        'docker run --cap-add: "NET_ADMIN,bpf": several capabilities in one value; give the option once for each of them',
        'docker run -v: "data:/data:ro,nosuid": Docker has no option "nosuid" for volumes',
    ]


@pytest.mark.parametrize("kind", ["devpts", "ramfs", "tmpfs"])
def test_podman_mounts_kernel_filesystems_with_nosuid(kind):
    for option, nosuid in (("", True), (",nosuid", True), (",suid", False), (",nosuid,suid", False)):
        (mount,) = _get_values(command_line.read_command_line(f"podman run --mount type={kind},target=/x{option} image").mounts)
        assert mount == Mount("/x", kind, nosuid)


def test_a_glob_of_podman_may_hide_any_file():
    """Without a target, podman mounts each matching file at its own path (podman-run(1), --mount)."""
    assert _get_values(command_line.read_command_line("podman run --mount type=glob,src=/usr/lib/lib* image").mounts) == (
        Mount("/", "glob", None),
    )
    assert _get_values(command_line.read_command_line("podman run --mount type=glob,src=/a*,dst=/b image").mounts) == (
        Mount("/b", "glob", None),
    )


def test_all_problems_are_reported_at_once():
    assert _read_problems(
        "docker run --cap-ad NET_ADMN --cap-drop=net_bind_servce --privilegd=maybe --security-opt nonew-privileges "
        "--security-opt=no-new-privileges=si --userns=private -u $USER --tmpfs run --mount target=/x,type=tmp --mount type=bind "
        "--mount '\"type=tmpfs\"x' -v a:/b:/c:d image"
    ) == [
        'docker run: "--cap-ad": unknown flag; did you mean "--cap-add"?',
        'docker run: "--privilegd": unknown flag; did you mean "--privileged"?',
        'docker run -u: "$USER": only a shell can replace $USER; write the numbers that it gives, such as 1000:1000',
        'docker run --cap-ad: "NET_ADMN": unknown capability; did you mean "NET_ADMIN"?',
        'docker run --cap-drop: "net_bind_servce": unknown capability; did you mean "NET_BIND_SERVICE"?',
        'docker run --privilegd: "maybe": must be true or false',
        'docker run --security-opt: "nonew-privileges": unknown security option; did you mean "no-new-privileges"?',
        'docker run --security-opt: "no-new-privileges=si": must be true or false after no-new-privileges',
        'docker run --tmpfs: "run": must be absolute; write "/run"',
        'docker run --mount: "target=/x,type=tmp": unknown type "tmp"; must be one of bind, cluster, image, npipe, tmpfs, volume',
        'docker run --mount: "type=bind": no target; write target=/path/in/container',
        'docker run --mount: "\\"type=tmpfs\\"x": not a valid comma-separated list: \',\' expected after \'"\'',
        'docker run -v: "a:/b:/c:d": not a valid volume; write it as source:/path/in/container:options',
        'docker run --userns: "private": Docker takes "host" alone',
    ]


WHOLE = 'must start with docker, podman or nerdctl; write the whole command, as "docker run ..."'
SEVERAL = "of the shell in it: that is more than one command; give the one that makes the container, or quote it"
REDIRECTED = "of the shell in it: a redirection; leave it out, or quote it"
LINES = "goes on in another line; end each line of the command but the last with a backslash, and give one command alone"
INVALID_COMMANDS = [
    ("", WHOLE),
    ("sudo -E", WHOLE),
    ("A=b", WHOLE),
    ("docker-compose run x", WHOLE),
    ("$DOCKER run x", WHOLE),
    ("docker run image | cat", f'has "|" {SEVERAL}'),
    ("docker pull x && docker run x", f'has "&&" {SEVERAL}'),
    ("docker run x || true", f'has "||" {SEVERAL}'),
    ("docker run x &", f'has "&" {SEVERAL}'),
    ("docker run x;", f'has ";" {SEVERAL}'),
    ("docker run x > log 2>&1", f'has ">" {REDIRECTED}'),
    ("docker run -i x < input", f'has "<" {REDIRECTED}'),
    ("(docker run x)", 'has "(" of the shell in it: a subshell or a function; give the one command alone, or quote it'),
    ("docker run image\ndocker ps", LINES),
    ("docker run --rm \\ \n  image", LINES),
    ('docker run image "$@"', 'has "$@", which stands for any number of words; write them'),
    ("docker run ${options[@]} image", 'has "${options[@]}", which stands for any number of words; write them'),
    (
        "docker run --cap-add={CHOWN,KILL} image",
        "has braces that bash replaces by several words, and sh does not; write the words out, or quote them",
    ),
    ("docker run image $'a'", 'has "$\'", which bash and sh read differently; leave out the $, or put a backslash before it'),
    ("docker run image \\", "ends with a backslash; leave it out, or write the line that it continues"),
    ("docker run 'image", "no closing '; write it, or a backslash before the one that opens"),
    ('docker run "image', 'no closing "; write it, or a backslash before the one that opens'),
    ("docker run -u $(id -u image", 'no end of "$(id -u image"; write ")", or quote it'),
    ("docker run " + "$a" * 1001, "has more than 1000 variables and commands that a shell would replace"),
    ("docker run " + "$(" * 60, "has commands and variables nested deeper than 50"),
    ("docker run \0", "has a NUL"),
    ("docker run --rm", "no image; write it after the flags"),
    ("docker run " + "x" * (128 << 10), "131083 characters; a command line has at most 131072"),
]


@pytest.mark.parametrize("command, what", INVALID_COMMANDS, ids=lambda value: value[:40])
def test_an_invalid_command_is_reported(command, what):
    (problem,) = _read_problems(command)
    assert problem.startswith("docker_run: ") and problem.endswith(": " + what)


@pytest.mark.parametrize(
    "command, problem",
    [
        ("docker rn image", 'docker: "rn": did you mean "run"?'),
        ("docker build .", 'docker: "build": only run, create and service create make a container'),
        ("docker --debug", "docker: no command; only run, create and service create make a container"),
        ("docker service ls", 'docker: "service": only run, create and service create make a container'),
        ("docker container service create x", 'docker: "service": only run, create and service create make a container'),
        ("podman service create x", 'podman: "service": only run and create make a container'),
        ("docker compose run web", 'docker: "compose": give the Compose file and the service in place of the command line'),
        ("podman kube play x.yaml", 'podman: "kube": give the manifest in place of the command line'),
        (
            "docker exec web sh",
            'docker: "exec": a process that joins a container is not judged; give the command line that made the container',
        ),
        ("docker service create --privileged x", 'docker service create: "--privileged": unknown flag'),
        ("nerdctl run --pod x image", 'nerdctl run: "--pod": unknown flag; did you mean "--pid"?'),
        ("sudo --preserve-en docker run x", 'sudo: "--preserve-en": unknown flag; did you mean "--preserve-env"?'),
        ("docker run --$X image", 'docker run: "--$X": unknown flag'),
        ("docker run -i$X image", 'docker run: "-$X": unknown flag in "-i$X"'),
        ("podman --rot /x run image", 'podman: "--rot": unknown flag; did you mean "--root"?'),
        ("docker run -k image", 'docker run: "-k": unknown flag in "-k"'),
        ("docker run -itk image", 'docker run: "-k": unknown flag in "-itk"'),
    ],
)
def test_an_unknown_subcommand_or_flag_is_reported(command, problem):
    assert _read_problems(command) == [problem]


def test_a_flag_at_the_end_needs_its_value():
    assert _read_problems("docker run --rm -u") == [
        'docker run: "-u": needs a value',
        'docker_run: "docker run --rm -u": no image; write it after the flags',
    ]


def test_quoted_text_stays_as_it_is():
    settings = command_line.read_command_line(
        'docker run image sh -c \'echo $(id) | cat > "x"; `y`\' "it\'s; | fine" a\\;b ""#c d#'
    )
    assert settings.command == Setting(
        ("sh", "-c", 'echo $(id) | cat > "x"; `y`', "it's; | fine", "a;b", "#c", "d#"), "docker run"
    )


@pytest.mark.parametrize("engine", ["docker", "podman"])
def test_sysctls_of_the_network_are_refused_in_the_network_of_the_host(engine):
    sysctl = "--sysctl=net.ipv4.ip_unprivileged_port_start=0"
    assert command_line.read_command_line(f"{engine} run {sysctl} image")
    assert _read_problems(f"{engine} run {sysctl} --net=host image") == [
        f'{engine} run --sysctl: "net.ipv4.ip_unprivileged_port_start=0": not allowed in the host\'s network namespace: {engine} run --net'
    ]

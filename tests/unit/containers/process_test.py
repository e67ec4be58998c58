"""Tests of the process that each engine makes from settings, and of the differences between versions."""

from __future__ import annotations

import dataclasses

import pytest

from rules_setcap.capabilities.names import ALL, NAMES
from rules_setcap.containers.docker import command_line
from rules_setcap.containers.engines import BEHAVIOURS, Engine, parse_engine
from rules_setcap.containers.process import compute_initial_process
from rules_setcap.containers.settings import Setting, Settings
from rules_setcap.diagnostics.errors import InputError


def _make_bit(name: str) -> int:
    """Returns the mask of one capability, given without "cap_"."""
    return 1 << NAMES.index("cap_" + name)


def _make_settings(engine_name: str, **values) -> Settings:
    """Returns settings from values, each with its name as the place; lists are lists of capabilities."""
    settings = {}
    for key, value in values.items():
        if isinstance(value, list):
            settings[key] = tuple(Setting(name if name == "all" else "cap_" + name, key) for name in value)
        else:
            settings[key] = Setting(value, key)
    return Settings(where="here", engine_name=engine_name, **settings)


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_root_has_the_granted_capabilities(name):
    process = compute_initial_process(_make_settings(name))
    assert process.uid == 0
    assert process.permitted == process.effective == process.bounding == BEHAVIOURS[name][-1].default_capabilities
    assert (process.inheritable, process.ambient, process.no_new_privs) == (0, 0, False)
    assert set(process.because) == {field.name for field in dataclasses.fields(process)} - {"because"}


# Whether a process of a user other than root has the granted capability net_bind_service permitted, inheritable and
# ambient.
VERSIONS = [
    ("docker@19.3", (False, True, False)),
    ("docker@20.10.13", (False, True, False)),
    ("docker@20.10.14", (False, False, False)),
    ("docker@23.0.6", (False, False, False)),
    ("docker@23.0.7", (True, False, False)),
    ("docker@24.0", (True, False, False)),
    ("docker@28.5.2", (True, False, False)),
    ("docker", (True, False, False)),
    ("podman@3.4.4", (True, True, True)),
    ("podman", (True, True, True)),
    ("containerd@1.4.13", (True, True, False)),
    ("containerd@1.5.11", (True, False, False)),
    ("containerd@1.6.1", (True, True, False)),
    ("containerd@v1.6.2", (True, False, False)),
    ("containerd", (True, False, False)),
    ("cri-o@1.23.5", (True, True, False)),
    ("cri-o@1.24.2", (True, False, False)),
    ("cri-o@1.24.3", (True, True, False)),
    ("cri-o", (True, False, False)),
    ("nerdctl", (True, False, False)),
]


@pytest.mark.parametrize("text, expected", VERSIONS)
def test_the_version_decides_about_users_other_than_root(text, expected):
    engine = parse_engine(text)
    assert str(engine) == text.replace("@v", "@")
    settings = _make_settings(engine.name, user="65532", dropped=["all"], added=["net_bind_service"])
    process = compute_initial_process(settings, engine)
    masks = [_make_bit("net_bind_service") if is_set else 0 for is_set in expected]
    assert process.bounding == _make_bit("net_bind_service")
    assert [process.permitted, process.inheritable, process.ambient] == masks
    assert process.effective == process.permitted


@pytest.mark.parametrize(
    "text, without",
    [
        ("podman@4.3.1", ""),
        ("podman@4.4.2", "audit_write mknod net_raw sys_chroot"),
        ("podman@4.4.3", "audit_write mknod net_raw"),
        ("cri-o", "audit_write mknod net_raw sys_chroot setfcap"),
    ],
)
def test_some_engines_grant_less_than_fourteen_capabilities_by_default(text, without):
    fourteen = compute_initial_process(_make_settings("docker")).bounding
    assert fourteen.bit_count() == 14
    engine = parse_engine(text)
    assert compute_initial_process(_make_settings(engine.name), engine).bounding == fourteen & ~sum(
        map(_make_bit, without.split())
    )


def test_the_configuration_replaces_the_default_capabilities():
    settings = _make_settings("cri-o", added=["bpf"])
    assert compute_initial_process(settings, Engine("cri-o", (1, 30), _make_bit("net_raw"))).bounding == _make_bit(
        "net_raw"
    ) | _make_bit("bpf")


# The added capabilities, the dropped ones, and those that are granted.
TOGETHER = [
    ("docker", ["kill"], ["kill"], _make_bit("kill")),
    ("docker", ["kill"], ["all", "kill"], _make_bit("kill")),
    ("docker", ["all"], ["all"], ALL),
    ("docker", ["all", "kill"], ["kill"], ALL & ~_make_bit("kill")),
    ("containerd", ["kill"], ["kill"], 0),
    ("containerd", ["kill", "bpf"], ["all", "kill"], _make_bit("bpf")),
    ("containerd", ["all"], ["all"], 0),
    ("containerd", ["all", "kill"], ["kill"], ALL & ~_make_bit("kill")),
    ("nerdctl", ["kill"], ["kill"], 0),
    ("nerdctl", ["kill", "bpf"], ["all", "kill"], _make_bit("kill") | _make_bit("bpf")),
    ("nerdctl", ["all"], ["all"], ALL),
    ("nerdctl", ["all", "kill"], ["kill"], ALL & ~_make_bit("kill")),
]


@pytest.mark.parametrize("name, added, dropped, granted", TOGETHER)
def test_each_engine_combines_added_and_dropped_capabilities_its_way(name, added, dropped, granted):
    process = compute_initial_process(_make_settings(name, added=added, dropped=dropped), Engine(name, default_capabilities=0))
    assert process.bounding == granted
    assert all(place in process.because["bounding"] for place in ("added", "dropped")) or granted in (0, ALL)


def test_cri_o_makes_the_capabilities_of_privileged_ambient():
    process = compute_initial_process(_make_settings("cri-o", privileged=True, user="7", dropped=["all"]))
    assert process.bounding == process.permitted == process.inheritable == process.ambient == ALL
    process = compute_initial_process(_make_settings("containerd", privileged=True, user="7", dropped=["all"]))
    assert (process.bounding, process.permitted, process.ambient) == (ALL, ALL, 0)


def test_the_uid_comes_from_the_settings_the_image_or_the_host():
    users = {"nginx": 101, "root": 0}
    assert compute_initial_process(_make_settings("docker", user="nginx:www"), uids=users).uid == 101
    assert compute_initial_process(_make_settings("docker", user=""), image_user="7:8").uid == 7
    assert compute_initial_process(_make_settings("docker"), image_user="root").uid == 0
    keep = command_line.read_command_line("podman run --userns=keep-id --cap-add KILL x")
    assert compute_initial_process(keep, host_uid=1001).uid == 1001
    assert compute_initial_process(keep, host_uid=1001).ambient == _make_bit("kill")
    assert compute_initial_process(command_line.read_command_line("podman run --userns=keep-id:uid=5,gid=6 x")).uid == 5


@pytest.mark.parametrize(
    "settings, image_user, problem",
    [
        (_make_settings("docker", user="ngnix"), "", 'user: "ngnix": the image\'s /etc/passwd is not known here; write the uid'),
        (
            _make_settings("docker"),
            "nginx",
            "the image's user: \"nginx\": the image's /etc/passwd is not known here; write the uid",
        ),
        (_make_settings("docker", user="2147483648"), "", 'user: "2147483648": uid is out of range (0 to 2147483647)'),
        (_make_settings("docker", user="9" * 30), "", None),
        (_make_settings("docker", user="٣"), "", None),
        (
            _make_settings("containerd", run_as_non_root=True),
            "",
            "run_as_non_root: true: the kubelet does not start it as root (neither the container nor the image sets a user)",
        ),
        (
            _make_settings("containerd", run_as_non_root=True, user="0"),
            "65532",
            "run_as_non_root: true: the kubelet does not start it as root (user)",
        ),
    ],
)
def test_an_invalid_user_is_reported(settings, image_user, problem):
    with pytest.raises(InputError) as refused:
        compute_initial_process(settings, image_user=image_user)
    assert problem is None or refused.value.problems == [problem]


def test_run_as_non_root_needs_a_numeric_user():
    settings = _make_settings("containerd", run_as_non_root=True)
    with pytest.raises(InputError) as refused:
        compute_initial_process(settings, image_user="nginx", uids={"nginx": 101})
    assert refused.value.problems == [
        'run_as_non_root: true: the kubelet cannot tell whether the image\'s user "nginx" is root; add runAsUser: 101'
    ]
    assert compute_initial_process(settings, image_user="101").uid == 101


@pytest.mark.parametrize(
    "text, what",
    [
        ("dokcer", 'unknown runtime; did you mean "docker"?'),
        ("kubelet!", "unknown runtime; known are docker, podman, containerd, nerdctl, cri-o"),
        ("docker@", 'not a valid version; write it as "docker@1.2.3"'),
        ("docker@2O.10", 'not a valid version; write it as "docker@1.2.3"'),
        ("docker@18.9", 'too old; the oldest known here is "docker@19.3"'),
    ],
)
def test_an_unknown_engine_or_version_is_reported(text, what):
    with pytest.raises(InputError) as refused:
        parse_engine(text)
    assert refused.value.problems == [f'runtime: "{text}": {what}']


@pytest.mark.parametrize("name", ["docker", "podman"])
def test_users_and_groups_must_be_in_the_image(name):
    """Docker 28.5 and podman 5.8 behave so with an image that has no /etc/passwd; see also //tests/engines."""
    line = name + " run {} image"

    def read_problems(*arguments, **options):
        with pytest.raises(InputError) as error:
            compute_initial_process(command_line.read_command_line(line.format(" ".join(arguments))), **options)
        return error.value.problems

    assert compute_initial_process(command_line.read_command_line(line.format("--user=root"))).uid == 0
    assert "no such user" in read_problems("--user=root", uids={})[0]
    assert compute_initial_process(command_line.read_command_line(line.format("--user=5:staff")), gids={"staff": 50}).uid == 5
    assert read_problems("--user=5:staff", "--group-add=other", gids={}) == [
        f'{name} run --user: "staff": no such group in the image\'s /etc/group; write the gid',
        f'{name} run --group-add: "other": no such group in the image\'s /etc/group; write the gid',
    ]
    assert "out of range" in read_problems("--user=5:2147483648")[0]


def test_podman_cannot_add_a_dropped_capability_for_a_user():
    """runc cannot make a capability inheritable that is not in the bounding set."""
    with pytest.raises(InputError):
        compute_initial_process(command_line.read_command_line("podman run --user=5 --cap-add=ALL --cap-drop=CHOWN image"))
    assert (
        compute_initial_process(command_line.read_command_line("podman run --user=0 --cap-add=ALL --cap-drop=CHOWN image")).uid
        == 0
    )

"""What settings come to in each runtime, and where its versions differ."""

from __future__ import annotations

import dataclasses

import pytest

from rules_setcap.capabilities.names import ALL, NAMES
from rules_setcap.containers.docker import command_line
from rules_setcap.containers.engines import BEHAVIOURS, Engine, parse_engine
from rules_setcap.containers.process import compute_initial_process
from rules_setcap.containers.settings import Setting, Settings
from rules_setcap.diagnostics.errors import InputError


def _bit(name: str) -> int:
    return 1 << NAMES.index("cap_" + name)


def _settings(name: str, **said) -> Settings:
    for key, value in said.items():
        if isinstance(value, list):
            said[key] = tuple(Setting(one if one == "all" else "cap_" + one, key) for one in value)
        else:
            said[key] = Setting(value, key)
    return Settings(where="here", engine_name=name, **said)


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_root_has_what_is_granted(name):
    process = compute_initial_process(_settings(name))
    assert process.uid == 0
    assert process.permitted == process.effective == process.bounding == BEHAVIOURS[name][-1].default_capabilities
    assert (process.inheritable, process.ambient, process.no_new_privs) == (0, 0, False)
    assert set(process.because) == {field.name for field in dataclasses.fields(process)} - {"because"}


# Whether a process that is not root, and was granted net_bind_service, has it permitted,
# inheritable, ambient.
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
def test_a_process_that_is_not_root(text, expected):
    version = parse_engine(text)
    assert str(version) == text.replace("@v", "@")
    settings = _settings(version.name, user="65532", dropped=["all"], added=["net_bind_service"])
    process = compute_initial_process(settings, version)
    wanted = [_bit("net_bind_service") if one else 0 for one in expected]
    assert process.bounding == _bit("net_bind_service")
    assert [process.permitted, process.inheritable, process.ambient] == wanted
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
def test_grants_by_default_were_fourteen_once(text, without):
    fourteen = compute_initial_process(_settings("docker")).bounding
    assert fourteen.bit_count() == 14
    version = parse_engine(text)
    assert compute_initial_process(_settings(version.name), version).bounding == fourteen & ~sum(map(_bit, without.split()))


def test_a_configuration_may_grant_something_else():
    settings = _settings("cri-o", added=["bpf"])
    assert compute_initial_process(settings, Engine("cri-o", (1, 30), _bit("net_raw"))).bounding == _bit("net_raw") | _bit("bpf")


# What is added, what is dropped, and what that leaves.
TOGETHER = [
    ("docker", ["kill"], ["kill"], _bit("kill")),
    ("docker", ["kill"], ["all", "kill"], _bit("kill")),
    ("docker", ["all"], ["all"], ALL),
    ("docker", ["all", "kill"], ["kill"], ALL & ~_bit("kill")),
    ("containerd", ["kill"], ["kill"], 0),
    ("containerd", ["kill", "bpf"], ["all", "kill"], _bit("bpf")),
    ("containerd", ["all"], ["all"], 0),
    ("containerd", ["all", "kill"], ["kill"], ALL & ~_bit("kill")),
    ("nerdctl", ["kill"], ["kill"], 0),
    ("nerdctl", ["kill", "bpf"], ["all", "kill"], _bit("kill") | _bit("bpf")),
    ("nerdctl", ["all"], ["all"], ALL),
    ("nerdctl", ["all", "kill"], ["kill"], ALL & ~_bit("kill")),
]


@pytest.mark.parametrize("name, added, dropped, left", TOGETHER)
def test_added_and_dropped_together(name, added, dropped, left):
    # The default does not matter here.
    process = compute_initial_process(_settings(name, added=added, dropped=dropped), Engine(name, default_capabilities=0))
    assert process.bounding == left
    assert all(said in process.because["bounding"] for said in ("added", "dropped")) or left in (0, ALL)


def test_privileged_of_cri_o_is_ambient():
    process = compute_initial_process(_settings("cri-o", privileged=True, user="7", dropped=["all"]))
    assert process.bounding == process.permitted == process.inheritable == process.ambient == ALL
    process = compute_initial_process(_settings("containerd", privileged=True, user="7", dropped=["all"]))
    assert (process.bounding, process.permitted, process.ambient) == (ALL, ALL, 0)


def test_who_the_process_is():
    users = {"nginx": 101, "root": 0}
    assert compute_initial_process(_settings("docker", user="nginx:www"), uids=users).uid == 101
    assert compute_initial_process(_settings("docker", user=""), image_user="7:8").uid == 7
    assert compute_initial_process(_settings("docker"), image_user="root").uid == 0
    keep = command_line.read_command_line("podman run --userns=keep-id --cap-add KILL x")
    assert compute_initial_process(keep, host_uid=1001).uid == 1001
    assert compute_initial_process(keep, host_uid=1001).ambient == _bit("kill")
    assert compute_initial_process(command_line.read_command_line("podman run --userns=keep-id:uid=5,gid=6 x")).uid == 5


@pytest.mark.parametrize(
    "settings, image_user, said",
    [
        (_settings("docker", user="ngnix"), "", 'user: "ngnix": the image\'s /etc/passwd is not known here; write the uid'),
        (_settings("docker"), "nginx", "the image's user: \"nginx\": the image's /etc/passwd is not known here; write the uid"),
        (_settings("docker", user="2147483648"), "", 'user: "2147483648": uid is out of range (0 to 2147483647)'),
        (_settings("docker", user="9" * 30), "", None),
        (_settings("docker", user="٣"), "", None),
        (
            _settings("containerd", run_as_non_root=True),
            "",
            "run_as_non_root: true: the kubelet does not start it as root (neither the container nor the image sets a user)",
        ),
        (
            _settings("containerd", run_as_non_root=True, user="0"),
            "65532",
            "run_as_non_root: true: the kubelet does not start it as root (user)",
        ),
    ],
)
def test_a_process_that_never_starts(settings, image_user, said):
    with pytest.raises(InputError) as refused:
        compute_initial_process(settings, image_user=image_user)
    assert said is None or refused.value.problems == [said]


def test_the_kubelet_wants_a_number():
    settings = _settings("containerd", run_as_non_root=True)
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
def test_no_runtime(text, what):
    with pytest.raises(InputError) as refused:
        parse_engine(text)
    assert refused.value.problems == [f'runtime: "{text}": {what}']


@pytest.mark.parametrize("name", ["docker", "podman"])
def test_users_and_groups_are_in_the_image(name):
    """What Docker 28.5 and podman 5.8 say of an image that has no /etc/passwd; see also //tests/engines."""
    line = name + " run {} image"

    def refused(*arguments, **options):
        with pytest.raises(InputError) as error:
            compute_initial_process(command_line.read_command_line(line.format(" ".join(arguments))), **options)
        return error.value.problems

    assert compute_initial_process(command_line.read_command_line(line.format("--user=root"))).uid == 0
    assert "no such user" in refused("--user=root", uids={})[0]
    assert compute_initial_process(command_line.read_command_line(line.format("--user=5:staff")), gids={"staff": 50}).uid == 5
    assert refused("--user=5:staff", "--group-add=other", gids={}) == [
        f'{name} run --user: "staff": no such group in the image\'s /etc/group; write the gid',
        f'{name} run --group-add: "other": no such group in the image\'s /etc/group; write the gid',
    ]
    assert "out of range" in refused("--user=5:2147483648")[0]


def test_podman_grants_no_user_what_is_dropped():
    """runc cannot make a capability inheritable that is not in the bounding set."""
    with pytest.raises(InputError):
        compute_initial_process(command_line.read_command_line("podman run --user=5 --cap-add=ALL --cap-drop=CHOWN image"))
    assert compute_initial_process(command_line.read_command_line("podman run --user=0 --cap-add=ALL --cap-drop=CHOWN image")).uid == 0

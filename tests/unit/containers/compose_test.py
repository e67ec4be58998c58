"""Tests of Compose files: the settings of a service with those that it extends, and the messages about invalid files."""

from __future__ import annotations

import pytest

from rules_setcap.containers.compose import files, interpolation
from rules_setcap.containers.settings import Mount
from rules_setcap.diagnostics.errors import InputError

FILE = b"""\
x-hardened: &hardened
  cap_drop: [ALL]
  security_opt:
    - no-new-privileges:${NO_NEW_PRIVS:-false}
services:
  base:
    <<: *hardened
    image: registry.example/base
    user: "${UID:-65532}:1"
    privileged: ${PRIVILEGED:-no}
    volumes:
      - data:/data:ro
      - {type: tmpfs, target: /run}
    tmpfs: /tmp:exec
  web:
    extends: {service: base}
    image: registry.example/web:${TAG}
    cap_add: [NET_BIND_SERVICE, cap_net_raw]
    entrypoint: /sbin/tini -- /server "a b"
    command: [serve, "${A:-${B-x}}", "$$HOME"]
    init: "true"
    tmpfs: [/var]
    userns_mode: host
  other:
    extends: web
    cap_add: !override [BPF]
    cap_drop: !reset null
    user: !reset null
    read_only: true
    volumes: !reset []
    command:
"""


def _get_values(settings):
    """Returns the values of several settings."""
    return tuple(setting.value for setting in settings)


def _read_problems(text: bytes, service: str = "web", **options) -> list[str]:
    """Returns the problems of a service, which must have some; its file is called compose.yaml."""
    with pytest.raises(InputError) as refused:
        files.read_service(text, "compose.yaml", service, **options)
    return refused.value.problems


def test_a_service_has_the_settings_of_the_services_that_it_extends():
    settings = files.read_service(FILE, "compose.yaml", "web")
    assert (settings.engine_name, settings.name) == ("docker", "web")
    assert settings.image.value == "registry.example/web:${TAG}"
    assert (settings.user.value, settings.user.where) == ("65532:1", "compose.yaml:9: services.base.user")
    assert _get_values(settings.added) == ("cap_net_bind_service", "cap_net_raw")
    assert settings.added[1].where == "compose.yaml:18: services.web.cap_add[1]"
    # The place of a merged value is that of its anchor.
    assert [(setting.value, setting.where) for setting in settings.dropped] == [
        ("all", "compose.yaml:2: services.base.cap_drop[0]")
    ]
    assert settings.no_new_privs.value is settings.privileged.value is False
    assert settings.build_argv(["/image"], ["cmd"]) == ("/sbin/tini", "--", "/server", "a b", "serve", "x", "$HOME")
    assert settings.init.value is True and settings.user_namespace.value == "host"
    assert _get_values(settings.mounts) == (
        Mount("/data", "volume", None),
        Mount("/run", "tmpfs", True),
        Mount("/tmp", "tmpfs", True),
        Mount("/var", "tmpfs", True),
    )


def test_reset_and_override_discard_extended_settings():
    settings = files.read_service(FILE, "compose.yaml", "other")
    assert (_get_values(settings.added), settings.dropped, settings.user) == (("cap_bpf",), (), None)
    assert [mount.kind for mount in _get_values(settings.mounts)] == ["tmpfs", "tmpfs"]
    # A null value sets nothing.
    assert settings.build_argv([], []) == ("/sbin/tini", "--", "/server", "a b", "serve", "x", "$HOME")


def test_variables_are_replaced_by_the_environment():
    environment = {"UID": "7", "PRIVILEGED": "Yes", "NO_NEW_PRIVS": "1", "A": "", "B": "b"}
    settings = files.read_service(FILE, "compose.yaml", "web", environment)
    assert (settings.user.value, settings.privileged.value, settings.no_new_privs.value) == ("7:1", True, True)
    assert settings.command.value == ("serve", "b", "$HOME")


@pytest.mark.parametrize(
    "text, expected",
    [
        ("$A${A}", "aa"),
        ("${A:-x}${E:-x}${E-x}${N-x}${N:-x}", "axxx"),
        ("${A:+x}${E:+x}${E+x}${N+x}", "xx"),
        ("${A?no}${A:?no}${N:-${A}$$}", "aaa$"),
        ("$${A}", "${A}"),
        ("${N:-a}}", "a}"),
        ("", ""),
    ],
)
def test_variables_are_interpolated(text, expected):
    assert interpolation.interpolate(text, {"A": "a", "E": ""}) == expected


@pytest.mark.parametrize(
    "text", ["$", "a$", "${", "${}", "$1", "${A", "${N}", "$N", "${N?x}", "${E:?x}", "${A!x}", "${N:-" * 40 + "}" * 40]
)
def test_an_invalid_interpolation_is_refused(text):
    with pytest.raises(ValueError):
        interpolation.interpolate(text, {"A": "a", "E": ""})


def test_services_in_other_files_are_extended(tmp_path):
    (tmp_path / "common").mkdir()
    (tmp_path / "common/base.yaml").write_text("services: {base: {extends: {file: ../top.yaml, service: top}, user: '1'}}")
    (tmp_path / "top.yaml").write_text("services: {top: {cap_drop: [ALL], user: '2'}}")
    (tmp_path / "directory").mkdir()
    text = b"services: {web: {extends: {file: common/base.yaml, service: base}}}"
    settings = files.read_service(text, str(tmp_path / "compose.yaml"), "web")
    assert settings.user.where == f"{tmp_path}/common/base.yaml:1: services.base.user"
    assert settings.dropped[0].where == f"{tmp_path}/common/../top.yaml:1: services.top.cap_drop[0]"
    for name, what in (
        ("missing", "No such file or directory"),
        ("directory", "Is a directory"),
        ("\\0", "stat: embedded null character in path"),
    ):
        text = b'services: {web: {extends: {file: "%s", service: base}}}' % name.encode()
        with pytest.raises(InputError) as refused:
            files.read_service(text, str(tmp_path / "compose.yaml"), "web")
        assert refused.value.problems[0].endswith(f"cannot be read: {what}")


def test_all_problems_are_reported_at_once():
    assert _read_problems(
        b"""\
services:
  web:
    capadd: [x]
    cap_add: [NET_BIND, "${X}", 5, {}]
    cap_drop: ALL
    user: 1000
    privileged: maybe
    init: 3
    userns_mode: private
    security_opt: [no-new-privileges:si]
    volumes: [a:b, {type: bind}, {target: /x}, 7]
    tmpfs: [x]
    entrypoint: "a 'b"
"""
    ) == [
        'compose.yaml:3: services.web.capadd: "capadd": unknown key of a service; did you mean "cap_add"?',
        'compose.yaml:6: services.web.user: "1000": not a text to YAML; put it in quotes',
        'compose.yaml:4: services.web.cap_add[0]: "NET_BIND": unknown capability; did you mean "NET_BIND_SERVICE"?',
        'compose.yaml:4: services.web.cap_add[1]: "${X}": the variable X has no value here '
        "(Compose would replace it with an empty text, and warn); give it one in the environment or in .env, or a default: ${X:-default}",
        'compose.yaml:4: services.web.cap_add[2]: "5": not a text to YAML; put it in quotes',
        'compose.yaml:4: services.web.cap_add[3]: "a mapping": not a text',
        'compose.yaml:5: services.web.cap_drop: "ALL": not a list',
        'compose.yaml:7: services.web.privileged: "maybe": must be true or false',
        'compose.yaml:10: services.web.security_opt[0]: "no-new-privileges:si": must be true or false after no-new-privileges',
        'compose.yaml:13: services.web.entrypoint: "a \'b": not a valid command: no closing quotation',
        'compose.yaml:8: services.web.init: "3": must be true or false',
        'compose.yaml:11: services.web.volumes[0]: "a:b": must be absolute; write "/b"',
        'compose.yaml:11: services.web.volumes[1]: "": a volume without target',
        'compose.yaml:11: services.web.volumes[2]: "": a volume without type',
        'compose.yaml:11: services.web.volumes[3]: "7": not a text to YAML; put it in quotes',
        'compose.yaml:12: services.web.tmpfs[0]: "x": must be absolute; write "/x"',
        'compose.yaml:9: services.web.userns_mode: "private": Docker takes "host" alone',
    ]


@pytest.mark.parametrize(
    "text, problem",
    [
        (b"", "compose.yaml: no documents; a Compose file has one"),
        (b"a: 1\n---\nb: 2\n", "compose.yaml: 2 documents; a Compose file has one"),
        (b"web: {}", 'compose.yaml:1: "": not a Compose file: it has no services'),
        (b"[]", 'compose.yaml:1: "a list": not a mapping'),
        (b"services: {wep: {}}", 'compose.yaml: "web": no service of this name; did you mean "wep"?'),
        (b"services: {x: {}, y: {}}", 'compose.yaml: "web": no service of this name; there are "x", "y"'),
        (b"services: {web: {extends: x}}", 'compose.yaml:1: services.web.extends: "x": no service of this name; there are "web"'),
        (b"services: {web: {extends: web}}", 'compose.yaml:1: services.web: "web": extends itself'),
        (b"services: {web: {extends: {}}}", 'compose.yaml:1: services.web.extends: "": has no service'),
        (b"services: {web: {user: !no x}}", 'compose.yaml:1: "!no": unknown tag'),
    ],
)
def test_an_invalid_compose_file_is_reported(text, problem):
    assert problem in _read_problems(text)


def test_a_chain_is_bounded():
    text = b"services:\n" + b"".join(b"  s%d: {extends: s%d}\n" % (number, number + 1) for number in range(100))
    assert _read_problems(text, "s0") == ["compose.yaml:34: services.s32.extends: extends more than 32 times"]


def test_groups_are_names_or_numbers():
    text = b"services: {web: {image: x, group_add: [staff, 50, '$GROUP']}}"
    settings = files.read_service(text, "compose.yaml", "web", {"GROUP": "other"})
    assert _get_values(settings.groups) == ("staff", "50", "other")

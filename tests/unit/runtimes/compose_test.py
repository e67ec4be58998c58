"""Compose files: what a service says with all that it extends, and every message."""

from __future__ import annotations

import pytest

from packer.errors import InputError
from runtimes import Mount, compose, dotenv, interpolation, shellwords

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


def _values(said):
    return tuple(one.value for one in said)


def _refused(text: bytes, service: str = "web", **options) -> list[str]:
    with pytest.raises(InputError) as refused:
        compose.read(text, "compose.yaml", service, **options)
    return refused.value.problems


def test_a_service_is_what_it_says_and_what_it_extends():
    settings = compose.read(FILE, "compose.yaml", "web")
    assert (settings.runtime, settings.name) == ("docker", "web")
    assert settings.image.value == "registry.example/web:${TAG}"
    assert (settings.user.value, settings.user.where) == ("65532:1", "compose.yaml:9: services.base.user")
    assert _values(settings.added) == ("cap_net_bind_service", "cap_net_raw")
    assert settings.added[1].where == "compose.yaml:18: services.web.cap_add[1]"
    # Said where the anchor is.
    assert [(one.value, one.where) for one in settings.dropped] == [("all", "compose.yaml:2: services.base.cap_drop[0]")]
    assert settings.no_new_privs.value is settings.privileged.value is False
    assert settings.argv(["/image"], ["cmd"]) == ("/sbin/tini", "--", "/server", "a b", "serve", "x", "$HOME")
    assert settings.init.value is True and settings.user_namespace.value == "host"
    assert _values(settings.mounts) == (
        Mount("/data", "volume", None),
        Mount("/run", "tmpfs", True),
        Mount("/tmp", "tmpfs", True),
        Mount("/var", "tmpfs", True),
    )


def test_reset_and_override():
    settings = compose.read(FILE, "compose.yaml", "other")
    assert (_values(settings.added), settings.dropped, settings.user) == (("cap_bpf",), (), None)
    assert [one.kind for one in _values(settings.mounts)] == ["tmpfs", "tmpfs"]
    # A null says nothing.
    assert settings.argv([], []) == ("/sbin/tini", "--", "/server", "a b", "serve", "x", "$HOME")


def test_values_of_variables():
    environment = {"UID": "7", "PRIVILEGED": "Yes", "NO_NEW_PRIVS": "1", "A": "", "B": "b"}
    settings = compose.read(FILE, "compose.yaml", "web", environment)
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
def test_interpolation(text, expected):
    assert interpolation.interpolate(text, {"A": "a", "E": ""}) == expected


@pytest.mark.parametrize(
    "text", ["$", "a$", "${", "${}", "$1", "${A", "${N}", "$N", "${N?x}", "${E:?x}", "${A!x}", "${N:-" * 40 + "}" * 40]
)
def test_no_interpolation(text):
    with pytest.raises(ValueError):
        interpolation.interpolate(text, {"A": "a", "E": ""})


def test_other_files(tmp_path):
    (tmp_path / "common").mkdir()
    (tmp_path / "common/base.yaml").write_text("services: {base: {extends: {file: ../top.yaml, service: top}, user: '1'}}")
    (tmp_path / "top.yaml").write_text("services: {top: {cap_drop: [ALL], user: '2'}}")
    (tmp_path / "directory").mkdir()
    text = b"services: {web: {extends: {file: common/base.yaml, service: base}}}"
    settings = compose.read(text, str(tmp_path / "compose.yaml"), "web")
    assert settings.user.where == f"{tmp_path}/common/base.yaml:1: services.base.user"
    assert settings.dropped[0].where == f"{tmp_path}/common/../top.yaml:1: services.top.cap_drop[0]"
    for name, what in (("missing", "No such file or directory"), ("directory", "Is a directory"), ("\\0", "stat: embedded null character in path")):
        text = b'services: {web: {extends: {file: "%s", service: base}}}' % name.encode()
        with pytest.raises(InputError) as refused:
            compose.read(text, str(tmp_path / "compose.yaml"), "web")
        assert refused.value.problems[0].endswith(f"cannot be read: {what}")


def test_all_problems_at_once():
    assert _refused(
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
        "(Compose would take it for empty, with a warning); give it one in the environment or in .env, or a default: ${X:-default}",
        'compose.yaml:4: services.web.cap_add[2]: "5": not a text to YAML; put it in quotes',
        'compose.yaml:4: services.web.cap_add[3]: "a mapping": not a text',
        'compose.yaml:5: services.web.cap_drop: "ALL": not a list',
        'compose.yaml:7: services.web.privileged: "maybe": neither true nor false',
        'compose.yaml:10: services.web.security_opt[0]: "no-new-privileges:si": neither true nor false after no-new-privileges',
        'compose.yaml:13: services.web.entrypoint: "a \'b": no command: no closing quotation',
        'compose.yaml:8: services.web.init: "3": neither true nor false',
        'compose.yaml:11: services.web.volumes[0]: "a:b": must be absolute; write "/b"',
        'compose.yaml:11: services.web.volumes[1]: "": a volume without target',
        'compose.yaml:11: services.web.volumes[2]: "": a volume without type',
        'compose.yaml:11: services.web.volumes[3]: "7": not a text to YAML; put it in quotes',
        'compose.yaml:12: services.web.tmpfs[0]: "x": must be absolute; write "/x"',
        'compose.yaml:9: services.web.userns_mode: "private": Docker takes "host" alone',
    ]


@pytest.mark.parametrize(
    "text, said",
    [
        (b"", "compose.yaml: no documents; a Compose file has one"),
        (b"a: 1\n---\nb: 2\n", "compose.yaml: 2 documents; a Compose file has one"),
        (b"web: {}", 'compose.yaml:1: "": no Compose file: it has no services'),
        (b"[]", 'compose.yaml:1: "a list": not a mapping'),
        (b"services: {wep: {}}", 'compose.yaml: "web": no service of this name; did you mean "wep"?'),
        (b"services: {x: {}, y: {}}", 'compose.yaml: "web": no service of this name; there are "x", "y"'),
        (b"services: {web: {extends: x}}", 'compose.yaml:1: services.web.extends: "x": no service of this name; there are "web"'),
        (b"services: {web: {extends: web}}", 'compose.yaml:1: services.web: "web": extends itself'),
        (b"services: {web: {extends: {}}}", 'compose.yaml:1: services.web.extends: "": names no service'),
        (b"services: {web: {user: !no x}}", 'compose.yaml:1: "!no": unknown tag'),
    ],
)
def test_no_compose_file(text, said):
    assert said in _refused(text)


def test_a_chain_is_bounded():
    text = b"services:\n" + b"".join(b"  s%d: {extends: s%d}\n" % (number, number + 1) for number in range(100))
    assert _refused(text, "s0") == ["compose.yaml:34: services.s32.extends: extends more than 32 times"]


@pytest.mark.parametrize(
    "text, said",
    [
        ("${N:?give a user}", "the variable N has no value, which Compose refuses: give a user"),
        ("${E:?for ${A}, please}", "the variable E has no value, which Compose refuses: for a, please"),
        ("${N?}", "the variable N has no value, which Compose refuses"),
        ("${N:?$$ ${N}}", "the variable N has no value, which Compose refuses: $$ ${N}"),
    ],
)
def test_a_required_variable_has_its_text(text, said):
    with pytest.raises(ValueError) as refused:
        interpolation.interpolate(text, {"A": "a", "E": ""})
    assert str(refused.value) == said


DOTENV = b"""\
# comment
A=1
export B = two words # comment
C=x#y
D="a $A\\n\\"q\\" \\$A"   # comment
E='it is $A # here'
F=${A}${NONE:-f}
G: yaml
H=
I=${NONE}
HOME
J="two
lines"
K=$SHELL_WINS
A.b=1
L=#none
"""


def test_a_file_of_variables():
    found = dotenv.read(DOTENV, ".env", {"HOME": "/root", "SHELL_WINS": "yes"})
    assert found == {
        "A": "1",
        "B": "two words",
        "C": "x#y",
        "D": 'a 1\n"q" $A',
        "E": "it is $A # here",
        "F": "1f",
        "G": "yaml",
        "H": "",
        "HOME": "/root",
        "J": "two\nlines",
        "K": "yes",
        "A.b": "1",
        "L": "",
    }


@pytest.mark.parametrize(
    "text, said",
    [
        (b"A=1\na b=2", '.env:2: "a b=2": not a variable; write it as NAME=value'),
        (b"=1", '.env:1: "=1": not a variable; write it as NAME=value'),
        (b"\n\nA='b\n", '.env:3: "\'b": no closing \''),
        (b"A=$(id)", '.env:1: "$(id)": "$" begins a variable; write "$$" for itself'),
        (b"A=${B:?needed}", '.env:1: "${B:?needed}": the variable B has no value, which Compose refuses: needed'),
    ],
)
def test_no_file_of_variables(text, said):
    with pytest.raises(InputError) as refused:
        dotenv.read(text, ".env", {})
    assert refused.value.problems == [said]


def _files(tmp_path, **files: str):
    for name, text in files.items():
        (tmp_path / name.replace("_", ".")).write_text(text)
    return str(tmp_path / "compose.yaml")


def test_variables_beside_the_file(tmp_path):
    """The shell's win over those of .env."""
    file = _files(tmp_path, _env="USER_ID=7\nCAP=BPF\n")
    text = b"services: {web: {user: '${USER_ID}', cap_add: ['$CAP']}}"
    settings = compose.read(text, file, "web", {"CAP": "KILL"})
    assert (settings.user.value, _values(settings.added), settings.notes) == ("7", ("cap_kill",), ())
    (tmp_path / "other").write_text("USER_ID=8")
    assert compose.read(text, file, "web", {"CAP": "KILL", "COMPOSE_ENV_FILES": str(tmp_path / "other")}).user.value == "8"
    (tmp_path / ".env").write_text("USER_ID='7")
    with pytest.raises(InputError) as refused:
        compose.read(text, file, "web", {"CAP": "KILL", "USER_ID": "1"})
    assert refused.value.problems == [f"{tmp_path}/.env:1: \"'7\": no closing '"]
    with pytest.raises(InputError) as refused:
        compose.read(text, file, "web", {"CAP": "KILL", "USER_ID": "1", "COMPOSE_ENV_FILES": "/none"})
    assert refused.value.problems == ["/none: cannot be read: No such file or directory"]


def test_files_that_are_not_read_are_noted(tmp_path):
    file = _files(tmp_path, compose_override_yaml="services: {}")
    text = b"services: {web: {}}"
    assert compose.read(text, file, "web").notes == (
        f"{tmp_path}/compose.override.yaml is not read here: docker compose reads it over {file}, unless -f names the files",
    )
    notes = compose.read(text, file, "web", {"COMPOSE_FILE": "compose.yaml:prod.yaml"}).notes
    assert notes == ('COMPOSE_FILE names "prod.yaml" too, which is not read here',)
    assert _refused(b"include: [x.yaml]\nservices: {x: {}}", "y") == [
        'compose.yaml: "y": no service of this name; there are "x"; files under include are not read: give the one that has the service'
    ]


def test_variables_of_the_container(tmp_path):
    file = _files(tmp_path, a_env="A=1\nB=1\n", _env="FROM_ENV=2\n")
    text = b"""
services:
  web:
    profiles: [debug]
    working_dir: /srv
    env_file: [a.env, {path: b.env, required: false}]
    environment: {B: "${FROM_ENV}", HOME: , PATH: /x:$$PATH, N: "$NONE", P: 5}
  list:
    env_file: a.env
    environment: [B=x=y, HOME, "C=${NONE:-c}"]
"""
    settings = compose.read(text, file, "web", {"HOME": "/root"})
    assert _values(settings.environment) == (
        ("A", "1"),
        ("B", "1"),
        ("B", "2"),
        ("HOME", "/root"),
        ("PATH", "/x:$PATH"),
        ("N", None),
        ("P", "5"),
    )
    assert settings.directory.value == "/srv"
    assert settings.other_variables.where == f"{file}:6: services.web.env_file[1]"
    settings = compose.read(text, file, "list", {})
    assert _values(settings.environment)[2:] == (("B", "x=y"), ("HOME", None), ("C", "c"))
    assert settings.other_variables is None


@pytest.mark.parametrize(
    "text, words, rest",
    [
        ("", (), ""),
        ("a 'b c' \"d e\" f\\ g", ("a", "b c", "d e", "f g"), ""),
        ("a '' \"\" b", ("a", "", "", "b"), ""),
        ('"a\\b\\n" \'c\\d\'', ("ab\n", "c\\d"), ""),
        ("a b && c", ("a", "b"), "&& c"),
        ("a b; c", ("a", "b"), "; c"),
        ("a 2>&1", ("a",), ">&1"),
        ("a x>y", ("a", "x"), ">y"),
        ("sh -c 'a; b'", ("sh", "-c", "a; b"), ""),
        ("a $(b c) `d e`", ("a", "$(b c)", "`d e`"), ""),
    ],
)
def test_words_of_a_command(text, words, rest):
    """Compose is no shell (mattn/go-shellwords)."""
    assert shellwords.split(text) == (words, rest)


@pytest.mark.parametrize("text", ["'a", '"a', "a\\", "(a)", "a)", "$(a", "`a"])
def test_no_words_of_a_command(text):
    with pytest.raises(ValueError):
        shellwords.split(text)


def test_what_compose_leaves_out_of_a_command_is_noted():
    settings = compose.read(b"services: {web: {command: 'app && other'}}", "compose.yaml", "web", open_file=_nothing)
    assert settings.command.value == ("app",)
    assert settings.notes == ('compose.yaml:1: services.web.command: Compose leaves out what follows "&"; quote it, or use sh -c',)


def _nothing(path: str) -> bytes:
    raise FileNotFoundError(path)

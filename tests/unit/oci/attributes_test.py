"""Attributes of an image are checked, and their placeholders and files are resolved."""

from __future__ import annotations

import pathlib

import pytest
from image_assembly import (  # noqa: F401 (assemble_image is a fixture)
    assemble_image,
    put_manifest,
    read_json,
    read_problems,
    write_index,
)


def test_all_mistakes_are_reported_together(assemble_image, tmp_path):
    done = assemble_image(
        user="a b",
        working_dir="app",
        exposed_ports=["http", "80"],
        volumes=["data"],
        stop_signal="TERM",
        created="yesterday",
        labels={"": "x"},
        env={"A=B": "1", "C": "$D"},
    )
    assert read_problems(done) == [
        'user: "a b": not a valid user; write uid, uid:gid, or names',
        'stop_signal: "TERM": not a known signal; did you mean "SIGTERM"?',
        'working_dir: "app": must be absolute; write "/app"',
        'volumes: "data": must be absolute; write "/data"',
        'exposed_ports: "http": not a valid port; write it as "80", "80/tcp" or "53/udp"',
        'env: "A=B": not a valid name of a variable; it must not have "="',
        'labels: "": the name must not be empty',
        'created: "yesterday": not a valid time; write it as "1970-01-01T00:00:00Z", or in seconds since 1970',
        'env: "C=$D": the base has no variable "D"; write $$ for a dollar sign',
    ]
    assert not (tmp_path / "config").exists()


PLAIN = 'must not have "//", "/./" or "/../"; write the path without them'
ENGINES = "0 to 2147483647, which is what container engines take"
# The attribute, its value, and the message; None if any message will do.
MISTAKES = [
    ("user", "1:2:3", "not a valid user; write uid, uid:gid, or names"),
    ("user", ":0", "not a valid user; write uid, uid:gid, or names"),
    ("user", "-1", "not a valid user; write uid, uid:gid, or names"),
    ("user", "2147483648", f"uid 2147483648 is out of range ({ENGINES})"),
    ("user", "0:4294967296", f"gid 4294967296 is out of range ({ENGINES})"),
    ("user", "9" * 400, None),
    ("user", "u" * 256, "a name must not have more than 255 characters"),
    ("stop_signal", "SIGTRM", 'not a known signal; did you mean "SIGTERM"?'),
    ("stop_signal", "sigint", 'not a known signal; did you mean "SIGINT"?'),
    ("stop_signal", "SIGRTMIN+16", "is out of range (SIGRTMIN+1 to SIGRTMIN+15, SIGRTMAX-1 to SIGRTMAX-14)"),
    ("stop_signal", "0", "signal 0 is out of range (1 to 64)"),
    ("stop_signal", "65", "signal 65 is out of range (1 to 64)"),
    ("stop_signal", "x", 'not a known signal; write it as "SIGTERM" or "15"'),
    ("working_dir", "/a/../b", PLAIN),
    ("working_dir", "/a//b", PLAIN),
    ("working_dir", "/a\0", "must not have a NUL character"),
    ("volumes", ["/a/.."], PLAIN),
    ("volumes", ["/"], "the root directory cannot be a volume"),
    ("volumes", ["/a", "/a/"], "is there twice; keep one"),
    ("exposed_ports", ["0"], "port 0 is out of range (1 to 65535)"),
    ("exposed_ports", ["65536"], "port 65536 is out of range (1 to 65535)"),
    ("exposed_ports", ["080"], 'not a valid port; write it as "80"'),
    ("exposed_ports", ["80/icmp"], '"icmp" is not a valid protocol; it must be tcp, udp or sctp'),
    ("exposed_ports", ["80/TCP"], '"TCP" is not a valid protocol; it must be tcp, udp or sctp'),
    ("exposed_ports", ["80/"], '"" is not a valid protocol; it must be tcp, udp or sctp'),
    ("exposed_ports", ["8000-8010"], "must be one port of the container; write each port by itself"),
    ("exposed_ports", ["8080:80"], "must be one port of the container; write each port by itself"),
    ("exposed_ports", ["80", "80/tcp"], 'the same port as "80"; keep one'),
    ("entrypoint", [""], "the program must not be empty"),
    ("entrypoint", ["/a", "b\0"], "must not have a NUL character"),
    ("cmd", ["\0"], "must not have a NUL character"),
    ("env", {"": "1"}, "the name must not be empty"),
    ("env", {"A B": "1"}, "not a valid name of a variable; it must not have white space"),
    ("env", {"A": "\0"}, "the value must not have a NUL character"),
    ("annotations", {"": "1"}, "the name must not be empty"),
    ("annotations", {"a\0": "1"}, "the name must not have a NUL character"),
    ("created", "2026-02-30T00:00:00Z", 'not a valid time; write it as "1970-01-01T00:00:00Z", or in seconds since 1970'),
    ("created", "253402300800", "is out of range (-62135596800 to 253402300799 seconds since 1970)"),
    *[
        (
            name,
            {"k": "v-{STABLE_X}"},
            "has the placeholder {STABLE_X}; set stamp = True, or write {{STABLE_X}} for the text {STABLE_X}",
        )
        for name in ("annotations", "env", "labels")
    ],
    ("created", "{BUILD_TIMESTAMP}", "has the placeholder {BUILD_TIMESTAMP}; set stamp = True"),
]


@pytest.mark.parametrize("attribute, value, expected", MISTAKES, ids=lambda value: str(value)[:30])
def test_one_mistake_is_one_problem(assemble_image, attribute, value, expected):
    (line,) = read_problems(assemble_image(**{attribute: value}))
    assert line.startswith(f"{attribute}: ")
    if expected:
        assert line.endswith(f": {expected}")


PLATFORMS = [
    ("linux/x86_64", '"x86_64" is not a known architecture; did you mean "linux/amd64"?'),
    ("linux/aarch64", '"aarch64" is not a known architecture; did you mean "linux/arm64"?'),
    ("linux/aarch64/v8", '"aarch64" is not a known architecture; did you mean "linux/arm64/v8"?'),
    ("linux/armv7l", '"armv7l" is not a known architecture; did you mean "linux/arm/v7"?'),
    ("linux/AMD64", '"AMD64" is not a known architecture; did you mean "linux/amd64"?'),
    ("linux/amd46", '"amd46" is not a known architecture; did you mean "linux/amd64"?'),
    ("Linux/amd64", '"Linux" is not a known operating system; did you mean "linux/amd64"?'),
    ("amd64/linux", 'the operating system comes first; did you mean "linux/amd64"?'),
    ("linux/amd64/v5", '"v5" is not a known variant of amd64; it must be v1 to v4'),
    ("linux/arm/7", '"7" is not a known variant of arm; it must be v5 to v8'),
    ("linux/s390x/z15", '"z15" is not a known variant of s390x; leave it out'),
    ("solaris/?", '"?" is not a known architecture; it must be one of 386, amd64, arm, arm64, '),
    ("zzz/amd64", '"zzz" is not a known operating system; write "linux"'),
]


def _split_platform(text: str) -> dict[str, str]:
    return dict(zip(("os", "architecture", "variant"), [*text.split("/"), ""], strict=False))


@pytest.mark.parametrize("text, expected", PLATFORMS)
def test_an_unknown_platform_is_refused(assemble_image, tmp_path, text, expected):
    """The base is not compared with an unknown platform, so there is only one problem."""
    write_index(tmp_path / "base", put_manifest(tmp_path / "base"))
    (line,) = read_problems(assemble_image("--base-layout=base", **_split_platform(text)))
    assert line.startswith(f'platform: "{text}": {expected}')


@pytest.mark.parametrize(
    "text", ["linux/arm/v6", "linux/arm64/v8.2", "linux/386", "windows/amd64", "linux/riscv64/rva22u64", "wasip1/wasm"]
)
def test_a_known_platform_is_accepted(assemble_image, text):
    assert assemble_image(**_split_platform(text)) == (0, "")


def test_valid_values_are_accepted(assemble_image, tmp_path):
    assert assemble_image(working_dir="/", volumes=["/a/"], stop_signal="SIGRTMIN+15", created="1700000000", user="_x.y@z:0") == (
        0,
        "",
    )
    config = read_json(tmp_path, "config")
    assert config["created"] == "2023-11-14T22:13:20Z"
    assert config["config"]["StopSignal"] == "SIGRTMIN+15"


STATUS = {
    "stable": "BUILD_EMBED_LABEL \nSTABLE_GIT_COMMIT 3f2c9d1\nSTABLE_PRICE $5 {STABLE_GIT_COMMIT}\n",
    "volatile": "BUILD_TIMESTAMP 1700000000\n",
}
STAMPS = "--stamp=stable", "--stamp=volatile"


@pytest.fixture
def status(tmp_path) -> None:
    """Writes the files of the workspace status."""
    for name, text in STATUS.items():
        (tmp_path / name).write_text(text)


def test_placeholders_are_replaced(assemble_image, tmp_path, status):
    done = assemble_image(
        *STAMPS,
        annotations={
            "org.opencontainers.image.revision": "{STABLE_GIT_COMMIT}",
            "org.opencontainers.image.created": "{BUILD_TIMESTAMP}",
        },
        labels={"org.opencontainers.image.source": "https://example.test/{STABLE_GIT_COMMIT}/x", "at": "{BUILD_TIMESTAMP}"},
        env={"COMMIT": "{STABLE_GIT_COMMIT}", "PRICE": "{STABLE_PRICE}"},
        created="{BUILD_TIMESTAMP}",
    )
    assert done == (0, "")
    config = read_json(tmp_path, "config")
    assert config["created"] == config["history"][0]["created"] == "2023-11-14T22:13:20Z"
    assert config["config"]["Labels"] == {"at": "1700000000", "org.opencontainers.image.source": "https://example.test/3f2c9d1/x"}
    # Values are not expanded again.
    assert config["config"]["Env"] == ["COMMIT=3f2c9d1", "PRICE=$5 {STABLE_GIT_COMMIT}"]
    assert read_json(tmp_path, "manifest")["annotations"] == {
        "org.opencontainers.image.created": "2023-11-14T22:13:20Z",
        "org.opencontainers.image.revision": "3f2c9d1",
    }


# Attributes by their values: braces that are text, with and without stamp.
TEXTS = {
    '{"a":1}': '{"a":1}',
    "{}": "{}",
    "{level} {0} {a.B}": "{level} {0} {a.B}",
    "{{STABLE_GIT_COMMIT}}": "{STABLE_GIT_COMMIT}",
    "{{{NAME}}}": "{{NAME}}",
    "{{ NAME }} {{name}}": "{{ NAME }} {{name}}",
}


@pytest.mark.parametrize("stamped", [True, False])
def test_other_braces_are_text(assemble_image, tmp_path, status, stamped):
    names = [str(number) for number in range(len(TEXTS))]
    values = dict(zip(names, TEXTS, strict=True))
    placeholder = {"used": "{STABLE_GIT_COMMIT}"} if stamped else {}
    assert assemble_image(*(STAMPS if stamped else ()), labels={**values, **placeholder}, env=values, annotations=values) == (
        0,
        "",
    )
    expected = dict(zip(names, TEXTS.values(), strict=True))
    labels = read_json(tmp_path, "config")["config"]["Labels"]
    assert (labels.pop("used", None), labels) == ("3f2c9d1" if stamped else None, expected)
    assert read_json(tmp_path, "config")["config"]["Env"] == [f"{name}={text}" for name, text in expected.items()]
    assert read_json(tmp_path, "manifest")["annotations"] == expected


def test_variables_of_the_base_are_not_placeholders(assemble_image, tmp_path, status):
    write_index(tmp_path / "base", put_manifest(tmp_path / "base"))
    env = {"PATH": "/app:${PATH}", "A": "$${PATH_}", "B": "{{{STABLE_GIT_COMMIT}}", "C": "$$$LANG {STABLE_GIT_COMMIT}"}
    assert assemble_image("--base-layout=base", *STAMPS, env={**env, "A": "$$PATH"}) == (0, "")
    assert read_json(tmp_path, "config")["config"]["Env"] == [
        "PATH=/app:/bin",
        "LANG=C",
        "A=$PATH",
        "B={{STABLE_GIT_COMMIT}",
        "C=$C 3f2c9d1",
    ]


def test_wrong_placeholders_are_reported(assemble_image, status):
    assert read_problems(
        assemble_image(*STAMPS, labels={"a": "{STABLE_GIT}"}, env={"B": "{BUILD_EMBED_LABEL}"}, created="{STABLE_GIT_COMMIT}")
    ) == [
        'env: "B={BUILD_EMBED_LABEL}": BUILD_EMBED_LABEL has no value in the workspace status',
        'labels: "a={STABLE_GIT}": the workspace status has no "STABLE_GIT"; '
        "it has BUILD_EMBED_LABEL, BUILD_TIMESTAMP, STABLE_GIT_COMMIT, STABLE_PRICE",
        'created: "{STABLE_GIT_COMMIT}": not a valid time; write it as "1970-01-01T00:00:00Z", or in seconds since 1970',
    ]
    assert read_problems(assemble_image(*STAMPS, labels={"a": "b"})) == [
        "stamp: true: has no effect: there is no placeholder such as {STABLE_GIT_COMMIT} in annotations, created, env, labels or mtime; "
        "write one, or leave stamp out"
    ]


def _write_attribute_files(directory: pathlib.Path, **texts: str) -> list[str]:
    """Writes files of attributes; returns the flags that name them.

    Args:
      directory: the directory of the files.
      **texts: by attribute, the text of its file; a surrogate stands for a byte that is not UTF-8.
    """
    flags = []
    for name, text in texts.items():
        (directory / name).write_bytes(text.encode("utf-8", "surrogateescape"))
        flags += [f"--{name}-file={name}", f'--named=["{name}_file","//app:{name}.txt"]={name}']
    return flags


def test_values_are_read_from_files(assemble_image, tmp_path, status):
    flags = _write_attribute_files(
        tmp_path,
        annotations="a=1\r\n\nb = 2 \n",
        created="2026-01-02T03:04:05Z\n",
        env="X=$$x {STABLE_GIT_COMMIT}\nY=",
        labels="org.opencontainers.image.revision={STABLE_GIT_COMMIT}\nurl=a=b",
    )
    assert assemble_image(*STAMPS, *flags, labels={"own": "1"}, env={"W": "w"}) == (0, "")
    config = read_json(tmp_path, "config")
    assert config["created"] == "2026-01-02T03:04:05Z"
    assert config["config"]["Labels"] == {"org.opencontainers.image.revision": "3f2c9d1", "own": "1", "url": "a=b"}
    assert config["config"]["Env"] == ["W=w", "X=$x 3f2c9d1", "Y="]
    assert read_json(tmp_path, "manifest")["annotations"] == {"a": "1", "b ": " 2 "}


def test_mistakes_in_files_are_reported_with_their_lines(assemble_image, tmp_path):
    flags = _write_attribute_files(
        tmp_path,
        annotations="a\udcff=1",
        created="1\n2\n",
        env="A B=1\nC=1\nC=2\nD={STABLE_X}\n",
        labels="novalue\n=x\nown=1",
    )
    assert read_problems(assemble_image(*flags, labels={"own": "1"})) == [
        'annotations_file: "//app:annotations.txt": is not UTF-8',
        'env_file: "//app:env.txt": line 1, "A B=1": not a valid name of a variable; it must not have white space',
        'env_file: "//app:env.txt": line 3, "C=2": C is in line 2 already; keep one',
        'env_file: "//app:env.txt": line 4, "D={STABLE_X}": has the placeholder {STABLE_X}; '
        "set stamp = True, or write {{STABLE_X}} for the text {STABLE_X}",
        'labels_file: "//app:labels.txt": line 1, "novalue": must be NAME=VALUE',
        'labels_file: "//app:labels.txt": line 2, "=x": the name must not be empty',
        'labels_file: "//app:labels.txt": line 3, "own=1": own is in labels already; keep one',
        'created_file: "//app:created.txt": has 2 lines; it must hold one time',
    ]
    assert read_problems(assemble_image(*_write_attribute_files(tmp_path, created="soon"), created="0")) == [
        'created: "0": is given beside created_file; keep one'
    ]
    (line,) = read_problems(assemble_image(*_write_attribute_files(tmp_path, created="soon")))
    assert line.startswith('created_file: "//app:created.txt": "soon": not a valid time; ')

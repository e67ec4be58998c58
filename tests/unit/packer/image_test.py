"""Config and manifest: what the attributes say, what a base hands down, and bases that lie."""

from __future__ import annotations

import hashlib
import json
import pathlib
from typing import Any, Callable

import pytest

from support import packer

SPEC: dict[str, Any] = {
    **{"mtime": "0", "os": "linux", "architecture": "amd64", "variant": "", "entrypoint": None, "cmd": None, "env": {}, "user": ""},
    **{"working_dir": "", "exposed_ports": [], "volumes": [], "labels": {}, "annotations": {}, "stop_signal": "", "created": ""},
}
LAYER = {
    "descriptor": {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": "sha256:" + "a" * 64, "size": 9},
    "diff_id": "sha256:" + "b" * 64,
    "capabilities": {},
    "created_by": "rules_setcap",
}
BASE_CONFIG: dict[str, Any] = {
    "architecture": "amd64",
    "os": "linux",
    "author": "somebody",
    "config": {
        "Cmd": ["base"],
        "Entrypoint": ["/entry"],
        "Env": ["PATH=/bin", "LANG=C"],
        "ExposedPorts": {"80/tcp": {}},
        "Healthcheck": {"Test": ["NONE"]},
        "Labels": {"a": "1", "b": "2"},
        "StopSignal": "SIGQUIT",
        "User": "nobody",
        "WorkingDir": "/srv",
    },
    "history": [{"created_by": "base"}],
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "c" * 64]},
}
BASE_LAYER = {"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "digest": "sha256:" + "d" * 64, "size": 7}


def _put(layout: pathlib.Path, media_type: str, value: Any) -> dict[str, Any]:
    """Adds a blob; returns its descriptor."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    digest = hashlib.sha256(data).hexdigest()
    (layout / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
    (layout / "blobs" / "sha256" / digest).write_bytes(data)
    return {"mediaType": media_type, "digest": "sha256:" + digest, "size": len(data)}


def _manifest(layout: pathlib.Path, config: Any = BASE_CONFIG, layers: Any = (BASE_LAYER,)) -> dict[str, Any]:
    config = _put(layout, "application/vnd.docker.container.image.v1+json", config)
    value = {"schemaVersion": 2, "config": config, "layers": list(layers)}
    return _put(layout, "application/vnd.docker.distribution.manifest.v2+json", value)


def _index(layout: pathlib.Path, *entries: Any) -> None:
    layout.mkdir(exist_ok=True)
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))


@pytest.fixture
def image(tmp_path) -> Callable[..., packer.Done]:
    """A function that assembles an image from a spec; the outputs are `manifest`, `config`, `descriptor`."""

    def assemble(*flags: str, **spec: Any) -> packer.Done:
        (tmp_path / "layer").write_text(json.dumps(LAYER))
        flags = ('--named=["base","//:base"]=base', "--base-name=//:base", *flags)
        given = "--attributes=" + json.dumps({**SPEC, **spec})
        own = [flag for flag in flags if not flag.startswith(("--base-manifest=", "--base-config="))]
        resolved = packer.run("attributes", given, *own, "--output=spec", "--problems-output=problems", cwd=tmp_path)
        assert resolved == (0, "")
        of_image = [flag for flag in flags if flag.startswith(("--base-", "--named=")) and not flag.startswith("--base-platform=")]
        outputs = [f"--{name}-output={name}" for name in ("manifest", "config", "descriptor")]
        return packer.run("image", "--spec=spec", "--problems=problems", "--layer=layer", *outputs, *of_image, cwd=tmp_path)

    return assemble


def _layout(tmp_path: pathlib.Path, blob: bytes, size: int) -> packer.Done:
    """Writes the layout of an image whose one layer has `size` bytes, as the manifest says."""
    digest = "sha256:" + hashlib.sha256(blob).hexdigest()
    layer = {**LAYER, "descriptor": {**LAYER["descriptor"], "digest": digest, "size": size}}
    config = {"mediaType": "c", "digest": "sha256:" + hashlib.sha256(b"{}").hexdigest(), "size": 2}
    manifest = json.dumps({"schemaVersion": 2, "config": config, "layers": [layer["descriptor"]]}).encode()
    own = {"mediaType": "m", "digest": "sha256:" + hashlib.sha256(manifest).hexdigest(), "size": len(manifest)}
    files = {"manifest": manifest, "config": b"{}", "descriptor": json.dumps(own).encode(), "layer": json.dumps(layer).encode(), "blob": blob}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    flags = [f"--{name}={name}" for name in ("manifest", "config", "descriptor")]
    return packer.run("layout", *flags, "--layer=layer=blob", "--output=layout", cwd=tmp_path)


@pytest.mark.parametrize("size", [99, 100, 101])
def test_layout_checks_the_size_of_each_layer(tmp_path, size):
    done = _layout(tmp_path, b"x" * 100, size)
    if size == 100:
        assert done == (0, "")
        assert len(list((tmp_path / "layout/blobs/sha256").iterdir())) == 3
    else:
        digest = "sha256:" + hashlib.sha256(b"x" * 100).hexdigest()
        assert done == (1, f'//app:image: base: "{digest}": has 100 bytes, and the manifest says {size}\n')
        assert not (tmp_path / "layout").exists()


def _read(directory: pathlib.Path, name: str) -> Any:
    return json.loads((directory / name).read_bytes())


def test_every_attribute(image, tmp_path):
    assert image(
        entrypoint=["/app/server"],
        cmd=["--port=80"],
        env={"A": "1", "B": "$$x"},
        user="65532:65532",
        working_dir="/app",
        exposed_ports=["80", "53/udp"],
        volumes=["/data"],
        labels={"l": "v"},
        annotations={"org.opencontainers.image.source": "here"},
        stop_signal="SIGTERM",
        created="2026-01-02T03:04:05Z",
        architecture="arm64",
        variant="v8",
    ) == (0, "")
    assert (tmp_path / "config").read_text() == (
        '{"created":"2026-01-02T03:04:05Z","architecture":"arm64","os":"linux","variant":"v8",'
        '"config":{"User":"65532:65532","ExposedPorts":{"53/udp":{},"80/tcp":{}},"Env":["A=1","B=$x"],'
        '"Entrypoint":["/app/server"],"Cmd":["--port=80"],"Volumes":{"/data":{}},"WorkingDir":"/app",'
        '"Labels":{"l":"v"},"StopSignal":"SIGTERM"},'
        f'"rootfs":{{"type":"layers","diff_ids":["{LAYER["diff_id"]}"]}},'
        '"history":[{"created":"2026-01-02T03:04:05Z","created_by":"rules_setcap"}]}'
    )
    manifest = (tmp_path / "manifest").read_bytes()
    assert json.loads(manifest) == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": "sha256:" + hashlib.sha256((tmp_path / "config").read_bytes()).hexdigest(),
            "size": (tmp_path / "config").stat().st_size,
        },
        "layers": [LAYER["descriptor"]],
        "annotations": {"org.opencontainers.image.source": "here"},
    }
    assert _read(tmp_path, "descriptor") == {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": "sha256:" + hashlib.sha256(manifest).hexdigest(),
        "size": len(manifest),
        "platform": {"architecture": "arm64", "os": "linux", "variant": "v8"},
    }


def test_a_base_hands_down(image, tmp_path):
    _index(tmp_path / "base", _manifest(tmp_path / "base"))
    assert image("--base-layout=base") == (0, "")
    config = _read(tmp_path, "config")
    assert config["config"] == BASE_CONFIG["config"]
    assert config["author"] == "somebody"
    assert config["rootfs"]["diff_ids"] == ["sha256:" + "c" * 64, LAYER["diff_id"]]
    assert [entry["created_by"] for entry in config["history"]] == ["base", "rules_setcap"]
    layers = _read(tmp_path, "manifest")["layers"]
    assert layers == [{**BASE_LAYER, "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip"}, LAYER["descriptor"]]


def test_attributes_over_a_base(image, tmp_path):
    _index(tmp_path / "base", _manifest(tmp_path / "base"))
    done = image(
        "--base-layout=base",
        entrypoint=["/app"],
        env={"PATH": "/app:${PATH}", "NEW": "$LANG"},
        exposed_ports=["443"],
        labels={"b": "3", "c": "4"},
        user="0",
    )
    assert done == (0, "")
    config = _read(tmp_path, "config")["config"]
    assert config["Entrypoint"] == ["/app"]
    assert "Cmd" not in config  # The base's belongs to the base's entrypoint.
    assert config["Env"] == ["PATH=/app:/bin", "LANG=C", "NEW=C"]
    assert config["ExposedPorts"] == {"443/tcp": {}, "80/tcp": {}}
    assert config["Labels"] == {"a": "1", "b": "3", "c": "4"}
    assert (config["User"], config["WorkingDir"], config["StopSignal"]) == ("0", "/srv", "SIGQUIT")
    assert config["Healthcheck"] == {"Test": ["NONE"]}


def test_cmd_alone_keeps_the_entrypoint(image, tmp_path):
    _index(tmp_path / "base", _manifest(tmp_path / "base"))
    assert image("--base-layout=base", cmd=["--help"]) == (0, "")
    config = _read(tmp_path, "config")["config"]
    assert (config["Entrypoint"], config["Cmd"]) == (["/entry"], ["--help"])


def test_the_platform_chooses_from_an_index(image, tmp_path):
    base = tmp_path / "base"
    arm = _manifest(base, {**BASE_CONFIG, "architecture": "arm64"})
    nested = _put(
        base,
        "application/vnd.oci.image.index.v1+json",
        {"manifests": [{**arm, "platform": {"os": "linux", "architecture": "arm64"}}, _manifest(base)]},
    )
    _index(base, nested)
    for architecture in ("arm64", "amd64"):
        assert image("--base-layout=base", architecture=architecture) == (0, "")
        assert _read(tmp_path, "config")["architecture"] == architecture
    assert image("--base-layout=base", architecture="s390x") == (
        1,
        '//app:image: base: "//:base": has no image for linux/s390x; it has linux/amd64, linux/arm64\n',
    )


def _refused(done: packer.Done) -> list[str]:
    """Returns the problems, without the target that they start with."""
    assert done.status == 1
    assert done.stderr.endswith("\n")
    return [line.removeprefix("//app:image: ") for line in done.stderr.splitlines()]


def test_attributes_that_are_wrong(image, tmp_path):
    done = image(
        user="a b",
        working_dir="app",
        exposed_ports=["http", "80"],
        volumes=["data"],
        stop_signal="TERM",
        created="yesterday",
        labels={"": "x"},
        env={"A=B": "1", "C": "$D"},
    )
    assert _refused(done) == [
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
# One mistake each: the attribute, its value, the message.
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
        (name, {"k": "v-{STABLE_X}"}, "has the placeholder {STABLE_X}; set stamp = True, or write {{STABLE_X}} for the text {STABLE_X}")
        for name in ("annotations", "env", "labels")
    ],
    ("created", "{BUILD_TIMESTAMP}", "has the placeholder {BUILD_TIMESTAMP}; set stamp = True"),
]


@pytest.mark.parametrize("attribute, value, expected", MISTAKES, ids=lambda value: str(value)[:30])
def test_one_mistake_is_one_problem(image, attribute, value, expected):
    (line,) = _refused(image(**{attribute: value}))
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


def _platform(text: str) -> dict[str, str]:
    return dict(zip(("os", "architecture", "variant"), text.split("/") + [""]))


@pytest.mark.parametrize("text, expected", PLATFORMS)
def test_wrong_platforms(image, tmp_path, text, expected):
    """The base is not compared with a platform that does not exist."""
    _index(tmp_path / "base", _manifest(tmp_path / "base"))
    (line,) = _refused(image("--base-layout=base", **_platform(text)))
    assert line.startswith(f'platform: "{text}": {expected}')


@pytest.mark.parametrize("text", ["linux/arm/v6", "linux/arm64/v8.2", "linux/386", "windows/amd64", "linux/riscv64/rva22u64", "wasip1/wasm"])
def test_right_platforms(image, text):
    assert image(**_platform(text)) == (0, "")


def test_right_values(image, tmp_path):
    assert image(working_dir="/", volumes=["/a/"], stop_signal="SIGRTMIN+15", created="1700000000", user="_x.y@z:0") == (0, "")
    config = _read(tmp_path, "config")
    assert config["created"] == "2023-11-14T22:13:20Z"
    assert config["config"]["StopSignal"] == "SIGRTMIN+15"


STATUS = {
    "stable": "BUILD_EMBED_LABEL \nSTABLE_GIT_COMMIT 3f2c9d1\nSTABLE_PRICE $5 {STABLE_GIT_COMMIT}\n",
    "volatile": "BUILD_TIMESTAMP 1700000000\n",
}
STAMPS = "--stamp=stable", "--stamp=volatile"


@pytest.fixture
def status(tmp_path) -> None:
    for name, text in STATUS.items():
        (tmp_path / name).write_text(text)


def test_placeholders(image, tmp_path, status):
    done = image(
        *STAMPS,
        annotations={"org.opencontainers.image.revision": "{STABLE_GIT_COMMIT}", "org.opencontainers.image.created": "{BUILD_TIMESTAMP}"},
        labels={"org.opencontainers.image.source": "https://example.test/{STABLE_GIT_COMMIT}/x", "at": "{BUILD_TIMESTAMP}"},
        env={"COMMIT": "{STABLE_GIT_COMMIT}", "PRICE": "{STABLE_PRICE}"},
        created="{BUILD_TIMESTAMP}",
    )
    assert done == (0, "")
    config = _read(tmp_path, "config")
    assert config["created"] == config["history"][0]["created"] == "2023-11-14T22:13:20Z"
    assert config["config"]["Labels"] == {"at": "1700000000", "org.opencontainers.image.source": "https://example.test/3f2c9d1/x"}
    # Values are not expanded again.
    assert config["config"]["Env"] == ["COMMIT=3f2c9d1", "PRICE=$5 {STABLE_GIT_COMMIT}"]
    assert _read(tmp_path, "manifest")["annotations"] == {
        "org.opencontainers.image.created": "2023-11-14T22:13:20Z",
        "org.opencontainers.image.revision": "3f2c9d1",
    }


# What is text, with and without stamp.
TEXTS = {
    '{"a":1}': '{"a":1}',
    "{}": "{}",
    "{level} {0} {a.B}": "{level} {0} {a.B}",
    "{{STABLE_GIT_COMMIT}}": "{STABLE_GIT_COMMIT}",
    "{{{NAME}}}": "{{NAME}}",
    "{{ NAME }} {{name}}": "{{ NAME }} {{name}}",
}


@pytest.mark.parametrize("stamped", [True, False])
def test_braces_that_are_text(image, tmp_path, status, stamped):
    names = [str(number) for number in range(len(TEXTS))]
    values = dict(zip(names, TEXTS))
    used = {"used": "{STABLE_GIT_COMMIT}"} if stamped else {}
    assert image(*(STAMPS if stamped else ()), labels={**values, **used}, env=values, annotations=values) == (0, "")
    expected = dict(zip(names, TEXTS.values()))
    labels = _read(tmp_path, "config")["config"]["Labels"]
    assert (labels.pop("used", None), labels) == ("3f2c9d1" if stamped else None, expected)
    assert _read(tmp_path, "config")["config"]["Env"] == [f"{name}={text}" for name, text in expected.items()]
    assert _read(tmp_path, "manifest")["annotations"] == expected


def test_variables_of_the_base_are_no_placeholders(image, tmp_path, status):
    _index(tmp_path / "base", _manifest(tmp_path / "base"))
    env = {"PATH": "/app:${PATH}", "A": "$${PATH_}", "B": "{{{STABLE_GIT_COMMIT}}", "C": "$$$LANG {STABLE_GIT_COMMIT}"}
    assert image("--base-layout=base", *STAMPS, env={**env, "A": "$$PATH"}) == (0, "")
    assert _read(tmp_path, "config")["config"]["Env"] == ["PATH=/app:/bin", "LANG=C", "A=$PATH", "B={{STABLE_GIT_COMMIT}", "C=$C 3f2c9d1"]


def test_stamps_that_are_wrong(image, status):
    assert _refused(image(*STAMPS, labels={"a": "{STABLE_GIT}"}, env={"B": "{BUILD_EMBED_LABEL}"}, created="{STABLE_GIT_COMMIT}")) == [
        'env: "B={BUILD_EMBED_LABEL}": BUILD_EMBED_LABEL has no value in the workspace status',
        'labels: "a={STABLE_GIT}": the workspace status has no "STABLE_GIT"; '
        "it has BUILD_EMBED_LABEL, BUILD_TIMESTAMP, STABLE_GIT_COMMIT, STABLE_PRICE",
        'created: "{STABLE_GIT_COMMIT}": not a valid time; write it as "1970-01-01T00:00:00Z", or in seconds since 1970',
    ]
    assert _refused(image(*STAMPS, labels={"a": "b"})) == [
        "stamp: true: has no effect: there is no placeholder such as {STABLE_GIT_COMMIT} in annotations, created, env, labels or mtime; "
        "write one, or leave stamp out"
    ]


def _files(directory: pathlib.Path, **texts: str) -> list[str]:
    """Writes the files of attributes; returns the flags."""
    flags = []
    for name, text in texts.items():
        (directory / name).write_bytes(text.encode("utf-8", "surrogateescape"))
        flags += [f"--{name}-file={name}", f'--named=["{name}_file","//app:{name}.txt"]={name}']
    return flags


def test_values_from_files(image, tmp_path, status):
    flags = _files(
        tmp_path,
        annotations="a=1\r\n\nb = 2 \n",
        created="2026-01-02T03:04:05Z\n",
        env="X=$$x {STABLE_GIT_COMMIT}\nY=",
        labels="org.opencontainers.image.revision={STABLE_GIT_COMMIT}\nurl=a=b",
    )
    assert image(*STAMPS, *flags, labels={"own": "1"}, env={"W": "w"}) == (0, "")
    config = _read(tmp_path, "config")
    assert config["created"] == "2026-01-02T03:04:05Z"
    assert config["config"]["Labels"] == {"org.opencontainers.image.revision": "3f2c9d1", "own": "1", "url": "a=b"}
    assert config["config"]["Env"] == ["W=w", "X=$x 3f2c9d1", "Y="]
    assert _read(tmp_path, "manifest")["annotations"] == {"a": "1", "b ": " 2 "}


def test_files_that_are_wrong(image, tmp_path):
    flags = _files(
        tmp_path,
        annotations="a\udcff=1",
        created="1\n2\n",
        env="A B=1\nC=1\nC=2\nD={STABLE_X}\n",
        labels="novalue\n=x\nown=1",
    )
    assert _refused(image(*flags, labels={"own": "1"})) == [
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
    assert _refused(image(*_files(tmp_path, created="soon"), created="0")) == ['created: "0": is given beside created_file; keep one']
    (line,) = _refused(image(*_files(tmp_path, created="soon")))
    assert line.startswith('created_file: "//app:created.txt": "soon": not a valid time; ')


def test_the_platform_of_a_base_that_is_not_built_yet(image):
    (line,) = _refused(image("--base-platform=linux/arm64/v8", labels={"": "x"}, architecture="arm64", variant="v8"))
    assert line.startswith("labels: ")
    assert _refused(image("--base-platform=linux/arm64/v8", labels={"": "x"})) == [
        'labels: "": the name must not be empty',
        'base: "//:base": is for linux/arm64/v8, and the image for linux/amd64; build for the base\'s platform, or choose another base',
    ]


def _no_layout(base: pathlib.Path) -> None:
    base.mkdir()


def _no_json(base: pathlib.Path) -> None:
    base.mkdir()
    (base / "index.json").write_text("{")


def _flipped(base: pathlib.Path) -> None:
    descriptor = _manifest(base)
    _index(base, descriptor)
    path = base / "blobs" / "sha256" / descriptor["digest"].removeprefix("sha256:")
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)


def _outside(base: pathlib.Path) -> None:
    _index(base, {**_manifest(base), "digest": "sha256:../../../../etc/passwd"})


def _wrong_size(base: pathlib.Path) -> None:
    descriptor = _manifest(base)
    _index(base, {**descriptor, "size": descriptor["size"] + 1})


def _huge(base: pathlib.Path) -> None:
    _index(base, {**_manifest(base), "size": 1 << 50})


def _missing(base: pathlib.Path) -> None:
    _index(base, {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": "sha256:" + "e" * 64, "size": 5})


def _deep(base: pathlib.Path) -> None:
    descriptor = _manifest(base)
    for _ in range(9):
        descriptor = _put(base, "application/vnd.oci.image.index.v1+json", {"manifests": [descriptor]})
    _index(base, descriptor)


def _wrong_shapes(base: pathlib.Path) -> None:
    _index(base, _put(base, "application/vnd.oci.image.manifest.v1+json", {"config": [], "layers": {}}))


def _two_counts(base: pathlib.Path) -> None:
    _index(base, _manifest(base, layers=[BASE_LAYER, BASE_LAYER]))


def _strange_layer(base: pathlib.Path) -> None:
    _index(base, _manifest(base, layers=[{**BASE_LAYER, "mediaType": "text/plain"}]))


def _wrong_types(base: pathlib.Path) -> None:
    _index(base, _manifest(base, {**BASE_CONFIG, "config": {"Env": {"A": "1"}, "Labels": ["x"]}, "history": "none"}))


def _bomb(base: pathlib.Path) -> None:
    base.mkdir()
    (base / "index.json").write_text("[" * 3_000_000)


def _half_a_character(base: pathlib.Path) -> None:
    _index(base, _manifest(base, {**BASE_CONFIG, "author": "\ud800"}))


LIARS = [
    (_no_layout, "index.json cannot be read: No such file or directory; is it an OCI layout directory?"),
    (_no_json, "index.json is not JSON"),
    (_bomb, "index.json is not JSON"),
    (_flipped, "and should have sha256:"),
    (_outside, "is not a valid descriptor (mediaType, digest by sha256, size)"),
    (_wrong_size, "and should have sha256:"),
    (_huge, "has 1125899906842624 bytes; more than 4194304 are not read"),
    (_missing, "cannot be read: No such file or directory"),
    (_deep, "indexes within indexes, more than 4 deep"),
    (_wrong_shapes, "its manifest has no list of layers"),
    (_two_counts, "its manifest has 2 layers, its config 1 diff_ids"),
    (_strange_layer, 'layer of unknown media type "text/plain"'),
    (_wrong_types, "its config has an invalid Labels"),
    (_half_a_character, "a string of its config is not UTF-8"),
]


@pytest.mark.parametrize("make, expected", LIARS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_base_that_lies(image, tmp_path, make, expected):
    make(tmp_path / "base")
    done = image("--base-layout=base")
    assert done.status == 1
    assert all(line.startswith("//app:image: base: ") for line in done.stderr.splitlines()), done.stderr
    assert expected in done.stderr
    assert not (tmp_path / "config").exists()


def test_another_platform_than_the_base(image, tmp_path):
    (tmp_path / "base-manifest").write_text(json.dumps({"layers": []}))
    (tmp_path / "base-config").write_text(json.dumps({**BASE_CONFIG, "rootfs": {"diff_ids": []}}))
    assert image("--base-manifest=base-manifest", "--base-config=base-config", architecture="arm64") == (
        1,
        '//app:image: base: "//:base": is for linux/amd64, and the image for linux/arm64; '
        "build for the base's platform, or choose another base\n",
    )


def test_an_image_of_two_names_is_one(image, tmp_path):
    descriptor = _manifest(tmp_path / "base")
    _index(tmp_path / "base", *({**descriptor, "annotations": {"org.opencontainers.image.ref.name": name}} for name in "ab"))
    assert image("--base-layout=base") == (0, "")


def test_images_for_other_platforms_may_be_absent(image, tmp_path):
    absent = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": "sha256:" + "e" * 64, "size": 5}
    absent["platform"] = {"os": "linux", "architecture": "s390x"}
    _index(tmp_path / "base", absent, _manifest(tmp_path / "base"))
    assert image("--base-layout=base") == (0, "")


def test_indexes_that_repeat_each_other_are_read_once(image, tmp_path):
    base = tmp_path / "base"
    entries = [_manifest(base)]
    for _ in range(4):
        entries = [_put(base, "application/vnd.oci.image.index.v1+json", {"manifests": entries})] * 1000
    _index(base, *entries)
    assert image("--base-layout=base") == (0, "")

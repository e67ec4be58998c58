"""The checks find programs that the kernel would not start, and programs that would lose their capabilities."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
from collections.abc import Sequence
from typing import Any

import pytest

from support import oci_layout, packer, require
from support.oci_layout import Member, directory, symlink

SOURCES = {
    "static": ("int main(void) { return 0; }", ["-static"]),
    "dynamic": ("int main(void) { return 0; }", []),
    "libgreet.so": ("int greet(void) { return 0; }", ["-shared", "-fPIC"]),
    "origin": ("int greet(void); int main(void) { return greet(); }", ["-Wl,-rpath,$ORIGIN/../lib", "-L.", "-lgreet"]),
}
LOADER = "/lib64/ld-linux-x86-64.so.2"
OFF = '(disabled_checks = ["{}"] turns this off)'


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    if os.uname().machine != "x86_64":
        pytest.fail("the expected messages name the loader of x86_64")
    directory = tmp_path_factory.mktemp("programs")
    for name, (source, flags) in SOURCES.items():
        (directory / "source.c").write_text(source)
        subprocess.run([require.tool("gcc"), "source.c", "-o", name, *flags], cwd=directory, check=True)
    return directory


class CheckedImage:
    """An image whose layers are packed one after the other, the lowest first."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self.flags: list[str] = []
        self._layers = 0

    def base(self, *members: Member) -> CheckedImage:
        """Adds a base with one layer."""
        layout = oci_layout.write(self.directory / "base", list(members))
        flags = [f"--layout={layout}", "--platform=linux/amd64/", "--output=base.json"]
        assert packer.run("contents", *flags, cwd=self.directory) == (0, "")
        self.flags.append("--base-contents=base.json")
        return self

    def leave_layers_unread(self) -> None:
        """Makes the base one of which an action has read only the upper layers."""
        contents = json.loads((self.directory / "base.json").read_bytes())
        (self.directory / "base.json").write_text(json.dumps({**contents, "unread": 2}))

    def layer(self, attribute: str, files: dict[str, Any], *flags: str, disabled: Sequence[str] = ()) -> CheckedImage:
        """Packs a layer.

        Args:
          attribute: the attribute that has the layer, for messages.
          files: by path, the path of a file, the bytes of a file, or "-> TARGET" for a symbolic link.
          *flags: further flags of the packer.
          disabled: names of checks that are turned off for the layer.
        """
        self._layers += 1
        lines = []
        for number, (path, content) in enumerate(files.items()):
            if isinstance(content, str):
                lines.append(json.dumps({"path": path, "type": "symlink", "target": content.removeprefix("-> ")}))
                continue
            source = content
            if isinstance(content, bytes):
                source = self.directory / f"source{self._layers}-{number}"
                source.write_bytes(content)
            lines.append(json.dumps({"path": path, "source": str(source)}))
        name = f"layer{self._layers}"
        outputs = [f"--output={name}.tar", f"--metadata={name}.json", "--compression=none", "--created-by=test"]
        assert packer.run("layer", *outputs, *flags, *lines, cwd=self.directory) == (0, "")
        settings = {"attribute": attribute, "disabled_checks": disabled, "is_checked": False}
        self.flags += [f"--layer={name}.json", "--layer-settings=" + json.dumps(settings)]
        return self

    def run(
        self, config: dict[str, Any] | None = None, disabled: Sequence[str] = (), binary: str = "", program_attribute: str = ""
    ) -> tuple[int, list[str]]:
        """Returns the exit code of the check, and a line for each problem or remark.

        Args:
          config: the config of the image, whose user is an ordinary one by default; None to check the layers alone.
          disabled: names of checks that are turned off.
          binary: the path of the binary.
          program_attribute: the attribute that names the program to execute.
        """
        options = [f"--binary={json.dumps(binary)}", f"--program-attribute={program_attribute}"]
        if config is not None:
            document = {"os": "linux", "architecture": "amd64", "config": {"User": "65532", **config}}
            (self.directory / "config.json").write_text(json.dumps(document))
            options.append("--config=config.json")
        (self.directory / "checked").unlink(missing_ok=True)
        done = packer.run(
            "check", "--output=checked", "--disabled-checks=" + json.dumps(disabled), *options, *self.flags, cwd=self.directory
        )
        assert (self.directory / "checked").exists() == (done.status == 0)
        return done.status, [line.removeprefix("//app:image: ") for line in done.stderr.splitlines()]


@pytest.fixture
def image(tmp_path: pathlib.Path) -> CheckedImage:
    return CheckedImage(tmp_path)


RAW = packer.assign("/app/x", "cap_net_raw=ep")


def test_a_static_program_needs_no_loader(image, programs):
    image.layer("binary", {"/app/x": programs / "static"}, RAW)
    assert image.run({"Entrypoint": ["/app/x"]}, binary="/app/x") == (0, [])


NO_LOADER = (
    f'is linked dynamically, and its loader "{LOADER}" is not in the image: it does not start ("no such file or directory"); '
    'link it statically (linkopts = ["-static"] in cc_binary), or set base to an image that has the loader'
)


@pytest.mark.parametrize("flags", [[], [RAW]])
def test_a_loader_that_no_layer_has_is_a_problem(image, programs, flags):
    """The first image of a new user: a dynamically linked program over no base."""
    image.layer("binary", {"/app/x": programs / "dynamic"}, '--program="/app/x"', *flags)
    expected = f'binary: "/app/x": {NO_LOADER} {OFF.format("loader")}'
    assert image.run({"Entrypoint": ["/app/x"]}, binary="/app/x") == (1, [expected])
    assert image.run({"Entrypoint": ["/app/x"]}, binary="/app/x", disabled=["loader"]) == (0, [])


def test_a_loader_in_a_layer_of_the_base_that_was_not_read_is_no_problem(image, programs):
    image.base(directory("usr/")).layer("file_capabilities", {"/usr/x": programs / "dynamic"}, packer.assign("/usr/x", "kill"))
    assert image.run({"Entrypoint": ["/usr/x"]}) == (1, [f'file_capabilities: "/usr/x": {NO_LOADER} {OFF.format("loader")}'])
    image.leave_layers_unread()
    assert image.run({"Entrypoint": ["/usr/x"]}, program_attribute="entrypoint") == (0, [])


def test_a_loader_is_found_through_links(image, programs):
    """As in Debian: /lib64 is a link, and so is the loader in it."""
    image.base(
        *[symlink("lib64", "usr/lib64"), symlink("usr/lib64/ld-linux-x86-64.so.2", "../lib/x86_64-linux-gnu/ld.so")],
        Member("usr/lib/x86_64-linux-gnu/ld.so", content=b"\x7fELF"),
    )
    image.layer("binary", {"/app/x": programs / "dynamic"}, RAW)
    assert image.run({"Entrypoint": ["/app/x"]}, binary="/app/x") == (0, [])


def test_a_loader_that_a_layer_replaces_is_missing(image, programs):
    image.base(directory("lib64"), Member(LOADER[1:], content=b"\x7fELF"))
    image.layer("layers", {LOADER: "-> nowhere"})
    image.layer("binary", {"/app/x": programs / "dynamic"}, RAW)
    status, lines = image.run({"Entrypoint": ["/app/x"]}, binary="/app/x")
    assert status == 1 and NO_LOADER in lines[0]


SCRIPTS = {
    b"#!/bin/bash\n": 'its interpreter "/bin/bash" is not in the image; set base to an image that has it',
    b"#! /bin/bash -eu\n": 'its interpreter "/bin/bash" is not in the image; set base to an image that has it',
    b"#!/usr/bin/env python3\n": 'its interpreter "python3", which /usr/bin/env looks for in /bin, is not in the image; '
    "set base to an image that has it, or PATH in env to its directory",
    b"#!/usr/bin/env -S python3 -u\n": 'its interpreter "python3", which /usr/bin/env looks for in /bin',
    b"#!/usr/bin/env -S A=1 python3\n": 'its interpreter "python3", which /usr/bin/env looks for in /bin',
    b"#!/usr/bin/env sh -u\n": 'its interpreter "sh -u", which /usr/bin/env looks for in /bin',
    b"#!/usr/bin/env sh\n": "",
    b"#!/bin/sh\n": "",
    b"#!/usr/bin/env -i\n": "",
    b"#!\n": "",
    b"echo\n": "",
}


@pytest.mark.parametrize("text", SCRIPTS)
@pytest.mark.parametrize("attribute", ["binary", "entrypoint"])
def test_a_script_needs_its_interpreter(image, text, attribute):
    image.base(Member("bin/sh", content=b"\x7fELF"), Member("usr/bin/env", content=b"\x7fELF"))
    image.layer("binary" if attribute == "binary" else "layers", {"/app/x": text})
    flags = {"binary": "/app/x"} if attribute == "binary" else {"program_attribute": "entrypoint"}
    status, lines = image.run({"Entrypoint": ["/app/x"], "Env": ["PATH=/bin"]}, **flags)
    assert status == bool(SCRIPTS[text])
    assert len(lines) == status and all(line.startswith(f'{attribute}: "/app/x": is a script, and ') for line in lines)
    assert all(SCRIPTS[text] in line for line in lines)


@pytest.mark.parametrize("mode, expected", [(0o755, 1), (0o644, 0)])
def test_a_script_of_the_base_is_checked_if_it_is_executable(image, mode, expected):
    """The kernel only executes files with an execute bit; the engine reports others."""
    image.base(Member("entry.sh", mode=mode, content=b"#!/bin/bash\n"))
    status, lines = image.run({"Entrypoint": ["/entry.sh"]}, program_attribute="entrypoint")
    assert (status, len(lines)) == (expected, expected)


def test_all_problems_are_reported_at_once(image, programs):
    image.layer("binary", {"/app/x": programs / "dynamic"}, RAW)
    image.layer("layers", {"/app/y": programs / "dynamic"}, packer.assign("/app/y", "bpf"))
    status, lines = image.run({"Entrypoint": ["/init"]}, disabled=["speed"], binary="/app/x", program_attribute="entrypoint")
    assert status == 1
    assert [line.partition(": ")[0] for line in lines] == ["disabled_checks", "binary", "layers", "entrypoint"]


STARTS: list[tuple[list[str], dict[str, Any], str]] = [
    (["/bin/sh"], {}, ""),
    (["sh", "-c", "x"], {}, ""),
    (["./sh"], {"WorkingDir": "/bin"}, ""),
    (["bin/sh"], {}, ""),
    (
        ["sh"],
        {"Env": ["PATH=/usr/bin"]},
        "no program of this name in /usr/bin, the PATH of the image; write its absolute path, or set PATH in env",
    ),
    (["bin"], {}, "no program of this name in /usr/local/sbin:"),
    (["/bin/bash"], {}, "no such program in the image; add a layer or a base that has it, or write the path that it has"),
    (["/bin"], {}, "no such program in the image"),
    (["/bin/sh -c x"], {}, "no such program in the image; write each word as a list item of its own"),
    (["--flag"], {}, ""),
]


@pytest.mark.parametrize("argv, config, message", STARTS)
@pytest.mark.parametrize("key", ["Entrypoint", "Cmd"])
def test_the_first_program_must_exist(image, argv, config, message, key):
    image.layer("layers", {"/bin/sh": b"\x7fELF"})
    attribute = "entrypoint" if key == "Entrypoint" else "cmd"
    status, lines = image.run({key: argv, **config}, program_attribute=attribute)
    assert status == bool(message)
    assert all(line.startswith(f"{attribute}: {json.dumps(argv[0])}: {message}") for line in lines)
    assert image.run({key: argv, **config}, disabled=["program"], program_attribute=attribute) == (0, [])


def test_a_library_that_only_origin_finds_is_a_problem(image, programs):
    """The java of a JRE finds its libraries by $ORIGIN, until it gets a capability."""
    image.base(directory("lib64"), Member(LOADER[1:], content=b"\x7fELF"), directory("opt/lib"), Member("opt/lib/libgreet.so"))
    java = packer.assign("/opt/bin/java", "net_raw")
    image.layer("file_capabilities", {"/opt/bin/java": programs / "origin"}, java)
    status, lines = image.run({})
    # No layer has libc.so.6 either, so the program does not start anyway, but the loader exists.
    assert status == 1
    assert lines[0].startswith(
        'file_capabilities: "/opt/bin/java": needs libgreet.so, libc.so.6, and looks in RUNPATH "$ORIGIN/../lib", which the loader ignores'
    )
    assert image.run({}, disabled=["runpath"]) == (0, [])


@pytest.mark.parametrize("library_directory", ["usr/lib", "lib/x86_64-linux-gnu", "usr/local/lib"])
def test_libraries_in_default_directories_are_found(image, programs, library_directory):
    image.base(
        *(Member(f"{library_directory}/{name}") for name in ("libgreet.so", "libc.so.6")),
        directory(library_directory),
        Member(LOADER[1:]),
    )
    path = "/opt/app/bin/x"  # Its $ORIGIN does not lead into a directory that the loader trusts.
    image.layer("binary", {path: programs / "origin"}, packer.assign(path, "net_raw"))
    assert image.run({"Entrypoint": [path]}, binary=path) == (0, [])


def test_a_layer_alone_assumes_the_libraries_of_the_c_library(image, programs):
    """Without the image, it is not known whether the loader and the C library exist."""
    image.layer("file_capabilities", {"/opt/bin/x": programs / "origin"}, packer.assign("/opt/bin/x", "net_raw"))
    status, lines = image.run()
    assert status == 1
    assert (
        lines[0].startswith('file_capabilities: "/opt/bin/x": needs libgreet.so, and looks in RUNPATH')
        and "unless the loader finds it elsewhere" in lines[0]
    )


def test_a_layer_alone_may_need_the_c_library(image, programs):
    image.layer("file_capabilities", {"/app/x": programs / "dynamic"}, RAW)
    assert image.run() == (0, [])


def test_a_program_that_another_layer_replaces_is_not_checked(image, programs):
    """Neither the capabilities nor the loader of the lower program apply to the other."""
    path = "/opt/app/x"
    image.base(Member(LOADER[1:]))
    image.layer("layers", {path: programs / "origin"}, packer.assign(path, "net_raw"))
    assert image.run({})[0] == 1
    image.layer("binary", {path: programs / "static"})
    assert image.run({"Entrypoint": [path]}, binary=path) == (0, [])


def test_a_program_for_another_architecture_is_a_problem(image, programs):
    image.layer("binary", {"/app/x": programs / "static"}, '--program="/app/x"')
    (image.directory / "config.json").write_text(json.dumps({"architecture": "arm64"}))
    assert image.run(binary="/app/x", config=None) == (0, [])
    done = packer.run(
        "check",
        "--output=checked",
        "--disabled-checks=[]",
        "--config=config.json",
        '--binary="/app/x"',
        *image.flags,
        cwd=image.directory,
    )
    assert done == (
        1,
        '//app:image: binary: "/app/x": a program for amd64 in an image for arm64; build both for one platform '
        + OFF.format("architecture")
        + "\n",
    )


def test_an_invalid_elf_file_is_a_problem(image):
    image.layer("binary", {"/app/x": b"\x7fELF\x09\x09" + bytes(60)}, RAW)
    assert image.run({"Entrypoint": ["/app/x"]}, binary="/app/x") == (
        1,
        ['binary: "/app/x": invalid ELF file: invalid ELF class or byte order ' + OFF.format("format")],
    )
    assert image.run({"Entrypoint": ["/app/x"]}, disabled=["format"], binary="/app/x") == (0, [])


ENTRYPOINT = {"Entrypoint": ["/entrypoint.sh", "/app/x"], "User": "65532"}


def test_a_script_before_the_program_is_a_remark(image, programs):
    """Most images are like this, and work unless no_new_privs is set."""
    image.layer("layers", {"/entrypoint.sh": b'#!/bin/sh\nexec "$@"\n', "/bin/sh": b"\x7fELF"})
    image.layer("binary", {"/app/x": programs / "static"}, RAW)
    status, lines = image.run(ENTRYPOINT, binary="/app/x", program_attribute="entrypoint")
    assert (status, len(lines)) == (0, 1)
    assert lines[0] == (
        'binary: "/app/x": the container starts "/entrypoint.sh", which does not have these capabilities. That works, unless no_new_privs is '
        'set (Kubernetes allowPrivilegeEscalation: false): "/app/x" then gets none. For such pods, start "/app/x" itself; "/entrypoint.sh" is '
        'a script, which cannot have capabilities, and its interpreter "/bin/sh" would give them to every script'
    )
    assert (image.directory / "checked").read_text() == lines[0] + "\n"
    for quiet in (
        {"disabled": ["wrapper"]},
        {"config": {**ENTRYPOINT, "User": "0"}},
        {"config": {**ENTRYPOINT, "User": ""}},
        {"config": {**ENTRYPOINT, "User": "root:0"}},
    ):
        assert image.run(**{"config": ENTRYPOINT, "binary": "/app/x", "program_attribute": "entrypoint", **quiet}) == (0, [])


def test_a_script_whose_interpreter_was_not_read_is_a_remark(image, programs):
    image.base(Member("entrypoint.sh", content=b"#!/bin/sh\n"))
    image.layer("file_capabilities", {"/app/x": programs / "static"}, RAW)
    image.leave_layers_unread()
    status, lines = image.run(ENTRYPOINT)
    assert (status, len(lines)) == (0, 1)
    assert 'the container starts "/entrypoint.sh", which does not have these capabilities' in lines[0]
    assert 'its interpreter "/bin/sh" would give them to every script' in lines[0]


@pytest.mark.parametrize("user", ["", "0", "root", "root:65532", "0:0"])
def test_a_program_that_root_starts_is_a_remark(image, programs, user):
    image.base(symlink("bin", "usr/bin"), directory("usr/bin"))
    image.layer("layers", {"/usr/bin/x": programs / "static"}, packer.assign("/usr/bin/x", "net_raw"))
    config = {"Entrypoint": ["/bin/x"], "User": user}
    assert image.run(config) == (
        0,
        [
            f'user: "{user}": root starts "/usr/bin/x" and gets what the container runtime grants, whatever capabilities the file has; '
            'write user = "65532" for an ordinary user ' + OFF.format("user")
        ],
    )
    assert image.run(config, disabled=["user"]) == (0, [])
    assert image.run({**config, "User": "app"}) == (0, [])


def test_only_the_program_that_the_container_starts_makes_the_remark_about_root(image, programs):
    """A program that root starts first may change the user."""
    image.layer("layers", {"/start": programs / "static"})
    image.layer("layers", {"/app/x": programs / "static"}, RAW, disabled=["user"])
    image.layer("layers", {"/app/dropped": programs / "static"}, packer.assign("/app/dropped", "="))
    for command in (["/start", "/app/x"], ["/app/x"], ["/app/dropped"], ["/missing"], []):
        assert image.run({"Entrypoint": command, "User": ""}) == (0, [])


@pytest.mark.parametrize("first", ["/bin/tini", "tini", "/usr/bin/tini"])
def test_the_advice_for_a_wrapper_removes_the_remark(image, programs, first):
    """The wrapper is found through links, and by name on PATH."""
    config = {"Entrypoint": [first, "--", "/app/x"], "User": "app"}
    image.base(symlink("bin", "usr/bin"), directory("usr/bin"), Member("usr/bin/tini", content=b"\x7fELF"))
    image.layer("binary", {"/app/x": programs / "static"}, RAW)
    status, (line,) = image.run(config, binary="/app/x", program_attribute="entrypoint")
    assert status == 0 and line.endswith('or assign "cap_net_raw=p" to "/usr/bin/tini" by file_capabilities')
    image.layer("file_capabilities", {"/usr/bin/tini": programs / "static"}, packer.assign("/usr/bin/tini", "cap_net_raw=p"))
    assert image.run(config, binary="/app/x", program_attribute="entrypoint") == (0, [])


def test_as_many_links_are_followed_as_by_the_kernel(image, programs):
    """path_resolution(7): 40; the 41st is ELOOP."""
    image.base(*(symlink(f"l{number}", f"l{number - 1}") for number in range(1, 42)), symlink("l0", "bin"), directory("bin"))
    image.layer("layers", {"/bin/x": programs / "static"})
    assert image.run({"Entrypoint": ["/l39/x"]}, program_attribute="entrypoint") == (0, [])
    status, lines = image.run({"Entrypoint": ["/l40/x"]}, program_attribute="entrypoint")
    assert status == 1 and "no such program" in lines[0]


def test_the_first_line_of_a_script_is_read_as_far_as_the_kernel_reads_it(image):
    """execve(2): 255 characters."""
    image.layer("layers", {"/x": b"#!/bin/sh " + b"a" * 300 + b"\n", "/y": b"#!/bin/sh " + b"a" * 244 + b"\n"})
    scripts = json.loads((image.directory / "layer1.json").read_bytes())["contents"]["scripts"]
    assert {path: len(line) for path, line in scripts.items()} == {"/x": 254, "/y": 252}


def test_a_wrapper_that_another_layer_replaces_loses_its_capabilities(image, programs):
    config = {"Entrypoint": ["/bin/tini", "/app/x"], "User": "app"}
    image.layer("layers", {"/bin/tini": programs / "static"}, packer.assign("/bin/tini", "net_raw"))
    image.layer("binary", {"/app/x": programs / "static"}, RAW)
    assert image.run(config, binary="/app/x") == (0, [])
    image.layer("layers", {"/bin/tini": programs / "static"})
    status, (line,) = image.run(config, binary="/app/x")
    assert status == 0 and 'the container starts "/bin/tini", which does not have these capabilities' in line


def test_an_image_for_windows_has_no_checks_of_linux(image):
    image.layer("binary", {"/app/x.exe": b"MZ"}, '--program="/app/x.exe"')
    (image.directory / "config.json").write_text(json.dumps({"os": "windows", "config": {"Entrypoint": ["C:\\app\\x.exe"]}}))
    flags = ["--config=config.json", '--binary="/app/x.exe"', "--program-attribute=entrypoint"]
    assert packer.run("check", "--output=checked", "--disabled-checks=[]", *flags, *image.flags, cwd=image.directory) == (0, "")


def test_an_unknown_check_is_a_problem(image):
    assert image.run(disabled=["speed", "architecure"]) == (
        1,
        [
            'disabled_checks: "speed": unknown check; the checks are architecture, format, loader, program, runpath, user, wrapper',
            'disabled_checks: "architecure": unknown check; the checks are architecture, format, loader, program, runpath, '
            'user, wrapper; did you mean "architecture"?',
        ],
    )

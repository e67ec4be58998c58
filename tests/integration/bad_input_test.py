"""A mistake is a build error that names target, attribute, value and remedy, and leaves no output."""

from __future__ import annotations

import pathlib

import pytest

from support.bazel import Workspace

MESSAGES = {
    "misspelt": [
        '//bad:misspelt: linux_capabilities: "net_bind_servce": unknown capability; did you mean "net_bind_service"?',
        '//bad:misspelt: linux_capabilities: "bpff": unknown capability; did you mean "bpf"?',
        '//bad:misspelt: linux_capabilities: "cap_chown=x": unknown flag "x"; '
        "flags are e (effective), i (inheritable), p (permitted)",
    ],
    "partial": [
        '//bad:partial: linux_capabilities: "cap_net_bind_service=ep cap_chown+p": effective for some capabilities only; '
        "a file has one effective bit for all of them: write e for every capability or for none",
    ],
    "empty": ['//bad:empty: linux_capabilities: "": no capability; write a name, or leave it out'],
    "of_a_script": [
        '//bad:of_a_script: linux_capabilities: "/app/script.sh": a script; '
        'the kernel ignores its capabilities, and takes those of its interpreter, "/bin/sh": assign them to that, or to a program that starts the script',
    ],
    "of_no_entry": [
        '//bad:of_no_entry: file_capabilities: "/app/helo": no entry of this layer has this path; did you mean "/app/hello"?',
    ],
    "twice": [
        '//bad:twice: linux_capabilities: "/app/hello": has capabilities from file_capabilities already; keep one of the two',
    ],
    "not_executable": [
        "in binary attribute of image rule //bad:not_executable: //bad:two_files does not refer to a valid executable target",
    ],
    "runpath": [
        '//bad:runpath: binary: "/app/beside_its_libraries": needs libgreet.so, and looks in RUNPATH "$ORIGIN/',
        "which the loader ignores for a program with capabilities (secure-execution mode)",
        '(disabled_checks = ["runpath"] turns this off)',
    ],
    "runpath_relative": [
        '//bad:runpath_relative: binary: "/app/below_anything": looks for its libraries (libc.so.6) in RUNPATH "lib", '
        'of which "lib" is relative to the working directory',
    ],
    "layer_runpath": [
        '//bad:layer_runpath: file_capabilities: "/app/beside_its_libraries": needs libgreet.so, and looks in RUNPATH "$ORIGIN/',
        '//bad:layer_runpath: file_capabilities: "/bin/greet": needs libgreet.so, and looks in RUNPATH "$ORIGIN/',
    ],
    "of_layers": [
        '//bad:of_layers: entrypoint: "/bin/sh": no such program in the image; add a layer or a base that has it, or write the path that it has',
    ],
    "of_layers_elsewhere": [
        '//bad:of_layers_elsewhere: layers: "/bin/greet": a program for amd64 in an image for arm64; build both for one platform',
    ],
    "unknown_check": [
        '//bad:unknown_check: disabled_checks: "speed": unknown check; the checks are architecture, format, loader, program, runpath, user, wrapper',
    ],
    "checks": [
        '//bad:checks: disabled_checks: "architecure": unknown check; the checks are architecture, format, loader, program, '
        'runpath, user, wrapper; did you mean "architecture"?',
        '//bad:checks: binary: "/app/beside_its_libraries": a program for amd64 in an image for s390x; build both for one platform',
        '//bad:checks: binary: "/app/beside_its_libraries": is linked dynamically, and its loader "',
        '//bad:checks: entrypoint: "/sbin/tini": no such program in the image',
    ],
    "no_loader": ['//bad:no_loader: binary: "/app/beside_nothing": is linked dynamically, and its loader "'],
    "no_interpreter": [
        '//bad:no_interpreter: binary: "/app/script.sh": is a script, and its interpreter "/bin/sh" is not in the image; '
        'set base to an image that has it (disabled_checks = ["loader"] turns this off)',
    ],
    "no_such_program": [
        '//bad:no_such_program: entrypoint: "greet": no program of this name in /sbin, the PATH of the image; '
        "write its absolute path, or set PATH in env",
    ],
    "replaces": [
        '//bad:replaces: layers: "//bad:in_bin": a directory at "/bin" would replace a symbolic link to "usr/bin" of a layer below; '
        'to replace it, add "/bin" to replaces',
    ],
    "no_program": [
        '//bad:no_program: linux_capabilities: "/app/hello.c": not an ELF program; the kernel ignores its capabilities',
    ],
    "no_binary": [
        '//bad:no_binary: platform: "linux": not a valid platform; write os/architecture, as "linux/amd64"',
        '//bad:no_binary: linux_capabilities: ["net_bind_service"]: has no effect: the image has no binary; set binary, or set the attribute of a layer',
    ],
    "many": [
        '//bad:many: srcs: "app/relative": must be absolute; write "/app/relative"',
        '//bad:many: owner: "root": not a valid owner; write uid:gid in numbers, as "65532:65532"',
        '//bad:many: srcs: "/app/data": //bad:two_files has 2 files; end the path with "/" to put them into that directory',
    ],
    "unfit": [
        '//bad:unfit: srcs: "relative": must be absolute; write "/relative"',
        '//bad:unfit: symlinks: "/app/same": two entries for one path: the file "bazel-out/',
        '//bad:unfit: file_capabilities: "/app/directory": a directory; capabilities are for programs',
        '//bad:unfit: file_capabilities: "/app/link": a symbolic link; '
        'the kernel looks at the file it leads to: name "/app/hello"',
        '//bad:unfit: file_capabilities: "cap_net_rwa": unknown capability; did you mean "cap_net_raw"?',
        '//bad:unfit: file_capabilities: "/app/none": no entry of this layer has this path',
    ],
    "not_executable_mode": [
        '//bad:not_executable_mode: file_capabilities: "/app/hello": mode 0644 has no execute bit; '
        'capabilities are for programs: set mode = "0755"',
    ],
    "bad_config": [
        '//bad:bad_config: created: "yesterday": not a valid time; write it as "1970-01-01T00:00:00Z", or in seconds since 1970',
        '//bad:bad_config: user: "a b": not a valid user; write uid, uid:gid, or names',
        '//bad:bad_config: exposed_ports: "http": not a valid port; write it as "80", "80/tcp" or "53/udp"',
        '//bad:bad_config: working_dir: "app": must be absolute; write "/app"',
    ],
}


# The outputs of the failing actions that do not pack the layer of the binary.
FAILED = {
    "bad_config": ["bad_config.manifest.json", "bad_config.config.json", "bad_config"],
    "many": ["many.tar.gz", "many.layer.json"],
    "no_binary": ["no_binary.manifest.json", "no_binary.config.json", "no_binary"],
    "not_executable_mode": ["not_executable_mode.tar.gz", "not_executable_mode.layer.json"],
    "unfit": ["unfit.tar.gz", "unfit.layer.json"],
    # Validation actions do not stop the build.
    **{
        name: [f"{name}.checked"]
        for name in (
            *("checks", "layer_runpath", "no_interpreter", "no_loader", "no_such_program", "of_layers", "of_layers_elsewhere"),
            *("runpath", "runpath_relative", "unknown_check"),
        )
    },
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    made = Workspace(tmp_path_factory.mktemp("bad"))
    made.write("bad/BUILD.bazel", pathlib.Path("tests/integration/consumer/BUILD.bad").read_text())
    made.write("bad/hello.c", "int main(void) { return 0; }\n")
    return made


@pytest.mark.parametrize("target", MESSAGES)
def test_a_mistake_has_its_message(workspace, target):
    done = workspace.run("build", f"//bad:{target}", check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for message in MESSAGES[target]:
        assert message in done.stderr, done.stderr
    for name in FAILED.get(target, [f"{target}_binary.tar.gz", f"{target}_binary.layer.json", target]):
        assert not workspace.output(f"bad/{name}").exists()


def test_valid_targets_and_disabled_checks_build(workspace):
    targets = ["layer_runpath_off", "runpath_off", "runpath_of_the_system", "runpath_without_capabilities", "wrapper_right"]
    workspace.run("build", "//bad:replaces_allowed", *(f"//bad:{name}" for name in targets))
    for name in targets:
        assert workspace.output(f"bad/{name}.checked").exists()
